"""Asking for a second person, and deciding.

Who decided is durable before anything is carried out; what is carried out has a key of its own, so
that whoever approves again after a crash does not do it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from billing.approvals import store
from billing.approvals.model import Approvable, Approval, TurnedDown, must_be, own_approval
from billing.approvals.people import had_a_hand
from billing.approvals.store import Asked
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, Overloaded, Problem
from ledger.group import Clock
from ledger.ids import uuid7


class Approvals:
    """What waits for a second person. Features register what happens on approval."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kinds: dict[str, Approvable] = {}

    def register(self, kind: Approvable) -> None:
        if kind.kind in self._kinds:
            raise RuntimeError(f"approvals of the kind {kind.kind!r} are registered twice")
        self._kinds[kind.kind] = kind

    @property
    def kinds(self) -> Mapping[str, Approvable]:
        return self._kinds

    async def ask(
        self,
        kind: str,
        subject: str,
        summary: str,
        content: Any,
        principal: Principal,
        *,
        id: UUID | None = None,
    ) -> Approval:
        """Ask for approval. With an `id` of its own it is asked once, however often it is sent.

        Raises Conflict `approval_pending` when another for the same subject waits.
        """
        asked = Asked(
            id=id or uuid7(), kind=kind, subject=subject, summary=summary, content=content
        )
        async with self._database.transaction() as tx:
            await store.ask(tx, asked, principal, self._clock())
        found = await store.read(self._database, asked.id)
        if found is None:
            raise Conflict("approval_pending", f"Another approval for {subject} waits already.")
        return found

    async def read(self, approval_id: UUID) -> Approval:
        found = await store.read(self._database, approval_id)
        if found is None:
            raise NotFound(f"There is no approval {approval_id}.")
        return found

    async def approve(self, approval_id: UUID, principal: Principal) -> Approval:
        """Approve and carry out; one that was approved and not carried out is gone on with.

        Raises NotFound, Forbidden, Conflict, and what the state refuses.
        """
        approval = await self._decidable(approval_id, principal)
        kind = self._kinds[approval.kind]
        if kind.records_itself:
            must_be(approval, "pending")
            await kind.approve(approval, principal)
            return await self.read(approval_id)
        async with self._database.transaction() as tx:
            approval = await self._locked(tx, approval_id)
            must_be(approval, "pending", "approved")
            if approval.state == "pending":
                await store.decide(tx, approval_id, "approved", principal, self._clock())
        await self._carry_out(kind, await self.read(approval_id), principal)
        return await self.read(approval_id)

    async def reject(self, approval_id: UUID, reason: str, principal: Principal) -> Approval:
        """Say no, with a reason. Raises NotFound, Forbidden, Conflict."""
        approval = await self._decidable(approval_id, principal)
        return await self._turn_down(approval, "rejected", principal, reason)

    async def withdraw(self, approval_id: UUID, principal: Principal) -> Approval:
        """Take back what one asked for oneself. Raises NotFound, Conflict."""
        approval = await self.read(approval_id)
        if not await self._asked(approval, principal):
            raise Conflict("own_approval", "Only who asked withdraws; others may reject.")
        return await self._turn_down(approval, "withdrawn", principal, None)

    async def _turn_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> Approval:
        must_be(approval, "pending")
        kind = self._kinds.get(approval.kind)
        if kind is None or not kind.records_itself:
            async with self._database.transaction() as tx:
                must_be(await self._locked(tx, approval.id), "pending")
                await store.decide(tx, approval.id, state, principal, self._clock(), reason)
        if kind is not None:
            await kind.turned_down(approval, state, principal, reason)
        return await self.read(approval.id)

    async def _carry_out(self, kind: Approvable, approval: Approval, principal: Principal) -> None:
        try:
            result = await kind.approve(approval, principal)
        except Overloaded:
            raise  # Not known: whoever approves again finds out.
        except Problem as problem:
            async with self._database.transaction() as tx:
                await store.close(tx, approval.id, "failed", None, problem.detail)
            raise
        async with self._database.transaction() as tx:
            await store.close(tx, approval.id, "done", result, None)

    async def _decidable(self, approval_id: UUID, principal: Principal) -> Approval:
        """The approval, when this key may decide it."""
        approval = await self.read(approval_id)
        kind = self._kinds.get(approval.kind)
        if kind is None:
            raise Conflict("approval_state", f"Nobody here carries out a {approval.kind}.")
        principal.covers(None, None)
        principal.require(*kind.approvers)
        if await self._asked(approval, principal):
            raise own_approval()
        return approval

    async def _asked(self, approval: Approval, principal: Principal) -> bool:
        return await had_a_hand(self._database, principal, [approval.asked_key], approval.asked_by)

    async def _locked(self, tx: Any, approval_id: UUID) -> Approval:
        approval = await store.lock(tx, approval_id)
        if approval is None:
            raise NotFound(f"There is no approval {approval_id}.")
        return approval
