"""The operators' log over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from billing.common.answer import Answer
from billing.common.db import Database
from billing.common.http import Call, Operation, operation
from billing.common.wire import decode_cursor, page
from billing.operators import store
from billing.operators.schemas import OperatorEntryOut, OperatorLogPage, OperatorLogQuery


@operation(
    "GET",
    "/v1/operator-log",
    summary="Read what operators did",
    tag="Operators",
    may=("finance", "admin"),
    query=OperatorLogQuery,
    answers={200: OperatorLogPage},
    patience_s=10,
)
async def read_operator_log(call: Call[None, OperatorLogQuery]) -> Answer:
    """Everything that keys other than tills' and websites' changed or tried to change, and what
    was done by the command line; the newest first. Entries cannot be changed. What such a key
    posts as a till would (receipts, redemptions, returns) stands in the ledger, with the key."""
    call.principal.covers(None, None)
    query = call.query
    before = decode_cursor(query.cursor, UUID)[0] if query.cursor is not None else None
    filters = store.Filters(
        since=query.from_,
        until=query.to,
        before_id=before,
        **{
            name: getattr(query, name)
            for name in ("key_id", "key_name", "role", "operation", "subject", "request_id")
        },
    )
    rows = await store.read(call.use(Database), filters, query.limit)
    items = [_entry(dict(row)) for row in rows]
    return Answer.json(page(items, query.limit, *([items[-1].id] if items else [])))


def _entry(values: dict[str, Any]) -> OperatorEntryOut:
    for name in ("body", "before", "after"):
        values[name] = None if values[name] is None else msgspec.json.decode(values[name])
    return OperatorEntryOut(**values)


OPERATIONS: list[Operation] = [read_operator_log]
