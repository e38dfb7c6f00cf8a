"""The ledger once more, in plain Python: what it should answer, written without looking at it.

Times are numbers of seconds, amounts integers, lots lists in a dict. It posts what time brings
about when the clock passes it, where the real one does so at the customer's next transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NEVER = float("inf")


class No(Exception):
    """Refused; the argument is the code."""


@dataclass
class PlainLot:
    bucket: str
    born: float
    number: int
    active: float
    expires: float
    available: int = 0
    deferred: int = 0
    held: int = 0
    owed: int = 0
    put_in: int = 0
    expired: int = 0
    revoked: int = 0
    forgiven: int = 0


Parts = list[tuple[PlainLot, int]]


@dataclass
class Done:
    """What a transaction did: (lot, amount) given, paid into debt, spent; and what was undone."""

    kind: str
    given: Parts = field(default_factory=list)
    spent: Parts = field(default_factory=list)
    into_debt: int = 0
    revoked: dict[int, int] = field(default_factory=dict)
    restored: dict[int, int] = field(default_factory=dict)
    reversed: bool = False


@dataclass
class PlainHold:
    parts: Parts
    until: float
    status: str = "open"


Grants = list[tuple[str, int, float | None, float]]
"""(bucket, amount, active from or at once, expires)."""


class PlainCustomer:
    def __init__(self) -> None:
        self.lots: list[PlainLot] = []
        self.debt = 0
        self.holds: dict[object, PlainHold] = {}
        self.now = 0.0
        self.log: list[tuple[float, float, tuple[int, ...]]] = []

    # What time brings about ---------------------------------------------------------------

    def tick(self, now: float, floor: float = 0.0) -> None:
        while True:
            holds = [(h.until, 0, h) for h in self.holds.values() if h.status == "open"]
            starts = [(lot.active, 1, lot) for lot in self.lots if lot.deferred]
            ends = [(max(lot.expires, floor), 2, lot) for lot in self.lots if lot.available]
            every: list[tuple[float, int, PlainLot | PlainHold]] = [*holds, *starts, *ends]
            due = [one for one in every if one[0] <= now]
            if not due:
                break
            at, what, one = min(due, key=lambda d: d[:2])
            with Logged(self, at, max(self.now, at)):
                if isinstance(one, PlainHold):
                    self._free(one, "expired")
                elif what == 1:
                    one.available, one.deferred = one.available + one.deferred, 0
                else:
                    one.expired, one.available = one.expired + one.available, 0
            floor = max(floor, at) if what == 0 else floor
        self.now = now

    def _free(self, hold: PlainHold, status: str) -> None:
        for lot, amount in hold.parts:
            lot.held -= amount
            lot.available += amount
        self._reclaim()
        hold.status = status

    # Sums ---------------------------------------------------------------------------------

    def sums(self) -> tuple[int, int, int, int, int]:
        promo = sum(lot.available for lot in self.lots if lot.bucket == "promo")
        every = [
            sum(getattr(lot, name) for lot in self.lots)
            for name in ("available", "deferred", "held")
        ]
        return (every[0], promo, every[1], every[2], self.debt)

    def as_of(self, occurred: float, recorded: float) -> tuple[int, ...]:
        seen = [delta for at, known, delta in self.log if at <= occurred and known <= recorded]
        return tuple(sum(one[i] for one in seen) for i in range(5))

    # Commands -----------------------------------------------------------------------------

    def accrue(self, at: float, grants: Grants) -> Done:
        done = Done("accrual")
        with Logged(self, at, self.now):
            for bucket, amount, active, expires in grants:
                lot = self._lot(bucket, at, at if active is None else active, expires)
                into_debt = min(amount, self.debt)
                self.debt -= into_debt
                done.into_debt += into_debt
                self._put(lot, amount - into_debt, at)
                lot.put_in += into_debt
                done.given.append((lot, amount))
        self.tick(self.now, at)
        return done

    def activate_waiting(self, at: float) -> None:
        waiting = [lot for lot in self.lots if lot.deferred and lot.active == NEVER]
        if not waiting:
            raise No("nothing_waiting")
        with Logged(self, at, self.now):
            for lot in waiting:
                lot.available, lot.deferred = lot.available + lot.deferred, 0
        self.tick(self.now, at)

    def adjust(self, at: float, amount: int, bucket: str) -> Done:
        done = Done("adjustment")
        if amount < 0:
            lots = [lot for lot in self.lots if lot.bucket == bucket]
            if -amount > sum(lot.available for lot in lots):
                raise No("insufficient_points")
            with Logged(self, at, self.now):
                self._take(lots, -amount)
        else:
            with Logged(self, at, self.now):
                self._put(self._lot(bucket, at, at, NEVER), amount, at)
        return done

    def redeem(self, at: float, amount: int | None, order: str = "expiry") -> Done:
        with Logged(self, at, self.now):
            parts = self._take(self.lots, self._afford(amount), order)
        return Done("redemption", spent=parts)

    def hold(
        self, at: float, amount: int | None, until: float, name: object, order: str = "expiry"
    ) -> None:
        amount = self._afford(amount)
        if amount == 0:
            raise No("insufficient_points")
        with Logged(self, at, self.now):
            parts = self._take(self.lots, amount, order)
            for lot, part in parts:
                lot.held += part
        self.holds[name] = PlainHold(parts, until)

    def capture(self, at: float, name: object, amount: int | None) -> Done:
        hold = self._hold(name)
        total = sum(part for _, part in hold.parts)
        rest = total if amount is None else amount
        if rest > total:
            raise No("insufficient_points")
        done = Done("capture")
        with Logged(self, at, self.now):
            for lot, part in hold.parts:
                spent = min(part, rest)
                rest -= spent
                lot.held -= part
                lot.available += part - spent
                if spent:
                    done.spent.append((lot, spent))
            self._reclaim()
            hold.status = "captured" if done.spent else "released"
        self.tick(self.now, at)
        return done

    def release(self, at: float, name: object) -> None:
        hold = self._hold(name)
        with Logged(self, at, self.now):
            self._free(hold, "released")
        self.tick(self.now, at)

    def revoke(self, at: float, done: Done, if_spent: str) -> None:
        with Logged(self, at, self.now):
            self._revoke(done, if_spent)

    def restore(self, at: float, done: Done, amount: int | None) -> None:
        left = [(lot, part - done.restored.get(lot.number, 0)) for lot, part in _by_lot(done.spent)]
        rest = sum(part for _, part in left) if amount is None else amount
        if rest > sum(part for _, part in left):
            raise No("correction_exceeds")
        with Logged(self, at, self.now):
            for lot, part in reversed(left):
                back = min(part, rest)
                rest -= back
                done.restored[lot.number] = done.restored.get(lot.number, 0) + back
                lot.available += back
            self._reclaim()
        self.tick(self.now, at)

    def reverse(self, at: float, done: Done) -> None:
        if done.reversed:
            raise No("already_reversed")
        if done.kind not in ("accrual", "redemption", "capture"):
            raise No("not_reversible")
        self.restore(at, done, None)
        with Logged(self, at, self.now):
            self._revoke(done, "debt")
        done.reversed = True

    def transfer(
        self,
        at: float,
        other: PlainCustomer,
        amount: int | None,
        order: str = "expiry",
        deferred: bool = False,
        pays_debt: bool = False,
    ) -> None:
        amount = self._afford(amount)
        other.tick(self.now)
        with Logged(self, at, self.now), Logged(other, at, self.now):
            for lot, part in self._take(self.lots, amount, order):
                there = other._lot(lot.bucket, at, lot.active, lot.expires)
                owed = min(part, other.debt) if pays_debt else 0
                other.debt -= owed
                there.put_in += owed
                other._put(there, part - owed, lot.active)
            for lot in self.lots if deferred else []:
                if lot.deferred:
                    there = other._lot(lot.bucket, at, lot.active, lot.expires)
                    there.deferred = there.put_in = lot.deferred
                    lot.deferred = 0
        other.tick(self.now)

    # Parts --------------------------------------------------------------------------------

    def _lot(self, bucket: str, born: float, active: float, expires: float) -> PlainLot:
        self.lots.append(PlainLot(bucket, born, len(self.lots), active, expires))
        return self.lots[-1]

    def _put(self, lot: PlainLot, amount: int, at: float) -> None:
        lot.put_in += amount
        if lot.active > at:
            lot.deferred += amount
        else:
            lot.available += amount

    def _afford(self, amount: int | None) -> int:
        spendable = max(0, sum(lot.available for lot in self.lots) - self.debt)
        if amount is not None and amount > spendable:
            raise No("insufficient_points")
        return spendable if amount is None else amount

    def _take(self, lots: list[PlainLot], amount: int, order: str = "expiry") -> Parts:
        lots = sorted(lots, key=lambda n: (n.expires, n.bucket == "base", n.born, n.number))
        if order == "oldest":
            lots.sort(key=lambda n: n.born)
        elif order != "expiry":
            first = order.removesuffix("_first")
            lots = [n for n in lots if n.bucket == first] + [n for n in lots if n.bucket != first]
        parts: Parts = []
        for lot in lots:
            part = min(amount, lot.available)
            if part:
                lot.available -= part
                amount -= part
                parts.append((lot, part))
        return parts

    def _hold(self, name: object) -> PlainHold:
        hold = self.holds[name]
        if hold.status == "expired":
            raise No("hold_expired")
        if hold.status != "open":
            raise No("hold_not_open")
        return hold

    def _revoke(self, done: Done, if_spent: str) -> None:
        plan = []
        for lot, given in done.given:
            amount = given - done.revoked.get(lot.number, 0)
            deferred = min(amount, lot.deferred)
            available = min(amount - deferred, lot.available)
            left = lot.put_in - lot.available - lot.deferred - lot.expired - lot.revoked
            gone = min(amount - deferred - available, max(0, left))
            if gone and if_spent == "refuse":
                raise No("points_already_spent")
            plan.append((lot, deferred, available, gone))
        for lot, deferred, available, gone in plan:
            lot.deferred -= deferred
            lot.available -= available
            if if_spent == "floor":
                lot.forgiven += gone
            else:
                self.debt += gone
                lot.owed += gone
            lot.revoked += deferred + available + gone
            done.revoked[lot.number] = done.revoked.get(lot.number, 0) + (
                deferred + available + gone
            )
        self._reclaim(alive=True)

    def _reclaim(self, *, alive: bool = False) -> None:
        """Points that came back pay what their own lot owes; what was forgiven is taken."""
        for lot in sorted(
            self.lots, key=lambda n: (n.expires, n.bucket == "base", n.born, n.number)
        ):
            if alive and lot.expires <= self.now:
                continue
            settled = min(lot.available, lot.owed, self.debt)
            lot.owed -= settled
            self.debt -= settled
            taken = min(lot.available - settled, lot.forgiven)
            lot.forgiven -= taken
            lot.available -= settled + taken


class Logged:
    """Writes down by how much the sums changed, when it happened and when it was known."""

    def __init__(self, customer: PlainCustomer, occurred: float, recorded: float) -> None:
        self.customer, self.occurred, self.recorded = customer, occurred, recorded

    def __enter__(self) -> None:
        self.before = self.customer.sums()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            delta = tuple(
                now - then for now, then in zip(self.customer.sums(), self.before, strict=True)
            )
            self.customer.log.append((self.occurred, self.recorded, delta))


def _by_lot(parts: Parts) -> Parts:
    sums: dict[int, tuple[PlainLot, int]] = {}
    for lot, amount in parts:
        sums[lot.number] = (lot, sums.get(lot.number, (lot, 0))[1] + amount)
    return list(sums.values())
