"""A quick look at whole histories: which customers need a closer one.

The audit folds each customer with the very code that posts. That names what is wrong, but makes an
object of every posting and lot. Here postings come packed, as bytes, and what a flow does to a lot
and to the sums is read off that same code once. Whoever is not found right in every respect is
folded again slowly, so that a suspicion costs time only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from ledger.flows import BUCKETS, FLOWS, MAY_HOLD, OF_LOT, TRANSACTION_KINDS, Bucket, Flow
from ledger.load import Connection
from ledger.model import Posting
from ledger.state import CustomerState, hold_end

LOT_SUMS: Final = (
    "amount", "available", "deferred", "held", "redeemed", "revoked", "owed", "expired", "forgiven",
)  # fmt: skip
SUMS: Final = ("available", "promo", "deferred", "held", "debt")
_AMOUNT, _REVOKED = LOT_SUMS.index("amount"), LOT_SUMS.index("revoked")

_LOT_BYTES = " || ".join(f"int8send(l.{name})" for name in LOT_SUMS)
_TERMS = "hash_record_extended(ROW({0}.bucket, {0}.active_from, {0}.expires_at, {0}.program," + (
    " {0}.program_version), 0)"
)
_FLOW = "hash_record_extended(ROW({}), 0)"

_WHEN = "hash_record_extended(ROW({0}.occurred_at, {0}.recorded_at), 0)"
_PLACE = "hash_record_extended(ROW({0}.channel, {0}.store), 0)"

_HISTORY = f"""
SELECT t.customer_id, t.version, t.id, t.kind, timestamptz_send(t.occurred_at),
       timestamptz_send(t.recorded_at), t.corrects, t.hold_id, t.hold_expires_at,
       t.available_after, t.promo_after, t.deferred_after, t.held_after, t.debt_after,
       p.moves, {_WHEN.format("t")}, {_PLACE.format("t")}, p.gaps
FROM ledger.transactions t
LEFT JOIN (
    SELECT customer_id, version, count(*) <> max(seq) AS gaps,
           string_agg(int8send(p.amount) || uuid_send(p.lot_id)
               || int8send({_FLOW.format("p.kind, p.debit, p.credit, p.bucket")})
               || int8send({_TERMS.format("p")}) || int8send({_WHEN.format("p")})
               || int8send({_PLACE.format("p")}), ''::bytea ORDER BY seq) AS moves
    FROM ledger.postings p WHERE customer_id = ANY($1) GROUP BY customer_id, version
) AS p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.customer_id = ANY($1) ORDER BY t.customer_id, t.version
"""
_PROJECTIONS = f"""
SELECT b.customer_id, b.version, timestamptz_send(b.recorded_at),
       b.available, b.promo, b.deferred, b.held, b.debt, l.lots,
       b.next_due IS DISTINCT FROM least(l.active_from, l.expires_at, h.expires_at)
FROM ledger.balances b
LEFT JOIN (
    SELECT l.customer_id,
           string_agg(uuid_send(l.id) || int8send({_TERMS.format("l")})
               || timestamptz_send(l.occurred_at) || int8send({_PLACE.format("l")})
               || {_LOT_BYTES}, ''::bytea) AS lots,
           min(l.active_from) FILTER (WHERE l.deferred > 0) AS active_from,
           min(l.expires_at) FILTER (WHERE l.available > 0) AS expires_at
    FROM ledger.lots l WHERE l.customer_id = ANY($1) GROUP BY l.customer_id
) AS l ON l.customer_id = b.customer_id
LEFT JOIN (
    SELECT h.customer_id, min(h.expires_at) AS expires_at FROM ledger.holds h
    WHERE h.customer_id = ANY($1) AND h.status = 'open' GROUP BY h.customer_id
) AS h ON h.customer_id = b.customer_id
WHERE b.customer_id = ANY($1)
"""
_HOLDS = f"""
SELECT customer_id, id, status, expires_at, lots, amounts, captured, {_PLACE.format("h")}
FROM ledger.holds h WHERE customer_id = ANY($1)
"""

IN_ORDER: Final = """
SELECT set_config(name, 'off', true)
FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'jit']) AS name
"""
"""For a transaction that screens: some customers' rows, each table by its index, in order."""

_MOVES: Final = struct.Struct(">q16sqqqq")
_LOTS: Final = struct.Struct(f">16sq8sq{len(LOT_SUMS)}q")

Moves = tuple[tuple[int, int], ...]


class Effect(Struct, frozen=True):
    """What one point of a flow does: (place in LOT_SUMS, sign) and (place in SUMS, sign)."""

    kind: str
    lot: Moves
    sums: Moves


Effects = Mapping[tuple[str, int], Effect]
"""By kind of transaction, and the server's hash of the flow and bucket: all that may be."""


async def read_effects(connection: Connection) -> Effects:
    """The effects of all flows, under the names by which this server packs them."""
    effects: dict[tuple[str, int], Effect] = {}
    for flow in FLOWS:
        for bucket in BUCKETS:
            query = f"SELECT {_FLOW.format('$1::text, $2::text, $3::text, $4::text')}"
            name: int = await connection.fetchval(query, *flow, bucket)
            effect = _effect(flow, bucket)
            for kind in TRANSACTION_KINDS:
                if flow[0] in MAY_HOLD[kind]:
                    effects[kind, name] = effect
    return effects


