"""What finance asks the ledger: reports, the postings behind them, single transactions."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.common.answer import Answer, FileAnswer
from billing.common.auth import Principal
from billing.common.errors import NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.wire import encode_cursor, page
from billing.finance import store
from billing.finance.behind import behind
from billing.finance.entries import entries, opening_balance
from billing.finance.files import MEDIA_TYPES, write_file
from billing.finance.model import listed_posting, local, whole_transaction
from billing.finance.query import ReportQuery, opening_of
from billing.finance.reports import Reports
from billing.finance.schemas import EntriesQuery, PostingsQuery, TransactionOut
from billing.finance.table import Table, document
from ledger import reads
from ledger.listing import PostingKey
from ledger.model import Transaction
from ledger.selection import Selection, TimeAxis
from ledger.service import Ledger
from ledger.sums import snapshot
from ledger.written import WrittenKey, page_of_written

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


async def answer_report(table: Table, query: ReportQuery, zone: ZoneInfo) -> Answer:
    """A report as its query wants it: JSON, or a file."""
    if query.format != "json":
        return await answer_file(table, query.format, zone)
    rows = [row async for chunk in table.chunks for row in chunk]
    names = [column.name for column in table.columns]
    made = [
        {**document(row, table.columns, zone), **behind(query, names, row, zone)} for row in rows
    ]
    return Answer.json(
        {
            "from": local(query.from_, zone),
            "to": local(query.to, zone),
            "as_of": local(query.as_of, zone),
            "known_at": local(query.known_at, zone),
            "time": query.time,
            "filters": _others(table),
            "by": list(query.dimensions()),
            "rows": made,
            "totals": {**_totals(table), **behind(query, (), (), zone)},
        }
    )


def _totals(table: Table) -> dict[str, Any]:
    """The sums of all rows; zero when there is none. Balances of accounts add up to nothing."""
    adds = [column for column in table.columns if column.kind in ("amount", "count")]
    names = [column.name for column in table.columns]
    return {
        column.name: _total(
            table.totals[names.index(column.name)] if table.totals else 0, column.kind
        )
        for column in adds
        if (table.report, column.name) != ("trial-balance", "balance")
    }


def _total(value: Any, kind: str) -> Any:
    return format_amount(value) if kind == "amount" else value


def _others(table: Table) -> dict[str, str]:
    times = ("from", "to", "as_of", "known_at", "time", "by")
    return {name: value for name, value in table.filters.items() if name not in times}


async def answer_file(table: Table, kind: str, zone: ZoneInfo) -> Answer:
    """A table as a file, written to disk and sent piece by piece."""
    handle, name = tempfile.mkstemp(prefix="bonus-report-")
    file = os.fdopen(handle, "rb")
    try:
        await write_file(table, kind, Path(name), zone)
    except BaseException:
        file.close()
        raise
    finally:
        # The open file is all that is left of it: whatever becomes of the answer, nothing stays.
        os.unlink(name)
    return FileAnswer(file, MEDIA_TYPES[kind], f"{table.report}.{kind}")


async def list_postings(
    reports: Reports,
    ledger: Ledger,
    principal: Principal,
    query: PostingsQuery,
    after: WrittenKey | None,
) -> Answer:
    """A page of postings in the order they were written; or all of them, as a file."""
    selection = reports.listed(query, principal)
    if query.format != "json":
        return await answer_file(
            reports.postings(query, selection, principal), query.format, reports.zone
        )
    async with snapshot(ledger) as connection:
        rows = await page_of_written(connection, selection, query.limit, after)
        heads = await store.heads(connection, ((row[1], row[2]) for row in rows))
    items = [listed_posting(tuple(row)[1:], heads[row[1], row[2]], reports.zone) for row in rows]
    return Answer.json(page(items, query.limit, *(tuple(rows[-1])[:4] if rows else ())))


async def list_entries(
    reports: Reports,
    ledger: Ledger,
    principal: Principal,
    query: EntriesQuery,
    after: tuple[int, UUID, int, int, int, int] | None,
) -> Answer:
    """A page of a general ledger with the running balance; or all of it, as a file. Raises
    ValidationFailed when `after`, which has the balance, is of another filter or binding."""
    if query.format != "json":
        table = reports.general_ledger(query, principal)
        return await answer_file(table, query.format, reports.zone)
    selection: Selection = reports.entries(query, principal)
    mark = _mark(selection, query.time)
    if after is not None and after[5] != mark:
        raise ValidationFailed.at(
            "/query/cursor", "goes on with another filter or key; start again without it"
        )
    async with snapshot(ledger) as connection:
        if after is None:
            place, opening = None, await opening_balance(connection, opening_of(selection, query))
        else:
            place, opening = _place(after[:4]), after[4]
        rows, balance, more = await entries(
            connection, selection, query.limit, place, query.time, opening
        )
    columns = reports.entry_columns
    return Answer.json(
        {
            "opening": format_amount(opening),
            "items": [document(row, columns, reports.zone) for row in rows],
            "next_cursor": _cursor(more, balance, mark) if more is not None else None,
        }
    )


async def read_transaction(
    ledger: Ledger, principal: Principal, transaction_id: UUID, zone: ZoneInfo
) -> TransactionOut:
    """A transaction with its postings and what corrects it. Raises NotFound."""
    found = await reads.transaction_by_id(ledger, transaction_id)
    if found is None:
        raise NotFound(f"There is no transaction {transaction_id}.")
    for place in _places(found):
        principal.covers(*place)
    corrections = await reads.corrections_of(ledger, found.customer_id, found.id)
    return whole_transaction(found, corrections, zone)


def _places(one: Transaction) -> set[tuple[str | None, str | None]]:
    """Where it happened; of what no till did, where its points came from."""
    own = (one.channel, one.store)
    if own == (None, None) and one.postings:
        return {(posting.channel, posting.store) for posting in one.postings}
    return {own}


def _cursor(key: PostingKey, *more: int) -> str:
    moment, customer_id, version, seq = key
    return encode_cursor((moment - _EPOCH) // _INSTANT, customer_id, version, seq, *more)


def _mark(selection: Selection, axis: TimeAxis) -> int:
    """Differs when the filter, or what its key is bound to, does."""
    lists = (getattr(selection, name) for name in selection.__struct_fields__)
    told = [sorted(map(repr, one)) if isinstance(one, tuple) else repr(one) for one in lists]
    return int.from_bytes(sha256(repr((axis, told)).encode()).digest()[:6])


def _place(after: tuple[int, UUID, int, int]) -> PostingKey:
    time_us, customer_id, version, seq = after
    return (_EPOCH + time_us * _INSTANT, customer_id, version, seq)
