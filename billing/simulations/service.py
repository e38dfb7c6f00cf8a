"""Asking what a draft would have cost."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from billing.common.wire import write_hook
from billing.jobs.service import Jobs
from billing.programs.words import Language
from billing.simulations.drafts import read_draft
from billing.simulations.model import SIMULATION, Parameters
from billing.simulations.schemas import SimulateIn, SimulationQueued

MAX_PERIOD = timedelta(days=400)


class Simulations:
    """Checks what is asked for and queues the job; a worker does it."""

    def __init__(self, database: Database, catalog: Catalog, jobs: Jobs) -> None:
        self._database = database
        self._catalog = catalog
        self._jobs = jobs

    async def request(
        self, code: str, body: SimulateIn, principal: Principal, language: Language
    ) -> SimulationQueued:
        """Queue a simulation. Raises Overloaded, and what `parameters_of` raises."""
        given = await parameters_of(self._database, self._catalog, code, body, principal, language)
        job = await self._jobs.create(
            SIMULATION, msgspec.to_builtins(given, enc_hook=write_hook), principal.name
        )
        return SimulationQueued(
            job.id,
            job.state,
            given.program,
            given.version,
            given.since,
            given.until,
            given.channel,
            given.store,
        )


async def parameters_of(
    database: Database,
    catalog: Catalog,
    code: str,
    body: SimulateIn,
    principal: Principal,
    language: Language,
) -> Parameters:
    """What is to be simulated. Raises NotFound, Forbidden, ValidationFailed."""
    channel, shop = principal.bind(body.channel, body.store)
    draft = await read_draft(database, code, body.version)
    _check_period(body)
    channel, shop = await catalog.place(channel, shop)
    return Parameters(
        program=code,
        version=draft.version,
        since=body.from_,
        until=body.to,
        channel=channel,
        store=shop,
        language=language,
    )


def _check_period(body: SimulateIn) -> None:
    if body.from_ >= body.to:
        raise ValidationFailed.at("/to", "must be later than `from`")
    if body.to - body.from_ > MAX_PERIOD:
        raise ValidationFailed.at("/to", f"must be at most {MAX_PERIOD.days} days after `from`")