class Screened(Struct):
    """How much was looked at, and who needs a closer look, in order."""

    customers: int = 0
    transactions: int = 0
    postings: int = 0
    suspects: list[UUID] = []


async def screen(connection: Connection, ids: Sequence[UUID], effects: Effects) -> Screened:
    """Fold the customers of `ids`, all of whom have transactions."""
    seen = Screened(customers=len(ids))
    rows = await connection.fetch(_PROJECTIONS, ids)
    projections = {row[0]: tuple(row) for row in rows}
    holds: dict[UUID, dict[UUID, Any]] = {}
    for customer, hold, *rest in await connection.fetch(_HOLDS, ids):
        holds.setdefault(customer, {})[hold] = rest
    history = await connection.fetch(_HISTORY, ids)
    for customer, transactions in groupby(history, key=lambda row: row[0]):
        fold = _Fold(effects)
        right = fold.follow(map(tuple, transactions))
        seen.transactions += fold.version
        seen.postings += fold.postings
        if not (right and fold.agrees(projections.get(customer), holds.get(customer, {}))):
            seen.suspects.append(customer)
    return seen


class _Fold:
    """One customer's history, added up."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self.version = 0
        self.postings = 0
        self._sums = [0] * len(SUMS)
        self._lots: dict[bytes, list[int]] = {}
        self._made: dict[bytes, tuple[int, bytes, int]] = {}
        self._holds: dict[UUID, list[Any]] = {}
        self._recorded_at = b""

    def follow(self, transactions: Iterable[Sequence[Any]]) -> bool:
        """Add up; False as soon as something is not right, and the rest is only counted."""
        right, earlier = True, set()
        for row in transactions:
            _, version, id_, kind, at, recorded_at, corrects, hold, until, *after = row
            moves, when, place, gaps = after[5:]
            moves = moves or b""
            self.version += 1
            self.postings += len(moves) // _MOVES.size
            if not right:
                continue
            right = (
                not gaps
                and version == self.version
                and recorded_at >= self._recorded_at
                and (corrects is None or corrects in earlier)
                and self._post(kind, at, moves, when, place)
                and self._sums == after[:5]
                and (hold is None or self._follow_hold(kind, hold, until, moves, place))
            )
            self._recorded_at = recorded_at
            earlier.add(id_)
        return right

    def agrees(self, row: Sequence[Any] | None, holds: Mapping[UUID, list[Any]]) -> bool:
        """Whether balance, lots and holds are what the history leads to."""
        if row is None or row[9] or row[1] != self.version or row[2] != self._recorded_at:
            return False
        if list(row[3:8]) != self._sums or holds != self._holds:
            return False
        lots, made = self._lots, self._made
        packed = row[8] or b""
        if len(packed) != _LOTS.size * len(lots):
            return False
        for lot, said, at, place, *sums in _LOTS.iter_unpack(packed):
            if lots.get(lot) != sums or made[lot] != (said, at, place):
                return False
        return True

    def _post(self, kind: str, at: bytes, moves: bytes, when: int, place: int) -> bool:
        sums, lots, effects = self._sums, self._lots, self._effects
        for amount, lot_id, flow, terms, said_when, said_place in _MOVES.iter_unpack(moves):
            effect = effects.get((kind, flow))
            if effect is None or amount <= 0 or said_when != when:
                return False
            lot = lots.get(lot_id)
            if lot is None:
                lot = lots[lot_id] = [0] * len(LOT_SUMS)
                self._made[lot_id] = (terms, at, said_place)
            elif self._made[lot_id][0] != terms:
                return False
            of_lot = effect.kind in OF_LOT and said_place == self._made[lot_id][2]
            if said_place != place and not of_lot:
                return False
            for at_sum, sign in effect.lot:
                lot[at_sum] += sign * amount
                if lot[at_sum] < 0:
                    return False
            if lot[_REVOKED] > lot[_AMOUNT]:
                return False
            for at_sum, sign in effect.sums:
                sums[at_sum] += sign * amount
        return sums[-1] >= 0

    def _follow_hold(
        self, kind: str, hold: UUID, until: datetime | None, moves: bytes, place: int
    ) -> bool:
        moved: dict[bytes, int] = {}
        for amount, lot, flow, *_ in _MOVES.iter_unpack(moves):
            if self._effects[kind, flow].kind in ("hold", "capture"):
                moved[lot] = moved.get(lot, 0) + amount
        if kind == "hold" and until is not None:
            lots = [UUID(bytes=lot) for lot in moved]
            self._holds[hold] = ["open", until, lots, list(moved.values()), 0, place]
            return True
        known = self._holds.get(hold)
        if known is None:
            return False
        captured = sum(moved.values())
        self._holds[hold] = [hold_end(kind, captured), *known[1:4], captured, known[5]]
        return True


def _effect(flow: Flow, bucket: Bucket) -> Effect:
    """What `CustomerState.post` does with one point of a flow."""
    lot_id, at = UUID(int=0), datetime(2026, 1, 1, tzinfo=UTC)
    state = CustomerState(UUID(int=0), strict=False)
    posting = Posting(*flow, 1, lot_id, bucket, at, None, None, None, None, None, None)
    state.post(posting, at)
    lot = state.lots[lot_id]
    return Effect(
        flow[0],
        _moves(getattr(lot, name) for name in LOT_SUMS),
        _moves(getattr(state, name) for name in SUMS),
    )


def _moves(changes: Iterable[int]) -> Moves:
    return tuple((place, change) for place, change in enumerate(changes) if change)
