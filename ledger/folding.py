"""Customers' histories added up in columns, from the bytes of their rows.

What a flow does to a lot and to the sums is read off the code that posts, once (`ledger.forms`). A
`Page` only says of whom all is right; what is wrong with the others is for `ledger.audit` to name.
So whatever cannot be told here, such as a number that no ledger has, may count as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np

from ledger.flows import TRANSACTION_KINDS
from ledger.forms import (
    ALLOWED,
    LOT_SUMS,
    OF_HOLD,
    SUM_CHANGES,
    SUMS,
    TOLD_OF_LOT,
    Forms,
    Special,
)
from ledger.layout import Columns, Integers, Layout, Mask, changes
from ledger.lots import MOST_CUSTOMERS, NEVER, FoldedLots, keys_of
from ledger.raw import Halves
from ledger.seals.canonical import CUSTOMER, customer_of, spans, spans_by_bytes
from ledger.state import hold_end

_AVAILABLE, _DEFERRED, _HELD = map(LOT_SUMS.index, ("available", "deferred", "held"))

LOT_FIELDS: Final = (
    *("l.customer_id", "l.id", *(f"l.{name}" for name in LOT_SUMS), "l.active_from"),
    *("l.occurred_at", "l.open", "l.expires_at", "l.bucket", "l.program", "l.program_version"),
    *("l.channel", "l.store"),
)
BALANCE_FIELDS: Final = (
    *("b.customer_id", "b.version", *(f"b.{name}" for name in SUMS)),
    *("coalesce(b.recorded_at, '-infinity')", "b.next_due", "0::bigint"),
)
"""The last one stands there so that something follows a due date that is null."""

_TRANSACTION: Final = Layout(
    ("xid", "q"), ("customer", "u"), ("version", "q"), ("id", "u"), ("operation", "u"),
    ("occurred_at", "q"), ("recorded_at", "q"), *((name, "q") for name in SUMS),
)  # fmt: skip
_POSTING: Final = Layout(
    ("customer", "u"), ("version", "q"), ("seq", "i"), ("amount", "q"), ("lot", "u"),
    ("active_from", "q"), ("occurred_at", "q"), ("recorded_at", "q"), last="expires_at",
)  # fmt: skip
_LOT: Final = Layout(
    ("customer", "u"), ("lot", "u"), *((name, "q") for name in LOT_SUMS),
    ("active_from", "q"), ("occurred_at", "q"), ("open", "?"), last="expires_at",
)  # fmt: skip
_BALANCE: Final = Layout(
    ("customer", "u"), ("version", "q"), *((name, "q") for name in SUMS), ("recorded_at", "q"),
    last="next_due",
)  # fmt: skip
_ID, _LOT_ID, _WHOSE = slice(48, 64), slice(56, 72), slice(4, 20)
"""In the bytes of a transaction its id, of a posting its lot, of rows beside their customer."""

_INFINITE: Final = NEVER.to_bytes(8)

Hold = list[Any]
"""Its status, until when (bytes), lots, amounts, captured, channel, store."""


class Page:
    """The whole histories of some customers, and what stands beside them.

    `transactions` are in the order of customers and versions, and so are `postings`, of which those
    without a transaction are passed over; `lots` and `balances` are in the order of customers.
    """

    def __init__(
        self,
        forms: Forms,
        transactions: Halves,
        postings: Sequence[bytes],
        lots: Sequence[bytes],
        balances: Sequence[bytes],
        holds: Mapping[bytes, Mapping[bytes, Hold]],
    ) -> None:
        self._forms = forms
        self._heads, self._rows = transactions[0], postings
        self._lots, self._balances, self._holds = lots, balances, holds
        self._history, self._moves = _TRANSACTION.nothing, _POSTING.nothing
        try:
            self._history, self._moves = _TRANSACTION.read(self._heads), _POSTING.read(postings)
            self.spans = spans(self._heads, postings, self._history, self._moves)
            new = changes(*self._history.id("customer"))
            self._of, firsts = np.cumsum(new) - 1, np.flatnonzero(new).tolist()
            self.customers = [self._heads[at][CUSTOMER] for at in firsts]
            """In their order."""
            self._readable = True
        except ValueError:
            # A row is laid out in another way than ours.
            self.spans = spans_by_bytes(self._heads, postings)
            self.customers = list(dict.fromkeys(map(customer_of, self._heads)))
            self._readable = False
        starts, ends = self.spans
        self._counts = ends - starts
        self.postings = len(postings)
        """How many of them have a transaction."""
        self._numbers = {customer: number for number, customer in enumerate(self.customers)}
        self._wrong = np.full(len(self.customers), not self._readable)
        if not np.array_equal(np.append(starts, len(postings)), np.append(0, ends)):
            # Some have no transaction, or some transactions have none.
            within = np.repeat(starts, self._counts) + _positions(self._counts) - 1
            self.postings = len(np.unique(within))
            if self._readable:
                self._pass_over(within)
        self.strangers: set[bytes] = set()
        """Who has lots, balances or holds, but no history."""

    def fold(self) -> Iterator[None]:
        """Look at all of it. Yields where others may have a turn."""
        self._lot_owners, self._balance_owners = map(self._owners, (self._lots, self._balances))
        self.strangers |= {customer for customer in self._holds if customer not in self._numbers}
        if self._readable:
            yield
            try:
                yield from self._fold()
            except ValueError:
                self._wrong[:] = True

    def suspects(self) -> list[bytes]:
        """With whom something is wrong."""
        return [self.customers[number] for number in np.flatnonzero(self._wrong).tolist()]

    def _pass_over(self, within: Integers) -> None:
        """Go on with some of the postings. Who has others is suspected."""
        for at in set(range(len(self._rows))).difference(within.tolist()):
            if (number := self._numbers.get(self._rows[at][_WHOSE])) is not None:
                self._wrong[number] = True
        self._rows = [self._rows[at] for at in within.tolist()]
        self._moves = self._moves.at(within)

    def _blame(self, whose: Integers, where: Mask) -> None:
        self._wrong[whose[where]] = True

    def _fold(self) -> Iterator[None]:
        if len(self.customers) > MOST_CUSTOMERS:
            raise ValueError("too many customers")
        of, counts, history, rows = self._of, self._counts, self._history, self._moves
        kinds, places, special = self._follow(history)
        yield
        known, effects, terms, told = self._forms.of_postings(_POSTING.rests(self._rows, rows))
        yield
        transaction = np.repeat(np.arange(len(of)), counts)
        whose, amount = of[transaction], rows["amount"]
        self._blame(whose, (known == 0) | ~ALLOWED[effects, kinds[transaction]])
        # No sum of such amounts goes around the end of the numbers.
        self._blame(whose, (amount <= 0) | (amount > 2**62 // max(len(amount), 1)))
        self._blame(whose, rows["seq"] != _positions(counts))
        for time in ("occurred_at", "recorded_at"):
            self._blame(whose, rows[time] != history[time][transaction])
        self._add_up(history, whose, effects, amount)
        yield
        folded = FoldedLots(rows, whose, terms, told)
        yield
        folded.add_up(effects, amount)
        self._blame(whose, folded.wrong)
        away = told != places[transaction]
        self._blame(whose, away & ~(TOLD_OF_LOT[effects] & (told == folded.place_of_each)))
        yield
        self._compare_lots(folded, history["occurred_at"][transaction[folded.first]])
        yield
        due = folded.due(len(self.customers))
        self._compare_holds(self._follow_holds(special, kinds, places, effects, amount), due)
        self._check_corrections(special)
        self._compare_balances(history, due)

    def _follow(self, history: Columns) -> tuple[Integers, Integers, list[tuple[int, Special]]]:
        """Versions, times and forms of the transactions. Their kinds and places, and which of them
        correct or hold."""
        of, recorded = self._of, history["recorded_at"]
        each = np.bincount(of, minlength=len(self.customers))
        self._blame(of, history["version"] != _positions(each))
        self._blame(of[1:], (recorded[1:] < recorded[:-1]) & (of[1:] == of[:-1]))
        forms = [head[_TRANSACTION.size :] for head in self._heads]
        known, kinds, places, special = self._forms.of_transactions(forms)
        self._blame(of, known == 0)
        return kinds, places, special

    def _add_up(
        self, history: Columns, whose: Integers, effects: Integers, amount: Integers
    ) -> None:
        """The sums after each transaction, and the debt after each posting."""
        ends = np.cumsum(self._counts)
        starts = (ends - self._counts)[_firsts(self._of)]
        totals = np.zeros(len(amount) + 1, np.int64)
        for name, change in zip(SUMS, SUM_CHANGES, strict=True):
            np.cumsum(change[effects] * amount, out=totals[1:])
            before = totals[starts]
            self._blame(self._of, totals[ends] - before[self._of] != history[name])
            if name == "debt":
                self._blame(whose, totals[1:] - before[whose] < 0)

    def _compare_lots(self, folded: FoldedLots, occurred_at: Integers) -> None:
        """The lots that histories lead to, beside those that are there."""
        lots, owner = self._lots, self._lot_owners
        if (owner < 0).any():
            lots = [lots[at] for at in np.flatnonzero(owner >= 0).tolist()]
            owner = owner[owner >= 0]
        there = _LOT.read(lots)
        known, terms, places = self._forms.of_lots(_LOT.rests(lots, there))
        self._blame(owner, known == 0)
        many = len(self.customers)
        as_many = np.bincount(owner, minlength=many) == np.bincount(folded.whose, minlength=many)
        self._wrong |= ~as_many
        high, low = there.id("lot")
        order = np.argsort(keys_of(owner, low), kind="stable")
        one, other = as_many[folded.whose], order[as_many[owner[order]]]
        sums = there.many(LOT_SUMS)
        left = sums[_AVAILABLE] + sums[_DEFERRED] + sums[_HELD]
        differ = (folded.sums[:, one] != sums[:, other]).any(axis=0)
        for here, said in (
            (folded.high, high),
            (folded.low, low),
            (folded.active_from, there["active_from"]),
            (folded.ends, there.present),
            (folded.expires_at, there.last),
            (folded.terms, terms),
            (folded.places, places),
            (occurred_at, there["occurred_at"]),
        ):
            differ |= here[one] != said[other]
        self._blame(folded.whose[one], differ)
        self._blame(owner, (there["open"] != 0) != (left > 0))

    def _follow_holds(
        self,
        special: Sequence[tuple[int, Special]],
        kinds: Integers,
        places: Integers,
        effects: Integers,
        amount: Integers,
    ) -> dict[int, dict[bytes, Hold]]:
        """The holds of customers that have any."""
        found: dict[int, dict[bytes, Hold]] = {}
        ends = np.cumsum(self._counts)
        named = self._forms.places.values()
        for at, (_, hold, until) in special:
            if hold is None:
                continue
            whose, kind = int(self._of[at]), TRANSACTION_KINDS[kinds[at]]
            moved: dict[bytes, int] = {}
            for one in range(int(ends[at] - self._counts[at]), int(ends[at])):
                if OF_HOLD[effects[one]]:
                    lot = self._rows[one][_LOT_ID]
                    moved[lot] = moved.get(lot, 0) + int(amount[one])
            holds = found.setdefault(whose, {})
            if kind == "hold" and until not in (None, _INFINITE):
                lots = [UUID(bytes=lot) for lot in moved]
                place = [None if name is None else name.decode() for name in named[places[at]]]
                holds[hold] = ["open", until, lots, list(moved.values()), 0, *place]
            elif hold in holds and kind != "hold":
                captured = sum(moved.values())
                status = hold_end(kind, captured)
                holds[hold] = [status, *holds[hold][1:4], captured, *holds[hold][5:]]
            else:
                self._wrong[whose] = True
        return found

    def _compare_holds(self, found: Mapping[int, Mapping[bytes, Hold]], due: Integers) -> None:
        """Holds beside those that are there and beside what is held. Their ends come into `due`."""
        held = self._history["held"][self._newest()]
        differ = held != 0
        for customer, there in self._holds.items():
            number = self._numbers.get(customer)
            if number is not None and found.get(number) != there:
                self._wrong[number] = True
        for number, holds in found.items():
            if self.customers[number] not in self._holds:
                self._wrong[number] = True
            left = int(held[number])
            for status, until, _, amounts, *_ in holds.values():
                if status == "open":
                    due[number] = min(due[number], int.from_bytes(until, signed=True))
                    left -= sum(amounts)
            differ[number] = left != 0
        self._wrong |= differ

    def _check_corrections(self, special: Sequence[tuple[int, Special]]) -> None:
        """What a transaction corrects is an earlier one of its customer."""
        correcting = [(at, corrects) for at, (corrects, _, _) in special if corrects is not None]
        if not correcting:
            return
        places = {head[_ID]: at for at, head in enumerate(self._heads)}
        for at, corrects in correcting:
            other = places.get(corrects, at)
            if other >= at or self._of[other] != self._of[at]:
                self._wrong[self._of[at]] = True

    def _compare_balances(self, history: Columns, due: Integers) -> None:
        """Balances beside the newest transactions, and beside what is next due."""
        owner = self._balance_owners
        there = _BALANCE.read(self._balances)
        many = len(self.customers)
        self._wrong |= np.bincount(owner[owner >= 0], minlength=many) != 1
        newest = self._newest()
        mine = owner >= 0
        whose = owner[mine]
        at = newest[whose]
        differ = (history.many(SUMS)[:, at] != there.many(SUMS)[:, mine]).any(axis=0)
        for name in ("version", "recorded_at"):
            differ |= history[name][at] != there[name][mine]
        said = np.where(there.present, there.last, NEVER)
        no_time = (there.last == NEVER) | (there["recorded_at"] == -NEVER - 1)
        differ |= no_time[mine]
        self._blame(whose, differ | (said[mine] != due[whose]))

    def _newest(self) -> Integers:
        """The last transaction of each customer."""
        firsts = _firsts(self._of)
        return np.append(firsts[1:], len(self._of))[: len(firsts)] - 1

    def _owners(self, rows: Sequence[bytes]) -> Integers:
        """The number of each row's customer; -1 for a stranger."""
        found = [self._numbers.get(row[_WHOSE], -1) for row in rows]
        if -1 in found:
            pairs = zip(rows, found, strict=True)
            self.strangers |= {row[_WHOSE] for row, number in pairs if number < 0}
        return np.array(found, np.int64)


def _positions(counts: Integers) -> Integers:
    """1, 2, 3 … for each count."""
    ends = np.cumsum(counts)
    found: Integers = np.arange(1, counts.sum() + 1) - np.repeat(ends - counts, counts)
    return found


def _firsts(of: Integers) -> Integers:
    """Where each customer begins."""
    return np.flatnonzero(changes(of))
