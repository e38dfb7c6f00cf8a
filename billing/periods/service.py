"""Closing months, and reopening them by two people."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from billing.approvals import store as approvals
from billing.approvals.model import own_approval
from billing.approvals.people import had_a_hand
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, Forbidden, Overloaded
from billing.periods import store
from billing.periods.model import Event, EventKind, Late, Period, Sealed, State, seal
from ledger.closing import NEVER, due_before, writers_gone
from ledger.ids import uuid7
from ledger.selection import DIMENSIONS, Selection
from ledger.service import Ledger
from ledger.sums import flow_sums, snapshot
from ledger.sweep import post_due

REOPENING: Final = "period_reopening"
"""Of approvals; `periods.foureyes` registers it."""
WRITERS_S: Final = 20.0
SWEEP_S: Final = 60.0
COUNTED: Final = 10_000


class View(msgspec.Struct, frozen=True):
    """A month with all that happened to it. `due`: customers with something due in it that is not
    posted, and will be posted into the open period."""

    period: Period
    state: State
    events: tuple[Event, ...]

    @property
    def closed(self) -> Event | None:
        """The closing that holds."""
        if self.state not in ("closed", "reopen_requested"):
            return None
        return next(one for one in reversed(self.events) if one.kind == "closed")

    @property
    def request(self) -> Event | None:
        """The request to reopen it that waits."""
        last = self.events[-1] if self.events else None
        return last if last is not None and last.kind == "reopen_requested" else None


class Periods:
    """What is closed, and by whom."""

    def __init__(self, database: Database, ledger: Ledger, zone: ZoneInfo) -> None:
        self._database = database
        self._ledger = ledger
        self._zone = zone

    async def all(self) -> list[View]:
        """Every month that something happened to, the newest first."""
        events, bound = await store.events(self._database), await store.bound(self._database)
        names = sorted({one.period for one in events}, reverse=True)
        return [self._view(Period.of(name, self._zone), events, bound) for name in names]

    async def read(self, name: str) -> View:
        """A month. Raises ValidationFailed for what is none."""
        period = Period.of(name, self._zone)
        events, bound = await store.events(self._database), await store.bound(self._database)
        return self._view(period, events, bound)

    async def agrees(self, view: View) -> bool | None:
        """Whether the ledger still comes to what was sealed; None when nothing is."""
        closed = view.closed
        if closed is None:
            return None
        return (await self._sealed(view.period)).digest == closed.digest

    async def close(
        self, name: str, late: Late, reason: str | None, principal: Principal
    ) -> tuple[View, int]:
        """Close a month: from now on nothing is recorded that happened in it or before.

        Also how many customers have something due in it that could not be posted, counted up to
        10,000. A month that is closed stays as it is. May be repeated after any failure. Raises
        Conflict when it is not over or not the next one, Overloaded when a writer takes too long.
        """
        _unbound(principal)
        period = Period.of(name, self._zone)
        if await self._may_close(period):
            await self._sweep(period.ends)
            await self._move(period, late)
            await self._seal(period, late, reason, principal)
        _, set_aside = await due_before(self._ledger, period.ends, COUNTED)
        return await self.read(name), set_aside

    async def ask_to_reopen(self, name: str, reason: str, principal: Principal) -> View:
        """Ask for the last closed month to be reopened; somebody else has to approve it. The
        request is an approval, too, of the same id."""
        _unbound(principal)
        async with self._database.transaction() as tx:
            view = await self._locked(tx, name)
            self._check_last(view, await store.events_locked(tx))
            if view.request is None:
                event = _event(
                    view.period, "reopen_requested", principal, self.now(), reason=reason
                )
                await store.insert(tx, event)
                await approvals.ask(tx, _asked(event), principal, event.at)
        return await self.read(name)

    async def withdraw(
        self,
        name: str,
        principal: Principal,
        *,
        approval: UUID | None = None,
        reason: str | None = None,
    ) -> View:
        """End a request to reopen, whoever made it: the month stays closed. `approval`: the request
        that is meant, and no later one."""
        _unbound(principal)
        async with self._database.transaction() as tx:
            request = _waiting(await self._locked(tx, name))
            event = _event(
                Period.of(name, self._zone), "reopen_withdrawn", principal, self.now(),
                reason=reason, request_id=request.id,
            )  # fmt: skip
            await store.insert(tx, event)
            own = await had_a_hand(self._database, principal, [request.key_id], request.author)
            await approvals.decide_of(
                tx, REOPENING, name, "withdrawn" if own else "rejected", principal, event.at,
                only=approval, reason=reason,
            )  # fmt: skip
        return await self.read(name)

    async def reopen(
        self, name: str, principal: Principal, *, approval: UUID | None = None
    ) -> View:
        """Approve a request to reopen. Raises Conflict for the person who asked. `approval`: the
        request that is meant, and no later one."""
        _unbound(principal)
        async with self._database.transaction() as tx:
            view = await self._locked(tx, name)
            request = _waiting(view)
            if await had_a_hand(self._database, principal, [request.key_id], request.author):
                raise own_approval()
            await approvals.decide_of(
                tx, REOPENING, name, "done", principal, self.now(), only=approval
            )
            events = await store.events_locked(tx)
            self._check_last(view, events)
            before = view.period.previous(self._zone)
            earlier = self._view(before, events, view.period.ends)
            until = view.period.starts if earlier.closed is not None else NEVER
            closed = view.closed
            await store.move(tx, until, (closed and closed.late) or "refuse")
            await store.insert(
                tx, _event(view.period, "reopened", principal, self.now(), request_id=request.id)
            )
        return await self.read(name)

    def now(self) -> datetime:
        return self._ledger.clock()

    async def bound(self) -> datetime:
        """Until when everything is closed."""
        return await store.bound(self._database)

    async def _may_close(self, period: Period) -> bool:
        """False: it is closed. Raises Conflict when it may not be."""
        events, bound = await store.events(self._database), await store.bound(self._database)
        view = self._view(period, events, bound)
        if view.closed is not None:
            return False
        if period.ends > self.now():
            raise Conflict("period_not_over", f"{period.name} ends at {period.ends.isoformat()}.")
        if view.state == "closing":
            return True
        if period.ends <= bound:
            raise Conflict("period_closed", f"{period.name} was closed with a later month.")
        last = self._last_closed(events, bound)
        if last is None:
            following = min(period, self._first_reopened(events) or period)
        else:
            following = last.next(self._zone)
        if period != following:
            raise Conflict(
                "period_not_next", f"Months are closed in order: {following.name} is the next one."
            )
        return True

    async def _sweep(self, until: datetime) -> None:
        """Post what is due in the month as of its own day."""
        try:
            async with asyncio.timeout(SWEEP_S):
                while (await due_before(self._ledger, until, 1))[0]:
                    if not await post_due(self._ledger):
                        # Tills or other sweeps are at work on those that are left.
                        await asyncio.sleep(0.1)
        except TimeoutError:
            raise Overloaded(
                "Much is due in this month and being posted; close it again shortly.", 30
            ) from None

    async def _move(self, period: Period, late: Late) -> None:
        """Move the bound, then wait for those who may not have seen it."""
        async with self._database.transaction() as tx:
            if await store.lock(tx) < period.ends:
                await store.move(tx, period.ends, late)
            xid = await store.moved_by(tx)
        if not await writers_gone(self._ledger, xid, WRITERS_S):
            raise Overloaded(
                "A transaction that began before takes long; close it again shortly.", 10
            )

    async def _seal(
        self, period: Period, late: Late, reason: str | None, principal: Principal
    ) -> None:
        sealed = await self._sealed(period)
        async with self._database.transaction() as tx:
            view = await self._locked(tx, period.name)
            if view.state != "closing":
                return  # Somebody else closed it, or reopened it, meanwhile.
            event = _event(
                period, "closed", principal, self.now(), reason=reason, late=late,
                sealed=sealed.totals, digest=sealed.digest,
            )  # fmt: skip
            await store.insert(tx, event)

    async def _sealed(self, period: Period) -> Sealed:
        async with snapshot(self._ledger) as connection:
            within = Selection(since=period.starts, before=period.ends)
            flows = await flow_sums(connection, within, DIMENSIONS)
            until = await flow_sums(connection, Selection(before=period.ends))
        return seal(period, self._zone, flows, until)

    async def _locked(self, tx: Any, name: str) -> View:
        bound = await store.lock(tx)
        return self._view(Period.of(name, self._zone), await store.events_locked(tx), bound)

    def _check_last(self, view: View, events: Iterable[Event]) -> None:
        if view.closed is None:
            raise Conflict("period_not_closed", f"{view.period.name} is not closed.")
        last = self._last_closed(events, view.period.ends)
        if last is not None and last.name != view.period.name:
            raise Conflict(
                "period_not_last", f"Months are reopened in order: {last.name} is the first one."
            )

    def _last_closed(self, events: Iterable[Event], bound: datetime) -> Period | None:
        known = list(events)
        views = (
            self._view(Period.of(name, self._zone), known, bound)
            for name in {one.period for one in known}
        )
        return max((one.period for one in views if one.closed is not None), default=None)

    def _first_reopened(self, events: Iterable[Event]) -> Period | None:
        """Left behind a later month it could not be closed any more."""
        last = {one.period: one.kind for one in events}
        names = (name for name, kind in last.items() if kind == "reopened")
        return min((Period.of(name, self._zone) for name in names), default=None)

    def _view(self, period: Period, events: Iterable[Event], bound: datetime) -> View:
        own = tuple(one for one in events if one.period == period.name)
        return View(period, _state(period, own, bound), own)


def _state(period: Period, events: tuple[Event, ...], bound: datetime) -> State:
    last = events[-1].kind if events else None
    if last in ("closed", "reopen_withdrawn"):
        return "closed"
    if last == "reopen_requested":
        return "reopen_requested"
    return "closing" if bound == period.ends else "open"


def _asked(event: Event) -> approvals.Asked:
    return approvals.Asked(
        id=event.id,
        kind=REOPENING,
        subject=event.period,
        summary=f"Reopen {event.period}: {event.reason}",
        content={"period": event.period, "reason": event.reason},
    )


def _waiting(view: View) -> Event:
    if view.request is None:
        raise Conflict("period_no_request", f"Nobody asked for {view.period.name} to be reopened.")
    return view.request


def _unbound(principal: Principal) -> None:
    if principal.channel is not None or principal.store is not None:
        raise Forbidden("A key bound to a channel or store may not close or reopen a month.")


def _event(
    period: Period, kind: EventKind, principal: Principal, now: datetime, **more: Any
) -> Event:
    given: dict[str, Any] = {
        "reason": None, "late": None, "request_id": None, "sealed": None, "digest": None, **more,
    }  # fmt: skip
    return Event(uuid7(), period.name, kind, now, principal.key_id, principal.name, **given)
