"""A return of a receipt as a command: decided under the customer's lock, told to the till.

Its steps: give back what points paid, reissue what of it has expired (by a setting), take back
what was earned, by the policy each program has for points that are spent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from billing.programs import limits
from billing.programs.model import ProgramVersion, Situation
from billing.receipts.schemas import Quantity
from billing.returns import store
from billing.returns.counting import counted_back, forgiven_by
from billing.returns.giving import Part, Spent
from billing.returns.keeping import kept
from billing.returns.model import Given, Progress, Sold, by_line
from billing.returns.taking import Lots, Taking
from ledger.burn import burn_key
from ledger.commands import Adjust, Fact, Facts, IfSpent, Restore, Revoke, Row, Step, View
from ledger.errors import Refusal
from ledger.flows import Bucket
from ledger.model import Lot, Posting
from ledger.reclaim import reclaimed
from ledger.state import CorrectionTarget

Reissue = Callable[[datetime], datetime | None]
"""Until when points given anew at a moment live; None: expired points are not given anew."""

POLICIES: tuple[IfSpent, ...] = ("refuse", "floor", "debt")


class Exceeded(Refusal):
    """More is to be returned than is left: `left` by line number, in 1/UNIT."""

    def __init__(self, detail: str, left: Mapping[int, int]) -> None:
        super().__init__("return_exceeds_sale", detail)
        self.left = left


class SoldReceipt(msgspec.Struct, frozen=True):
    """A posted receipt: its transaction, those that may hold its redemption, what was sold, and
    the programs that gave, for their counters. `situation` has no lines."""

    id: UUID
    customer_id: UUID
    channel: str
    store: str | None
    number: str
    paid_by: tuple[UUID, ...]
    sold: Sold
    situation: Situation
    programs: Mapping[str, ProgramVersion]


Counted = tuple[tuple[Row, ...], Facts]
"""What is counted back, and what the next return of a group sees."""


class Decision(msgspec.Struct, frozen=True):
    """What a plan decided: the lines that come back (of quantity "0": what rounding had left with
    a line returned earlier), and what is counted back by the postings that came of it."""

    receipt_id: UUID
    lines: tuple[store.KeptLine, ...]
    counted: Callable[[Sequence[Posting]], Counted]


class Returning:
    """Decides a return: `wanted` by line number, None for all that is left."""

    def __init__(
        self,
        receipt: SoldReceipt,
        wanted: Mapping[int, int] | None,
        occurred_at: datetime,
        reissue: Reissue,
    ) -> None:
        self._receipt = receipt
        self._wanted = wanted
        self._occurred_at = occurred_at
        self._reissue = reissue
        self._fact = store.given_fact(receipt.customer_id, receipt.id)
        self._groups = {line.number: line.group for line in receipt.sold.lines}

    @property
    def facts(self) -> tuple[Fact, ...]:
        counted = limits.facts_of(self._receipt.programs.values(), self._receipt.situation)
        return (self._fact, *counted)

    @property
    def corrects(self) -> tuple[UUID, ...]:
        return (self._receipt.id, *self._receipt.paid_by)

    def plan(self, view: View) -> tuple[Step, ...]:
        """The steps. Raises Exceeded."""
        receipt = self._receipt
        given = store.given_by(view.facts[self._fact])
        before = Progress(receipt.sold, given.quantities, given.count)
        returned = self._returned(before)
        quantities = given.quantities + Counter(returned)
        after = Progress(receipt.sold, quantities, given.count + 1)
        restored = {n: after.restored(n) - before.restored(n) for n in returned}
        taken = self._taken(view, given, before, after, returned)
        lines = kept(returned, restored, taken)
        forgiven = forgiven_by(view.targets[receipt.id].corrections)

        def counted(postings: Sequence[Posting]) -> Counted:
            rows, facts = counted_back(
                taken,
                receipt.programs,
                receipt.situation,
                view.facts,
                whole=after.whole,
                forgiven=forgiven_by(postings),
                before=forgiven,
            )
            return rows, {self._fact: (*view.facts[self._fact], (store.kept_json(lines),)), **facts}

        self._decision = Decision(receipt.id, lines, counted)
        steps = self._restoring(view, restored)
        return (*steps, *self._revoking(taken))

    def decided(self) -> Decision:
        """What the last run of the plan decided."""
        return self._decision

    def _returned(self, before: Progress) -> dict[int, int]:
        left = before.left()
        if before.whole:
            raise Exceeded("Everything of this receipt is returned already.", left)
        if self._wanted is None:
            return {number: quantity for number, quantity in left.items() if quantity}
        for number, quantity in self._wanted.items():
            if quantity > left[number]:
                raise Exceeded(
                    f"{Quantity(quantity).text()} of line {number} were to be returned, but only "
                    f"{Quantity(left[number]).text()} are left.",
                    left,
                )
        return dict(self._wanted)

    def _taken(
        self,
        view: View,
        given: Given,
        before: Progress,
        after: Progress,
        returned: Mapping[int, int],
    ) -> list[Taking]:
        """What is taken of each program that gave."""
        target = view.targets[self._receipt.id]
        lots = Lots(target.postings, view.state.lots, given)
        taken: list[Taking] = []
        for earned in self._receipt.sold.earned:
            points = after.revoked(earned) - before.revoked(earned)
            lines = by_line(earned, points, after, given, returned)
            taken.append(lots.take(earned, lines, self._groups))
        return taken

    def _restoring(self, view: View, restored: Mapping[int, int]) -> list[Step]:
        """Back to their own lots; what would expire there at once is given anew, if it may be."""
        if not any(restored.values()):
            return []
        target = self._redeeming(view)
        # Every return of the sale corrects the sale, also when an earlier redemption paid it.
        spent = Spent(target.postings, view.targets[self._receipt.id].corrections)
        sums: Counter[tuple[UUID, str | None]] = Counter()
        for number, points in restored.items():
            for lot_id, group, part in spent.give(self._groups[number], points):
                sums[lot_id, group] += part
        parts = tuple((*cell, points) for cell, points in sums.items())
        return [Restore(target.id, None, parts), *self._reissuing(view, parts)]

    def _reissuing(self, view: View, parts: Sequence[Part]) -> list[Step]:
        until = self._reissue(max(self._occurred_at, view.recorded_at))
        if until is None:
            return []
        reissued: Counter[Bucket] = Counter()
        debt = view.state.debt
        back: Counter[UUID] = Counter()
        for lot_id, _, part in parts:
            back[lot_id] += part
        for lot in sorted((view.state.lots[lot_id] for lot_id in back), key=burn_key):
            points = back[lot.id]
            settled, taken = reclaimed(replace(lot, available=lot.available + points), debt)
            debt -= settled
            if _is_over(lot, view.recorded_at):
                reissued[lot.bucket] += points - settled - taken
        return [Adjust(n, bucket, None, until) for bucket, n in reissued.items() if n]

    def _redeeming(self, view: View) -> CorrectionTarget:
        """The transaction whose points paid: the sale's own, or one before it."""
        for one in self.corrects:
            target = view.targets.get(one)
            if target and any(p.credit == "redeemed" for p in target.postings):
                return target
        raise RuntimeError(f"nothing paid receipt {self._receipt.id}, which has points paid")

    def _revoking(self, taken: Sequence[Taking]) -> list[Step]:
        """A step for each policy; one at least, which says what the return corrects."""
        parts: dict[IfSpent, Counter[tuple[UUID, str | None]]] = {}
        for taking in taken:
            wanted = parts.setdefault(taking.earned.on_return, Counter())
            for one in taking.lots:
                wanted[one.lot, one.group] += one.points - one.lapsed
        policies = [one for one in POLICIES if one in parts] or ["debt"]
        return [
            Revoke(
                self._receipt.id,
                tuple((*cell, n) for cell, n in parts.get(policy, Counter()).items() if n),
                policy,
            )
            for policy in policies
        ]


def _is_over(lot: Lot, now: datetime) -> bool:
    return lot.expires_at is not None and lot.expires_at <= now
