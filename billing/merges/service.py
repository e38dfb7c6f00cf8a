"""Merging duplicates, and undoing it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.approvals import store as approvals
from billing.approvals.allowance import Allowance
from billing.approvals.model import Approval, TurnedDown
from billing.approvals.schemas import WaitingOut
from billing.common.auth import Principal, Role
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import told
from billing.customers.records import Records
from billing.customers.schemas import MergeIn, MergeOut
from billing.customers.store import lock_persons
from billing.customers.vault import Vault
from billing.events.schemas import CustomerMerged
from billing.events.store import record
from billing.merges import store
from billing.merges.model import Merge, MergeAsked, check_pair, check_points
from billing.merges.settling import Settling
from ledger import reads
from ledger.commands import MAX, Transfer
from ledger.ids import uuid7
from ledger.service import Ledger


class Merges:
    """The use cases. First the customers are tied, in one transaction; then points move, and
    whatever is left of that, or comes later, is moved by the next sweep.

    Who merges a customer of more than `limit` (1/100 points), or more than a person's allowance,
    needs a second person; it is `kind` merge of approvals.
    """

    kind = "merge"
    approvers: tuple[Role, ...] = ("finance", "admin")
    records_itself = False

    def __init__(
        self, ledger: Ledger, database: Database, vault: Vault, allowance: Allowance, limit: int
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._records = Records(vault)
        self.settling = Settling(ledger, database, vault)
        self._allowance = allowance
        self._limit = limit

    async def merge(
        self, principal: Principal, duplicate: UUID, new: MergeIn
    ) -> MergeOut | WaitingOut:
        """Merge `duplicate` into another customer, or ask for approval; again, the same.

        Raises NotFound, ValidationFailed, Conflict.
        """
        points = await self._points(duplicate, new)
        async with self._database.transaction() as tx:
            merge = await self._standing(tx, duplicate, new.into)
            if merge is None:
                person = principal.person
                if points > self._limit or not await self._allowance.take(tx, person, points):
                    return await self._ask(tx, principal, duplicate, new, points)
                merge = await self._tie(tx, principal.name, duplicate, new)
        return await self._settled(merge)

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        asked = msgspec.convert(approval.content, MergeAsked)
        new = MergeIn(into=asked.into, reason=asked.reason)
        await self._points(asked.customer_id, new)
        author = f"{approval.asked_by}; approved by {approval.decided_by}"
        async with self._database.transaction() as tx:
            merge = await self._standing(tx, asked.customer_id, new.into)
            if merge is None:
                merge = await self._tie(tx, author, asked.customer_id, new)
        return msgspec.to_builtins(await self._settled(merge))

    async def turned_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> None:
        """They stay two."""

    async def _points(self, duplicate: UUID, new: MergeIn) -> int:
        """What a merge puts into one hand: those of both, since the duplicate's phone and cards
        name the survivor from then on; the debt it moves included. Raises ValidationFailed,
        Conflict."""
        if duplicate == new.into:
            raise ValidationFailed.at("/into", "must be another customer")
        left = await reads.balance_now(self._ledger, duplicate)
        check_points(left)
        kept = await reads.balance_now(self._ledger, new.into)
        return left.available + left.deferred + left.debt + kept.available + kept.deferred

    async def _standing(self, tx: AsyncConnection, duplicate: UUID, into: UUID) -> Merge | None:
        """The merge there is; both customers are locked, and may be merged when there is none.
        Raises NotFound, Conflict."""
        # Whom the duplicate brings along is written to, too.
        await lock_persons(tx, duplicate, into)
        merge = await store.standing(tx, duplicate)
        if merge is not None and merge.into_id == into:
            return merge
        left = await self._records.read(tx, duplicate)
        check_pair(left, await self._records.read(tx, into))
        return None

    async def _tie(self, tx: AsyncConnection, author: str, duplicate: UUID, new: MergeIn) -> Merge:
        merge = Merge(
            id=uuid7(),
            customer_id=duplicate,
            into_id=new.into,
            reason=new.reason,
            author=author,
            merged_at=self._ledger.clock(),
        )
        await store.insert(tx, merge)
        await store.point_to(tx, merge)
        await record(tx, _told(merge, undone=False), merge.merged_at)
        return merge

    async def _ask(
        self,
        tx: AsyncConnection,
        principal: Principal,
        duplicate: UUID,
        new: MergeIn,
        points: int,
    ) -> WaitingOut:
        """What waits, or waits already for the same. Raises Conflict `approval_pending`."""
        content = MergeAsked(customer_id=duplicate, into=new.into, reason=new.reason)
        asked = approvals.Asked(
            id=uuid7(),
            kind=self.kind,
            subject=str(duplicate),
            summary=f"{format_amount(points)} points of two customers, merged: {new.reason}",
            content=msgspec.to_builtins(content),
        )
        if await approvals.ask(tx, asked, principal, self._ledger.clock()):
            return WaitingOut(approval_id=asked.id, state="pending", summary=asked.summary)
        waiting = await approvals.pending(tx, self.kind, asked.subject)
        if waiting is None or msgspec.convert(waiting.content, MergeAsked).into != new.into:
            raise Conflict("approval_pending", "Another merge of this customer waits already.")
        return WaitingOut(approval_id=waiting.id, state="pending", summary=waiting.summary)

    async def _settled(self, merge: Merge) -> MergeOut:
        with told():
            await self.settling.settle(merge.mark, merge.customer_id, merge.into_id)
        return (await self._shown([merge]))[0]

    async def undo(self, principal: Principal, merge_id: UUID) -> MergeOut:
        """Make two customers of one again. What of the moved points is left goes back, lot by
        lot; again, what has come back to them since. Raises NotFound, Conflict."""
        now = self._ledger.clock()
        async with self._database.transaction() as tx:
            found = await store.read(tx, merge_id, lock=True)
            if found is None:
                raise NotFound(f"There is no merge {merge_id}.")
            await lock_persons(tx, found.into_id)
            survivor = await self._records.read(tx, found.into_id)
            if found.undone_at is None:
                if survivor.merged_into is not None:
                    raise Conflict(
                        "merge_not_possible",
                        f"{survivor.id} was merged into {survivor.merged_into} since: undo that "
                        "merge first.",
                    )
                found.undone_at, found.undone_by = now, principal.name
                await store.point_back(tx, found)
                await record(tx, _told(found, undone=True), now)
        brought = await store.moved_lots(self._database, found.into_id, [found.mark])
        step = Transfer(found.customer_id, MAX, deferred=True, lots=frozenset(brought))
        with told():
            await self.settling.move(found.into_id, step, found.mark, principal.name)
            await self._move_returned(found, set(brought.values()), principal.name)
        return (await self._shown([found]))[0]

    async def _move_returned(self, merge: Merge, terms: set[tuple[Any, ...]], author: str) -> None:
        """Of a chain undone from its end: what went on to a third customer came back in lots of
        the same terms. Never more than the merge had moved."""
        marks = await store.undone_marks(self._database, merge.into_id)
        moved = await store.moved_points(self._database, [merge])
        left = moved.get(merge.mark, 0)
        if not marks or left <= 0:
            return
        returned = await store.moved_lots(self._database, merge.into_id, marks)
        alike = frozenset(lot for lot, of in returned.items() if of in terms)
        state = await reads.balance_now(self._ledger, merge.into_id)
        lots = [lot for lot in state.lots.values() if lot.id in alike]
        available = sum(lot.available for lot in lots)
        if available + sum(lot.deferred for lot in lots) <= left:
            step = Transfer(merge.customer_id, MAX, deferred=True, lots=alike)
        else:
            step = Transfer(merge.customer_id, min(available, left), lots=alike)
        await self.settling.move(merge.into_id, step, merge.mark, author)

    async def of_customer(self, customer_id: UUID) -> list[MergeOut]:
        """All merges of a customer, of either side, newest first. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._records.row(tx, customer_id)
            found = await store.of_customer(tx, customer_id)
        return await self._shown(found)

    async def _shown(self, merges: list[Merge]) -> list[MergeOut]:
        points = await store.moved_points(self._database, merges)
        return [
            MergeOut(
                id=one.id,
                customer_id=one.customer_id,
                into=one.into_id,
                reason=one.reason,
                author=one.author,
                merged_at=one.merged_at,
                undone_at=one.undone_at,
                undone_by=one.undone_by,
                points=format_amount(points.get(one.mark, 0)),
            )
            for one in merges
        ]


def _told(merge: Merge, *, undone: bool) -> CustomerMerged:
    return CustomerMerged(
        customer_id=merge.customer_id, into=merge.into_id, merge_id=merge.id, undone=undone
    )
