"""A customer's history added up from the bytes of its rows, without an object for each.

What a flow does to a lot and to the sums is read off the code that posts, once. A `Fold` only says
whether all is right; what is wrong is for `ledger.audit` to name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from ledger.flows import BUCKETS, FLOWS, MAY_HOLD, OF_LOT, TRANSACTION_KINDS, Bucket, Flow
from ledger.model import Posting
from ledger.seals.canonical import (
    POSTING_HEAD,
    POSTING_REST,
    PRESENT,
    TRANSACTION_HEAD,
    values_from,
)
from ledger.state import CustomerState, hold_end

LOT_SUMS: Final = (
    "amount", "available", "deferred", "held", "redeemed", "revoked", "owed", "expired", "forgiven",
)  # fmt: skip
SUMS: Final = ("available", "promo", "deferred", "held", "debt")
_AMOUNT, _AVAILABLE, _DEFERRED, _HELD, _REVOKED = map(
    LOT_SUMS.index, ("amount", "available", "deferred", "held", "revoked")
)
_ACTIVE_FROM, _EXPIRES_AT, _TERMS, _OCCURRED_AT, _PLACE = range(len(LOT_SUMS), len(LOT_SUMS) + 5)
"""A lot is a list here: its sums, then these."""

LOT_FIELDS: Final = (
    f"l.customer_id, l.id, {', '.join(f'l.{name}' for name in LOT_SUMS)}, l.active_from,"
    " l.occurred_at, l.open, l.expires_at, l.bucket, l.program, l.program_version, l.channel,"
    " l.store"
)
_LOT_HEAD: Final = struct.Struct(">28x8x16s" + (len(LOT_SUMS) + 2) * "8xq" + "8x?4xiq")
_LOT_REST: Final = (_LOT_HEAD.size - 8, _LOT_HEAD.size)

_FORMS_KEPT: Final = 100_000

Place = tuple[str | None, str | None]
Terms = tuple[bytes | None, bytes | None, bytes | None]
Moves = tuple[int, ...]
Part = tuple[str, Place, bytes | None, bytes | None, bytes | None, "dict[bytes, Form]"]
"""Of a transaction: its kind, its place, what it corrects, its hold and until when, as bytes; and
the forms that postings had in its kind."""


class Effect(NamedTuple):
    """What one point of a flow does: which of LOT_SUMS and of SUMS grow by it or shrink.

    `of_lot`: it may be told of where the points were given; `of_hold`: it is part of a hold.
    """

    lot_up: Moves
    lot_down: Moves
    up: Moves
    down: Moves
    revokes: bool
    of_lot: bool
    of_hold: bool


Form = tuple[Effect, Terms, Place]
"""What a posting says beside its numbers: what it does, the terms of its lot, and where."""


class Forms:
    """What rows have in common, by its bytes: a chain has some thousands of forms."""

    def __init__(self) -> None:
        self.transactions: dict[bytes, Part] = {}
        self._postings: dict[str, dict[bytes, Form]] = {}
        self._lots: dict[bytes, tuple[Terms, Place]] = {}

    def part(self, form: bytes) -> Part:
        """The second part of a transaction. Raises ValueError for what is none."""
        kind, channel, store, corrects, hold, until = _values(form, 6, 4)
        named = (kind or b"").decode()
        where = _place(channel, store)
        part = named, where, corrects, hold, until, self.known(named)
        if corrects is None and hold is None:
            _keep(self.transactions, form, part)
        return part

    def known(self, kind: str) -> dict[bytes, Form]:
        """Forms of postings that stood in transactions of this kind."""
        return self._postings.setdefault(kind, {})

    def learn(self, transaction: str, rest: bytes) -> Form:
        """The form of a posting in a transaction of a kind. Raises ValueError for what is none,
        KeyError for what must not stand there."""
        kind, debit, credit, bucket, program, version, channel, store, _ = _values(rest, 9)
        flow = tuple((value or b"").decode() for value in (kind, debit, credit, bucket))
        form = _EFFECTS[flow][transaction], (bucket, program, version), _place(channel, store)
        _keep(self.known(transaction), rest, form)
        return form

    def of_lot(self, rest: bytes) -> tuple[Terms, Place]:
        """The terms and the place of a lot. Raises ValueError for what is none."""
        known = self._lots.get(rest)
        if known is None:
            bucket, program, version, channel, store = _values(rest, 5)
            found = (bucket, program, version), _place(channel, store)
            _keep(self._lots, rest, found)
            return found
        return known


class Fold:
    """One customer's history, added up. Once `right` is False, the rest is only counted."""

    __slots__ = (
        "_earlier",
        "_forms",
        "_holds",
        "_lots",
        "_recorded_at",
        "_sums",
        "customer",
        "postings",
        "right",
        "version",
    )

    def __init__(self, customer: bytes, forms: Forms) -> None:
        self._forms = forms
        self.customer = customer
        self.version = 0
        self.postings = 0
        self.right = True
        self._sums = [0] * len(SUMS)
        self._lots: dict[bytes, list[Any]] = {}
        self._holds: dict[bytes, list[Any]] = {}
        self._recorded_at = -(2**63)
        self._earlier: set[bytes] = set()

    def follow(self, head: bytes, form: bytes, postings: Sequence[bytes]) -> None:
        """The next transaction: the bytes of its two parts, and of its postings."""
        self.version += 1
        self.postings += len(postings)
        if not self.right:
            return
        try:
            _, _, version, id_, at, recorded_at, *after = TRANSACTION_HEAD.unpack_from(head)
            part = self._forms.transactions.get(form) or self._forms.part(form)
            kind, place, corrects, hold, until, known = part
            self.right = (
                version == self.version
                and recorded_at >= self._recorded_at
                and (corrects is None or corrects in self._earlier)
                and self._post(kind, at, recorded_at, place, known, postings)
                and self._sums == after
                and (hold is None or self._follow_hold(kind, hold, until, postings, place))
            )
        except (KeyError, ValueError, struct.error):
            self.right = False
            return
        self._recorded_at = recorded_at
        self._earlier.add(id_)

    def agrees(
        self, balance: Sequence[Any] | None, lots: Sequence[bytes], holds: Mapping[bytes, list[Any]]
    ) -> bool:
        """Whether balance, lots and holds are what the history leads to.

        `balance` is its version, its times of record and next due as bytes, its sums; holds have
        the columns of `_follow_hold`.
        """
        if balance is None or len(lots) != len(self._lots) or holds != self._holds:
            return False
        version, recorded_at, next_due, *sums = balance
        if (version, _time(recorded_at), sums) != (self.version, self._recorded_at, self._sums):
            return False
        try:
            return all(map(self._has, lots)) and _time(next_due) == self._due()
        except (ValueError, struct.error):
            return False

    def _post(
        self,
        kind: str,
        at: int,
        recorded_at: int,
        place: Place,
        known: dict[bytes, Form],
        postings: Iterable[bytes],
    ) -> bool:
        sums, lots = self._sums, self._lots
        unpack, (without, with_end) = POSTING_HEAD.unpack_from, POSTING_REST
        for number, packed in enumerate(postings, 1):
            seq, amount, lot_id, active_from, said_at, said_recorded_at, present, expires_at = (
                unpack(packed)
            )  # fmt: skip
            if present == PRESENT:
                rest = packed[with_end:]
            else:
                rest, expires_at = packed[without:], None
            form = known.get(rest) or self._forms.learn(kind, rest)
            (lot_up, lot_down, up, down, revokes, of_lot, _), terms, where = form
            if amount <= 0 or seq != number or said_at != at or said_recorded_at != recorded_at:
                return False
            lot = lots.get(lot_id)
            if lot is None:
                lot = [0, 0, 0, 0, 0, 0, 0, 0, 0, active_from, expires_at, terms, at, where]
                lots[lot_id] = lot
            elif (
                lot[_ACTIVE_FROM] != active_from
                or lot[_EXPIRES_AT] != expires_at
                or lot[_TERMS] != terms
            ):
                return False
            if where is not place and where != place and not (of_lot and where == lot[_PLACE]):
                return False
            for which in lot_up:
                lot[which] += amount
            for which in lot_down:
                lot[which] -= amount
                if lot[which] < 0:
                    return False
            if revokes and lot[_REVOKED] > lot[_AMOUNT]:
                return False
            for which in up:
                sums[which] += amount
            for which in down:
                sums[which] -= amount
        return sums[-1] >= 0

    def _follow_hold(
        self, kind: str, hold: bytes, until: bytes | None, postings: Iterable[bytes], place: Place
    ) -> bool:
        moved: dict[bytes, int] = {}
        for packed in postings:
            _, amount, lot, *_, present, _ = POSTING_HEAD.unpack_from(packed)
            effect, *_ = self._forms.learn(kind, packed[POSTING_REST[present == PRESENT] :])
            if effect.of_hold:
                moved[lot] = moved.get(lot, 0) + amount
        if kind == "hold" and until is not None:
            lots = [UUID(bytes=lot) for lot in moved]
            self._holds[hold] = ["open", until, lots, list(moved.values()), 0, *place]
            return True
        known = self._holds.get(hold)
        if known is None:
            return False
        captured = sum(moved.values())
        self._holds[hold] = [hold_end(kind, captured), *known[1:4], captured, *known[5:]]
        return True

    def _has(self, packed: bytes) -> bool:
        """Whether this lot is one of those that the history made."""
        id_, *sums, active_from, occurred_at, is_open, present, expires_at = (
            _LOT_HEAD.unpack_from(packed)
        )  # fmt: skip
        if present != PRESENT:
            expires_at = None
        terms, place = self._forms.of_lot(packed[_LOT_REST[present == PRESENT] :])
        said = [*sums, active_from, expires_at, terms, occurred_at, place]
        left = sums[_AVAILABLE] + sums[_DEFERRED] + sums[_HELD]
        return self._lots.get(id_) == said and is_open == (left > 0)

    def _due(self) -> int | None:
        """The next instant at which a lot or hold changes by time alone."""
        lots = self._lots.values()
        dates = [lot[_ACTIVE_FROM] for lot in lots if lot[_DEFERRED]]
        dates += [lot[_EXPIRES_AT] for lot in lots if lot[_EXPIRES_AT] and lot[_AVAILABLE]]
        dates += [_time(hold[1]) for hold in self._holds.values() if hold[0] == "open"]
        return min(dates, default=None)


