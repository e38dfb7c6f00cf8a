"""Imports over the API: uploading lines, looking at the totals, having them posted."""

from __future__ import annotations

import csv
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from billing.approvals.model import Approval, other_person
from billing.approvals.service import Approvals
from billing.common.auth import Principal, Role
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.customers.directory import CustomerDirectory
from billing.imports import store
from billing.imports.csvfile import Reader, check_columns
from billing.imports.matching import Matcher
from billing.imports.model import MAX_REJECTS_SHOWN, Control, Lot, Reject, Totals
from billing.imports.schemas import (
    MAX_LINES,
    BalanceImportOut,
    BegunOut,
    ImportIn,
    PostIn,
    RejectOut,
    RowsIn,
    UploadedOut,
    totals_out,
)
from billing.imports.store import Import
from billing.imports.worker import KIND, Parameters
from billing.jobs.model import Job
from billing.jobs.service import Jobs
from ledger.group import Clock
from ledger.ids import uuid7


class Imports:
    """Those of more than `limit` (1/100 points) need a second person; it is `kind` balance_import
    of approvals."""

    kind = KIND
    approvers: tuple[Role, ...] = ("finance", "admin")
    records_itself = False

    def __init__(
        self,
        database: Database,
        directory: CustomerDirectory,
        jobs: Jobs,
        approvals: Approvals,
        clock: Clock,
        *,
        zone: ZoneInfo,
        limit: int,
    ) -> None:
        self._database = database
        self._matcher = Matcher(database, directory)
        self._jobs = jobs
        self._approvals = approvals
        self._clock = clock
        self._zone = zone
        self._limit = limit

    async def create(self, body: ImportIn, principal: Principal) -> BalanceImportOut:
        """A new import. Raises Conflict when the name was used."""
        new = Import(
            id=uuid7(), name=str(body.name), state="open", author=principal.name,
            created_at=self._clock(), digest=None, job_id=None,
        )  # fmt: skip
        async with self._database.transaction() as tx:
            if not await store.insert(tx, new):
                raise Conflict("import_exists", f"An import {new.name!r} was made before.")
        return await self.read(new.id)

    async def upload(self, import_id: UUID, body: RowsIn) -> UploadedOut:
        """Take lines in; customers are looked up now, and only their ids are kept. Raises
        ValidationFailed for a header that cannot be understood, Conflict."""
        lines = csv.reader(body.csv.splitlines(), delimiter=body.delimiter)
        try:
            columns = check_columns(next(lines, []))
            rows = [
                (line, cells) for line, cells in enumerate(lines, body.first_line) if any(cells)
            ]
        except csv.Error as error:
            raise ValidationFailed.at("/csv", f"is no CSV: {error}") from None
        if len(rows) > MAX_LINES:
            raise ValidationFailed.at("/csv", f"must have at most {MAX_LINES} lines; send several")
        found = await self._found(import_id)
        reader = Reader(found.name, columns, self._zone, self._clock())
        read = {line: reader.read(line, cells) for line, cells in rows}
        lots = [one for one in read.values() if isinstance(one, Lot)]
        owned, unmatched = await self._matcher.match(lots, Totals(), dry=True)
        rejects = [one for one in read.values() if isinstance(one, Reject)] + unmatched
        rejects.sort(key=lambda one: one.line)
        points = {line: reader.points(cells) for line, cells in rows}
        async with self._database.transaction() as tx:
            _must_be_open(await store.lock(tx, import_id))
            await store.put_rows(tx, import_id, owned, [(r, points[r.line]) for r in rejects])
        return UploadedOut(
            rows=len(rows),
            good=len(owned),
            rejected=len(rejects),
            rejects=[RejectOut(one.line, one.reason) for one in rejects[:MAX_REJECTS_SHOWN]],
        )

    async def post(self, import_id: UUID, body: PostIn, principal: Principal) -> BegunOut:
        """Compare with the control totals, and have the good lines posted, or approved first.
        Raises Conflict `control_totals`."""
        found = _must_be_open(await self._found(import_id))
        totals = await store.totals(self._database, import_id)
        Control(body.rows, body.points).compare(totals)
        if totals.good_points <= self._limit:
            return BegunOut(job_id=(await self._begin(found, principal.name)).id)
        summary = (
            f"Import {found.name}: {totals.good} lots of {format_amount(totals.good_points)} points"
        )
        content = {
            "import_id": str(import_id),
            "rows": body.rows,
            "points": format_amount(body.points),
        }
        asked = await self._approvals.ask(self.kind, str(import_id), summary, content, principal)
        return BegunOut(approval_id=asked.id)

    async def read(self, import_id: UUID) -> BalanceImportOut:
        found = await self._found(import_id)
        return BalanceImportOut(
            id=found.id,
            name=found.name,
            state=found.state,
            author=found.author,
            created_at=found.created_at,
            job_id=found.job_id,
            totals=totals_out(await store.totals(self._database, import_id)),
        )

    async def rejects(self, import_id: UUID, after: int, limit: int) -> list[Reject]:
        await self._found(import_id)
        return await store.rejects(self._database, import_id, after, limit)

    def check(self, approval: Approval, principal: Principal) -> None:
        other_person(approval, principal)

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        """Begin; lines may not have come or gone since it was asked for."""
        found = await self._found(UUID(approval.subject))
        if found.state == "closed":
            return {"job_id": str(found.job_id)}
        asked = msgspec.convert(
            {name: approval.content[name] for name in ("rows", "points")}, PostIn, dec_hook=_amount
        )
        Control(asked.rows, asked.points).compare(await store.totals(self._database, found.id))
        author = f"{approval.asked_by}; approved by {approval.decided_by}"
        return {"job_id": str((await self._begin(found, author)).id)}

    async def rejected(self, approval: Approval, principal: Principal) -> None:
        """It stays open."""

    async def _begin(self, found: Import, author: str) -> Job:
        job = await self._jobs.create(KIND, Parameters(found.id, found.name, author), author)
        async with self._database.transaction() as tx:
            _must_be_open(await store.lock(tx, found.id))
            await store.close(tx, found.id, job.id)
        return job

    async def _found(self, import_id: UUID) -> Import:
        found = await store.read(self._database, import_id)
        if found is None:
            raise NotFound(f"There is no import {import_id}.")
        return found


def _must_be_open(found: Import | None) -> Import:
    if found is None or found.state != "open":
        raise Conflict("import_closed", "The import is being posted, or was; make another one.")
    return found


def _amount(kind: type, value: Any) -> Any:
    return kind.from_wire(value)  # type: ignore[attr-defined]
