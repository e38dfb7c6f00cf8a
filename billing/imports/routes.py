"""Imports over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from billing.common.answer import Answer
from billing.common.errors import ValidationFailed
from billing.common.http import Call, Operation, operation
from billing.common.wire import PageQuery, page
from billing.imports.schemas import (
    BalanceImportOut,
    BegunOut,
    ImportIn,
    PostIn,
    RejectOut,
    RejectPage,
    RowsIn,
    UploadedOut,
)
from billing.imports.service import Imports

_TAG = "Imports"
_ONE = "/v1/imports/{id}"
_CSV = "phone,points,bucket,expires_at\n+79161234567,150.00,base,2049-12-31\n"


@operation(
    "POST", "/v1/imports", summary="Begin an import of balances", tag=_TAG, may=("admin",),
    body=ImportIn, answers={201: BalanceImportOut}, conflicts=("import_exists",),
    examples={"from 1C": {"name": "1c-2026-11"}},
)  # fmt: skip
async def create_import(call: Call[ImportIn]) -> Answer:
    """Then upload the file's lines, look at the totals and the rejects, and have it posted."""
    call.principal.covers(None, None)
    return Answer.json(await call.use(Imports).create(call.body, call.principal), 201)


@operation("GET", _ONE, summary="Read an import and its totals", tag=_TAG,
           may=("finance", "admin"), answers={200: BalanceImportOut}, patience_s=30)  # fmt: skip
async def read_import(call: Call) -> Answer:
    """The totals are what a dry run tells: nothing moves before it is posted."""
    call.principal.covers(None, None)
    return Answer.json(await call.use(Imports).read(_id(call)))


@operation(
    "POST", f"{_ONE}/rows", summary="Upload lines of the file", tag=_TAG, may=("admin",),
    body=RowsIn, answers={200: UploadedOut},
    conflicts=("import_closed", "approval_pending"), patience_s=30,
    examples={"one line": {"first_line": 2, "csv": _CSV}},
)  # fmt: skip
async def upload_rows(call: Call[RowsIn]) -> Answer:
    """At most 10,000 lines at once. Columns: one of `customer_id`, `phone`, `card`, `external_id`
    (`system:value`); `points`; and, if there are, `bucket`, `earned_at`, `available_from`,
    `expires_at` (dates or times; a date is the last day), `reference` (the old system's own id of
    the lot: taken once, whatever the file)."""
    call.principal.covers(None, None)
    return Answer.json(await call.use(Imports).upload(_id(call), call.body))


@operation(
    "GET", f"{_ONE}/rejects", summary="List rejected lines", tag=_TAG, may=("finance", "admin"),
    query=PageQuery, answers={200: RejectPage},
)  # fmt: skip
async def list_rejects(call: Call[None, PageQuery]) -> Answer:
    """By line, with the reason. Put right and upload them under a name of their own."""
    call.principal.covers(None, None)
    after: Any = call.query.after(int)
    place = min(after[0], 2**31 - 1) if after else 0
    found = await call.use(Imports).rejects(_id(call), place, call.query.limit)
    items = [RejectOut(one.line, one.reason) for one in found]
    return Answer.json(page(items, call.query.limit, *([items[-1].line] if items else [])))


@operation(
    "POST", f"{_ONE}/post", summary="Post an import", tag=_TAG, may=("admin",), body=PostIn,
    answers={202: BegunOut}, conflicts=("import_closed", "control_totals",
    "approval_pending"), patience_s=30,
    examples={"as the old system has it": {"rows": 1, "points": "150.00"}},
)  # fmt: skip
async def post_import(call: Call[PostIn]) -> Answer:
    """`rows` and `points` are the old system's own totals of the whole file; when they differ
    nothing is posted. A job posts the good lines, each once, whatever is killed; more than
    `BONUS_ADJUSTMENT_APPROVAL_POINTS` needs a second person first (`approval_id`)."""
    call.principal.covers(None, None)
    return Answer.json(await call.use(Imports).post(_id(call), call.body, call.principal), 202)


def _id(call: Call[Any, Any]) -> UUID:
    try:
        return UUID(call.path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be an import's id, a UUID") from None


OPERATIONS: list[Operation] = [create_import, read_import, upload_rows, list_rejects, post_import]