def _time(packed: bytes | None) -> int | None:
    """Microseconds since 2000 from the bytes of a time."""
    return None if packed is None else int.from_bytes(packed, signed=True)


def _values(packed: bytes, count: int, at: int = 0) -> list[bytes | None]:
    values = values_from(packed, at)
    if len(values) != count:
        raise ValueError(f"{len(values)} columns, not {count}")
    return values


def _place(channel: bytes | None, store: bytes | None) -> Place:
    return (channel and channel.decode(), store and store.decode())  # type: ignore[return-value]


def _keep(known: dict[bytes, Any], key: bytes, value: object) -> None:
    if len(known) >= _FORMS_KEPT:
        known.clear()
    known[key] = value


def _effect(flow: Flow, bucket: Bucket) -> Effect:
    """What `CustomerState.post` does with one point of a flow."""
    lot_id, at = UUID(int=0), datetime(2026, 1, 1, tzinfo=UTC)
    state = CustomerState(UUID(int=0), strict=False)
    posting = Posting(*flow, 1, lot_id, bucket, at, None, None, None, None, None, None)
    state.post(posting, at)
    of_lot = [getattr(state.lots[lot_id], name) for name in LOT_SUMS]
    sums = [getattr(state, name) for name in SUMS]
    kind = flow[0]
    return Effect(
        _places(of_lot, 1),
        _places(of_lot, -1),
        _places(sums, 1),
        _places(sums, -1),
        revokes=kind == "revoke",
        of_lot=kind in OF_LOT,
        of_hold=kind in ("hold", "capture"),
    )


def _places(changes: Sequence[int], change: int) -> Moves:
    return tuple(place for place, value in enumerate(changes) if value == change)


_EFFECTS: Final[dict[tuple[str, ...], dict[str, Effect]]] = {
    (*flow, bucket): {
        kind: _effect(flow, bucket) for kind in TRANSACTION_KINDS if flow[0] in MAY_HOLD[kind]
    }
    for flow in FLOWS
    for bucket in BUCKETS
}
"""The effects of all flows and buckets, by the kinds of transactions that may hold them."""
