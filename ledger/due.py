"""What time alone does: holds end, deferred lots become available, lots expire.

Every transaction of a customer first brings the customer up to date, and every balance read
applies the same rule, so that nobody at a till waits for a worker (DESIGN: never late).
"""

from __future__ import annotations

from datetime import datetime
from heapq import heapify, heappop, heappush
from uuid import UUID

from ledger.draft import Draft
from ledger.flows import TransactionKind
from ledger.model import Lot, Transaction
from ledger.reclaim import reclaim
from ledger.state import CustomerState

Event = tuple[datetime, int, UUID]

_KINDS: tuple[TransactionKind, ...] = ("hold_expiry", "activation", "expiry")
_HOLD_EXPIRY, _ACTIVATION, _EXPIRY = range(3)


def roll_forward(
    state: CustomerState,
    until: datetime,
    recorded_at: datetime,
    not_before: datetime | None = None,
    closed_until: datetime | None = None,
) -> list[Transaction]:
    """Post everything due at or before `until`, oldest first, dated at the instant it was due, or
    at `closed_until` when that lies in a closed period.

    What falls on one instant: holds end first, then lots become available, then lots expire
    (expiry is exclusive: at that instant the points are gone). Points that come back to a lot
    already expired (a hold ends, a redemption is restored at `not_before`) expire at that moment.
    """
    events: list[Event] = [
        (hold.expires_at, _HOLD_EXPIRY, hold.id)
        for hold in state.holds.values()
        if hold.status == "open" and hold.expires_at <= until
    ]
    for lot in state.lots.values():
        event = _event_of(lot, until, not_before)
        if event is not None:
            events.append(event)
    if not events:
        return []
    heapify(events)
    return list(_run(state, events, until, recorded_at, closed_until))


def _event_of(lot: Lot, until: datetime, not_before: datetime | None) -> Event | None:
    if lot.deferred > 0 and lot.active_from <= until:
        return (lot.active_from, _ACTIVATION, lot.id)
    if lot.available > 0 and lot.expires_at is not None and lot.expires_at <= until:
        return (max(lot.expires_at, not_before or lot.expires_at), _EXPIRY, lot.id)
    return None


def _run(
    state: CustomerState,
    events: list[Event],
    until: datetime,
    recorded_at: datetime,
    closed_until: datetime | None,
) -> list[Transaction]:
    written: list[Transaction] = []
    while events:
        at, kind, first = heappop(events)
        due = [first]
        while kind != _HOLD_EXPIRY and events and events[0][:2] == (at, kind):
            due.append(heappop(events)[2])
        dated = at if closed_until is None else max(at, closed_until)
        draft = Draft(state, _KINDS[kind], dated)
        if kind == _HOLD_EXPIRY:
            hold = state.holds[first]
            draft.hold_id, draft.channel, draft.store = first, hold.channel, hold.store
            due = [lot_id for lot_id, _ in hold.parts]
            for lot_id, amount in hold.parts:
                draft.post("release", "held", "available", amount, state.lots[lot_id])
            reclaim(draft)
        else:
            for lot in (state.lots[lot_id] for lot_id in due):
                if kind == _ACTIVATION:
                    draft.post("activate", "deferred", "available", lot.deferred, lot)
                else:
                    draft.post("expire", "available", "expired", lot.available, lot)
        if draft.postings:
            written.append(draft.finish(recorded_at))
        if kind != _EXPIRY:
            for event in (_event_of(state.lots[lot_id], until, at) for lot_id in due):
                if event is not None:
                    heappush(events, event)
    return written
