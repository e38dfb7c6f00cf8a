"""Asking what a draft would have cost."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import FieldError, ValidationFailed
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
        self, code: str, body: SimulateIn, principal: Principal, language: Language = "en"
    ) -> SimulationQueued:
        """Queue a simulation. Raises NotFound, Forbidden, ValidationFailed, Overloaded."""
        channel, shop = principal.bind(body.channel, body.store)
        draft = await read_draft(self._database, code, body.version)
        _check_period(body)
        channel, shop = await self._catalog.place(channel, shop)
        parameters = Parameters(
            program=code,
            version=draft.version,
            since=body.from_,
            until=body.to,
            channel=channel,
            store=shop,
            language=language,
        )
        job = await self._jobs.create(
            SIMULATION, msgspec.to_builtins(parameters, enc_hook=write_hook), principal.name
        )
        return SimulationQueued(
            job.id, job.state, code, draft.version, body.from_, body.to, channel, shop
        )


def _check_period(body: SimulateIn) -> None:
    faults: list[FieldError] = []
    if body.from_ >= body.to:
        faults.append(FieldError("/to", "must be later than `from`"))
    elif body.to - body.from_ > MAX_PERIOD:
        faults.append(FieldError("/to", f"must be at most {MAX_PERIOD.days} days after `from`"))
    if faults:
        raise ValidationFailed(faults)
