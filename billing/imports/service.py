"""Imports over the API: uploading lines, looking at the totals, having them posted."""

from __future__ import annotations

import io
from itertools import islice
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.approvals import store as approvals
from billing.approvals.allowance import Allowance
from billing.approvals.model import Approval, TurnedDown
from billing.common.auth import Principal, Role
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.customers.directory import CustomerDirectory
from billing.imports import store
from billing.imports.csvfile import Reader, check_columns
from billing.imports.matching import Matcher
from billing.imports.model import MAX_REJECTS_SHOWN, Control, Lot, Reject, Totals
from billing.imports.reading import records
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
from billing.jobs.service import Jobs
from ledger.group import Clock
from ledger.ids import uuid7


class Imports:
    """Those of more than `limit` (1/100 points), or than a person's allowance, need a second
    person; it is `kind` balance_import of approvals."""

    kind = KIND
    approvers: tuple[Role, ...] = ("finance", "admin")
    records_itself = False

    def __init__(
        self,
        database: Database,
        directory: CustomerDirectory,
        jobs: Jobs,
        clock: Clock,
        allowance: Allowance,
        *,
        zone: ZoneInfo,
        limit: int,
    ) -> None:
        self._database = database
        self._directory = directory
        self._jobs = jobs
        self._clock = clock
        self._zone = zone
        self._allowance = allowance
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
        columns, rows = _uploaded(body)
        found = await self._found(import_id)
        reader = Reader(found.name, columns, self._zone, self._clock())
        read = {line: reader.read(line, cells) for line, cells in rows}
        lots = [one for one in read.values() if isinstance(one, Lot)]
        matcher = Matcher(self._database, self._directory)
        owned, unmatched = await matcher.match(lots, Totals(), dry=True)
        rejects = [one for one in read.values() if isinstance(one, Reject)] + unmatched
        rejects.sort(key=lambda one: one.line)
        points = {line: reader.points(cells) for line, cells in rows}
        async with self._database.transaction() as tx:
            _must_be_open(await store.lock(tx, import_id))
            if await store.waits(tx, KIND, str(import_id)):
                raise Conflict(
                    "approval_pending",
                    "A second person is asked for these lines as they are; reject or withdraw that "
                    "first.",
                )
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
        await self._found(import_id)
        async with self._database.transaction() as tx:
            # Locked, so that no line comes or goes between the totals and the approval.
            found = _must_be_open(await store.lock(tx, import_id))
            totals = await store.totals(self._database, import_id)
            Control(body.rows, body.points).compare(totals)
            points = totals.good_points
            if points > self._limit or not await self._allowance.take(tx, principal.person, points):
                asked = _asked(found, body, totals)
                if not await approvals.ask(tx, asked, principal, self._clock()):
                    raise Conflict(
                        "approval_pending", f"An approval of {found.name} waits already."
                    )
                return BegunOut(approval_id=asked.id)
            job_id = await self._begin(tx, found, principal.name)
        self._jobs.wake()
        return BegunOut(job_id=job_id)

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

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        """Begin; lines may not have come or gone since it was asked for."""
        asked = msgspec.convert(
            {name: approval.content[name] for name in ("rows", "points")}, PostIn, dec_hook=_amount
        )
        author = f"{approval.asked_by}; approved by {approval.decided_by}"
        found = await self._found(UUID(approval.subject))
        async with self._database.transaction() as tx:
            locked = await store.lock(tx, found.id)
            if locked is not None and locked.state == "closed":
                return {"job_id": str(locked.job_id)}
            totals = await store.totals(self._database, found.id)
            Control(asked.rows, asked.points).compare(totals)
            job_id = await self._begin(tx, found, author)
        self._jobs.wake()
        return {"job_id": str(job_id)}

    async def turned_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> None:
        """It stays open."""

    async def _begin(self, tx: AsyncConnection, found: Import, author: str) -> UUID:
        """Close a locked import and have it posted: no line comes after its totals were seen."""
        job_id = await self._jobs.queue(tx, KIND, Parameters(found.id, found.name, author), author)
        await store.close(tx, found.id, job_id)
        return job_id

    async def _found(self, import_id: UUID) -> Import:
        found = await store.read(self._database, import_id)
        if found is None:
            raise NotFound(f"There is no import {import_id}.")
        return found


def _asked(found: Import, body: PostIn, totals: Totals) -> approvals.Asked:
    points = format_amount(totals.good_points)
    return approvals.Asked(
        id=uuid7(),
        kind=KIND,
        subject=str(found.id),
        summary=f"Import {found.name}: {totals.good} lots of {points} points",
        content={
            "import_id": str(found.id),
            "rows": body.rows,
            "points": format_amount(body.points),
        },
    )


def _uploaded(body: RowsIn) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """The columns, and the lines with their numbers in the file."""
    found = records(io.StringIO(body.csv, newline=""), body.delimiter)
    header = next(found, None)
    columns = check_columns(header.cells if header is not None else ())
    first = 2 if header is None else header.line + 1
    rows = [(one.line - first + body.first_line, one.cells) for one in islice(found, MAX_LINES + 1)]
    if len(rows) > MAX_LINES:
        raise ValidationFailed.at("/csv", f"must have at most {MAX_LINES} lines; send several")
    return columns, rows


def _must_be_open(found: Import | None) -> Import:
    if found is None or found.state != "open":
        raise Conflict("import_closed", "The import is being posted, or was; make another one.")
    return found


def _amount(kind: type, value: Any) -> Any:
    return kind.from_wire(value)  # type: ignore[attr-defined]
