"""What rows have in common, understood once: the kinds, flows, terms and places that they name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from struct import error as StructError
from typing import Any, Final
from uuid import UUID

import numpy as np

from ledger.flows import BUCKETS, FLOWS, MAY_HOLD, OF_LOT, TRANSACTION_KINDS
from ledger.layout import Integers
from ledger.model import Posting
from ledger.seals.canonical import values_from
from ledger.state import CustomerState

LOT_SUMS: Final = (
    "amount", "available", "deferred", "held", "redeemed", "revoked", "owed", "expired", "forgiven",
)  # fmt: skip
SUMS: Final = ("available", "promo", "deferred", "held", "debt")

_MOST: Final = 100_000

Special = tuple[bytes | None, bytes | None, bytes | None]
"""Of a transaction: what it corrects, its hold, and until when."""


class Names:
    """Numbers for values, from 0 on."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, value: object) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def values(self) -> list[Any]:
        return list(self._numbers)


class Meanings:
    """Forms of a table, by their bytes: the numbers, from 1 on, of what they mean, in integers. 0
    is the number of whatever means nothing."""

    def __init__(self, width: int) -> None:
        self.known: dict[bytes, int] = {}
        self._meanings = Names()
        self._table: Integers = np.zeros((1, width), np.int64)

    def __len__(self) -> int:
        return len(self.known)

    def learn(self, meaning: tuple[int, ...], form: bytes | None) -> int:
        number = self._meanings.number(meaning) + 1
        if form is not None:
            self.known[form] = number
        return number

    def numbers(self, forms: Sequence[bytes], learn: Callable[[int], int]) -> Integers:
        """Of the forms of rows. `learn` is asked for those that are not known, by their place; it
        may raise ValueError, KeyError or struct.error for what means nothing."""
        found: list[Any] = list(map(self.known.get, forms))
        if None in found:
            for at, number in enumerate(found):
                if number is None:
                    try:
                        found[at] = self.known.get(forms[at]) or learn(at)
                    except (ValueError, KeyError, StructError):
                        found[at] = 0
        return np.array(found, np.int64)

    def of(self, numbers: Integers) -> Integers:
        """What they mean: a row for each integer."""
        if len(self._table) <= len(self._meanings):
            self._table = np.array([self._table[0], *self._meanings.values()])
        return self._table[numbers].T


class Forms:
    """Those of one audit: a chain has some thousands."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.places, self._terms = Names(), Names()
        self._transactions, self._postings, self._lots = Meanings(2), Meanings(3), Meanings(2)

    def make_room(self) -> None:
        """Between two pages: forget all of it when it is much."""
        if max(map(len, (self._transactions, self._postings, self._lots))) > _MOST:
            self._clear()

    def of_transactions(
        self, forms: Sequence[bytes]
    ) -> tuple[Integers, Integers, Integers, list[tuple[int, Special]]]:
        """Their numbers, kinds and places; and by place in the list those that correct or hold."""
        special: list[tuple[int, Special]] = []

        def learn(at: int) -> int:
            kind, channel, store, corrects, hold, until = _values(forms[at], 6)
            meaning = TRANSACTION_KINDS.index(_text(kind)), self.places.number((channel, store))
            plain = corrects is None and hold is None
            if not plain:
                special.append((at, (corrects, hold, until)))
            return self._transactions.learn(meaning, forms[at] if plain else None)

        numbers = self._transactions.numbers(forms, learn)
        kinds, places = self._transactions.of(numbers)
        return numbers, kinds, places, special

    def of_postings(self, forms: Sequence[bytes]) -> tuple[Integers, Integers, Integers, Integers]:
        """Their numbers, effects, terms and places."""

        def learn(at: int) -> int:
            kind, debit, credit, bucket, *terms, channel, store, _ = _values(forms[at], 9)
            effect = _NUMBERS[_text(kind), _text(debit), _text(credit), _text(bucket)]
            named = self._terms.number((bucket, *terms)), self.places.number((channel, store))
            return self._postings.learn((effect, *named), forms[at])

        numbers = self._postings.numbers(forms, learn)
        effects, terms, places = self._postings.of(numbers)
        return numbers, effects, terms, places

    def of_lots(self, forms: Sequence[bytes]) -> tuple[Integers, Integers, Integers]:
        """Their numbers, terms and places."""

        def learn(at: int) -> int:
            bucket, program, version, channel, store = _values(forms[at], 5)
            terms = self._terms.number((bucket, program, version))
            return self._lots.learn((terms, self.places.number((channel, store))), forms[at])

        numbers = self._lots.numbers(forms, learn)
        terms, places = self._lots.of(numbers)
        return numbers, terms, places


def _values(form: bytes, count: int) -> list[bytes | None]:
    values = values_from(form)
    if len(values) != count:
        raise ValueError(f"{len(values)} columns, not {count}")
    return values


def _text(value: bytes | None) -> Any:
    return (value or b"").decode()


_FLOWS: Final = [(*flow, bucket) for flow in FLOWS for bucket in BUCKETS]
_NUMBERS: Final[dict[tuple[str, ...], int]] = {flow: at for at, flow in enumerate(_FLOWS)}
"""Of effects: what flows of points of a bucket do."""


def _changes(flow: tuple[Any, ...]) -> tuple[list[int], list[int]]:
    """What `CustomerState.post` does with one point of a flow: to its lot, and to the sums."""
    lot_id, at = UUID(int=0), datetime(2026, 1, 1, tzinfo=UTC)
    state = CustomerState(UUID(int=0), strict=False)
    kind, debit, credit, bucket = flow
    terms = (None,) * 6
    state.post(Posting(kind, debit, credit, 1, lot_id, bucket, at, *terms), at)
    lot = state.lots[lot_id]
    return [getattr(lot, name) for name in LOT_SUMS], [getattr(state, name) for name in SUMS]


LOT_CHANGES: Final[Integers] = np.array([_changes(flow)[0] for flow in _FLOWS]).T.copy()
SUM_CHANGES: Final[Integers] = np.array([_changes(flow)[1] for flow in _FLOWS]).T.copy()
"""By LOT_SUMS and by SUMS, then by effect."""

ALLOWED: Final = np.array(
    [[flow[0] in MAY_HOLD[kind] for kind in TRANSACTION_KINDS] for flow in _FLOWS]
)
"""By effect and kind of transaction."""

TOLD_OF_LOT: Final = np.array([flow[0] in OF_LOT for flow in _FLOWS])
OF_HOLD: Final = np.array([flow[0] in ("hold", "capture") for flow in _FLOWS])
REVOKES: Final = np.array([flow[0] == "revoke" for flow in _FLOWS])
"""By effect: whether it may be told of where the points were given; is part of a hold; takes back.
"""
