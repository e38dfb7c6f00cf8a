"""What people do with campaigns: write them, preview them, let them run, stop them.

An action locks the campaign's row, looks whether its state allows it, and changes it. Workers do
the same between chunks: whoever pauses waits for nobody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.approvals import store as approvals
from billing.approvals.model import TurnedDown
from billing.approvals.people import had_a_hand
from billing.campaigns import store
from billing.campaigns.approval import Approval
from billing.campaigns.definition import (
    Terms,
    compile_terms,
    patched,
    read,
    settle,
    stored,
)
from billing.campaigns.model import Action, Campaign, Run, counter_of
from billing.campaigns.naming import check_audience
from billing.campaigns.preview import KIND, PreviewParameters
from billing.campaigns.programs import find_program
from billing.campaigns.schedule import Once
from billing.campaigns.schemas import CampaignIn, CampaignPatch, DefinitionIn, PreviewOut
from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.jobs.model import Job
from billing.jobs.service import Jobs
from billing.programs.limits import HOUSE
from billing.programs.store import begin_counter
from ledger.group import Clock
from ledger.ids import uuid7

Wake = Callable[[], None]
_KIND = "campaign"
"""Of approvals; `campaigns.foureyes` registers it."""


class Campaigns:
    """`wake` tells workers that there may be something to do; it may be in vain.

    Every method raises NotFound for an unknown code, Forbidden for a key bound to a channel or
    store (a campaign is for the whole chain), and Conflict when the state does not allow it.
    """

    def __init__(
        self, database: Database, catalog: Catalog, jobs: Jobs, clock: Clock, wake: Wake, *,
        zone: ZoneInfo, approval_points: int, catch_up: timedelta,
    ) -> None:  # fmt: skip
        self._database = database
        self._catalog = catalog
        self._jobs = jobs
        self._clock = clock
        self._wake = wake
        self._zone = zone
        self._approval = Approval(database, approval_points)
        self._catch_up = catch_up

    async def create(self, body: CampaignIn, principal: Principal) -> Campaign:
        """A new draft. Raises ValidationFailed, also for a known code."""
        principal.covers(None, None)
        now = self._clock()
        code = str(body.code)
        definition = await self._checked(code, body)
        values = {
            "code": code,
            "definition": stored(definition),
            "revision": 1,
            "state": "draft",
            "author": principal.name,
            "hands": [principal.key_id],
            "created_at": now,
            "updated_at": now,
        }
        try:
            async with self._database.transaction() as tx:
                await store.insert_campaign(tx, values)
        except IntegrityError:
            raise ValidationFailed.at(
                "/code", f"campaign {code!r} exists; choose another code, or PATCH it"
            ) from None
        return await self.read(code, principal)

    async def change(self, code: str, patch: CampaignPatch, principal: Principal) -> Campaign:
        """Change a draft. Raises ValidationFailed. Its preview is of no use any more."""
        async with self._acting(code, "change", principal) as (tx, campaign):
            definition = await self._checked(code, patched(campaign.definition, patch))
            await self.edited(tx, campaign, principal, definition=stored(definition))
        return await self.read(code, principal)

    @asynccontextmanager
    async def editing(
        self, code: str, principal: Principal
    ) -> AsyncIterator[tuple[AsyncConnection, Campaign]]:
        """A draft, locked, for whoever changes what belongs to it (`edited` then says so)."""
        async with self._acting(code, "change", principal) as held:
            yield held

    async def edited(
        self, tx: AsyncConnection, campaign: Campaign, principal: Principal, **values: Any
    ) -> None:
        """Write a new revision of a locked draft, by this hand."""
        hands = list(dict.fromkeys([*campaign.hands, principal.key_id]))
        await store.change(
            tx, campaign.code, revision=campaign.revision + 1, preview_job=None, hands=hands,
            updated_at=self._clock(), **values,
        )  # fmt: skip

    async def preview(self, code: str, principal: Principal) -> tuple[Job, Campaign]:
        """Ask for the numbers of a draft. Raises Overloaded when too many wait."""
        principal.covers(None, None)
        campaign = await self._read(code)
        campaign.must_allow("preview")
        job = await self._jobs.create(
            KIND, PreviewParameters(code, campaign.revision), principal.name
        )
        async with self._acting(code, "preview", principal) as (tx, now):
            if now.revision == campaign.revision:
                await store.change(tx, code, preview_job=job.id)
        return job, campaign

    async def submit(self, code: str, principal: Principal) -> Campaign:
        """Let it run at its time, or have it approved first. Raises ValidationFailed."""
        async with self._acting(code, "submit", principal) as (tx, campaign):
            definition = settle(read(campaign.definition), self._today())
            terms = compile_terms(code, definition, self._zone)
            if terms.audience is None and not campaign.audience_size:
                raise Conflict(
                    "campaign_list_empty",
                    f"The list is empty; upload customers to POST /v1/campaigns/{code}/audience.",
                )
            preview = await self._approval.previewed(campaign)
            first = await self._first_run(terms)
            hands = list(dict.fromkeys([*campaign.hands, principal.key_id]))
            if terms.budget is not None:
                await begin_counter(tx, HOUSE, counter_of(code))
            needed = self._approval.is_needed(terms, preview)
            if needed:
                await approvals.ask(tx, _asked(code, definition, preview), principal, self._clock())
            await store.change(
                tx, code, state="waiting_approval" if needed else "scheduled", hands=hands,
                submitted_by=principal.name, submitted_at=self._clock(), next_run_at=first,
                allowance=None if needed else self._approval.allowance(terms),
            )  # fmt: skip
        self._wake()
        return await self.read(code, principal)

    async def approve(
        self, code: str, principal: Principal, *, approval: UUID | None = None
    ) -> Campaign:
        """Let it run, by somebody who had no hand in it, with none of their keys. `approval`: the
        one that is meant, and no other."""
        async with self._acting(code, "approve", principal) as (tx, campaign):
            if await had_a_hand(self._database, principal, campaign.hands):
                raise Conflict(
                    "campaign_own_approval",
                    "Whoever wrote, changed or submitted a campaign does not approve it; ask "
                    "somebody else, with another key.",
                )
            terms = compile_terms(code, read(campaign.definition), self._zone)
            first = await self._first_run(terms)
            await store.change(
                tx, code, state="scheduled", approved_by=principal.name,
                approved_at=self._clock(), next_run_at=first,
            )  # fmt: skip
            await approvals.decide_of(
                tx, _KIND, code, "done", principal, self._clock(), only=approval
            )
        self._wake()
        return await self.read(code, principal)

    async def withdraw(
        self,
        code: str,
        principal: Principal,
        *,
        approval: UUID | None = None,
        state: TurnedDown = "withdrawn",
        reason: str | None = None,
    ) -> Campaign:
        """Back to a draft, as long as it has not run. `approval`: the one that is turned down, and
        how, and why."""
        async with self._acting(code, "withdraw", principal) as (tx, campaign):
            if campaign.state == "scheduled" and await store.newest_run(tx, code) is not None:
                raise Conflict(
                    "campaign_state",
                    f"Campaign {code!r} has run already; pause or cancel it.",
                    state=campaign.state,
                )
            await store.change(
                tx, code, state="draft", next_run_at=None, submitted_by=None, submitted_at=None,
                approved_by=None, approved_at=None, allowance=None,
            )  # fmt: skip
            await approvals.decide_of(
                tx, _KIND, code, state, principal, self._clock(), only=approval, reason=reason
            )
        return await self.read(code, principal)

    async def pause(self, code: str, principal: Principal) -> Campaign:
        """Give no more after the group that is being posted."""
        async with self._acting(code, "pause", principal) as (tx, _):
            await store.change(tx, code, state="paused")
        return await self.read(code, principal)

    async def resume(self, code: str, principal: Principal) -> Campaign:
        """Go on with the run that was stopped, or wait for the next one: what a recurring
        campaign missed while it was paused is not made up for."""
        async with self._acting(code, "resume", principal) as (tx, campaign):
            run = await store.newest_run(tx, code)
            await store.change(tx, code, failure=None, **await self._resumed(tx, campaign, run))
        self._wake()
        return await self.read(code, principal)

    async def cancel(self, code: str, principal: Principal) -> Campaign:
        """End it for good. What was given stays given; a worker counts it and closes the run."""
        async with self._acting(code, "cancel", principal) as (tx, _):
            await store.change(tx, code, state="cancelled", next_run_at=None)
            await approvals.decide_of(tx, _KIND, code, "withdrawn", principal, self._clock())
        self._wake()
        return await self.read(code, principal)

    async def read(self, code: str, principal: Principal) -> Campaign:
        principal.covers(None, None)
        return await self._read(code)

    @asynccontextmanager
    async def _acting(
        self, code: str, action: Action, principal: Principal
    ) -> AsyncIterator[tuple[AsyncConnection, Campaign]]:
        """The campaign, locked and in a state that allows the action."""
        principal.covers(None, None)
        async with self._database.transaction() as tx:
            campaign = await store.lock(tx, code)
            if campaign is None:
                raise _unknown(code)
            campaign.must_allow(action)
            yield tx, campaign

    async def _resumed(
        self, tx: AsyncConnection, campaign: Campaign, run: Run | None
    ) -> dict[str, Any]:
        """State and next run of a campaign that goes on."""
        if run is not None and run.state in ("running", "failed"):
            await store.take_up(tx, run, self._clock())
            return {"state": "running"}
        now, due = self._clock(), campaign.next_run_at
        terms = compile_terms(campaign.code, read(campaign.definition), self._zone)
        if isinstance(terms.schedule, Once):
            if due is None:
                raise Conflict(
                    "campaign_too_late",
                    f"{campaign.failure or 'Its time is over.'} Make another campaign.",
                )
            return {"state": "scheduled"}
        following = due if due is not None and due > now else terms.schedule.after(now)
        state = "finished" if following is None else "scheduled"
        return {"state": state, "next_run_at": following}

    async def _first_run(self, terms: Terms) -> datetime:
        """When it is to run first. Raises Conflict or ValidationFailed when it cannot."""
        now = self._clock()
        first = terms.schedule.first(now)
        if first is None or first < now - self._catch_up:
            raise Conflict(
                "campaign_too_late", "The time of its last run is over; change it and submit again."
            )
        if terms.program is not None:
            await find_program(self._database, terms.program, max(first, now))
        expires = terms.gift.expires.at if terms.gift.expires is not None else None
        if expires is not None and expires <= max(first, now):
            raise ValidationFailed.at("/expires/at", "is not after the first run")
        return first

    async def _checked(self, code: str, body: DefinitionIn) -> DefinitionIn:
        """The definition, settled, if it is right. Raises ValidationFailed."""
        definition = settle(body, self._today())
        terms = compile_terms(code, definition, self._zone)
        await check_audience(self._catalog, terms)
        return definition

    def _today(self) -> Any:
        return self._clock().astimezone(self._zone).date()

    async def _read(self, code: str) -> Campaign:
        campaign = await store.read(self._database, code)
        if campaign is None:
            raise _unknown(code)
        return campaign


def _asked(code: str, definition: DefinitionIn, preview: PreviewOut) -> approvals.Asked:
    summary = f"Campaign {code}: {preview.points} points to {preview.customers} customers a run"
    content = {"campaign": code, "definition": stored(definition), "points": preview.points}
    return approvals.Asked(id=uuid7(), kind=_KIND, subject=code, summary=summary, content=content)


def _unknown(code: str) -> NotFound:
    return NotFound(f"There is no campaign {code!r}.")
