"""The worker's side: lines that wait are posted, a group at a time."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec

from billing.common.db import Database
from billing.imports import store
from billing.imports.csvfile import TWICE
from billing.imports.model import Totals
from billing.imports.posting import GROUP, Poster
from billing.imports.schemas import totals_out
from billing.jobs.model import Progress
from ledger.service import Ledger

KIND: Final = "balance_import"
TIMEOUT_S: Final = 60.0


class Parameters(msgspec.Struct, frozen=True):
    """What the job is about."""

    import_id: UUID
    name: str
    author: str


class ImportWork:
    """The work of a job. It may begin anew: what was posted before is known by its source."""

    def __init__(self, ledger: Ledger, database: Database) -> None:
        self._ledger = ledger
        self._database = database

    async def run(self, progress: Progress, parameters: dict[str, Any]) -> Any:
        given = msgspec.convert(parameters, Parameters)
        poster = Poster(self._ledger, given.name, given.author)
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            await store.reject_twice(tx, given.import_id, TWICE)
        progress.total = await store.count_waiting(self._database, given.import_id)
        after = 0
        while lots := await store.waiting(self._database, given.import_id, after, GROUP):
            fates = await poster.post(lots, Totals())
            async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
                await store.mark(tx, given.import_id, fates)
            after = lots[-1].lot.line
            progress.done += len(lots)
        return totals_out(await store.totals(self._database, given.import_id))
