"""Reading the ledger: balances now and as of any time, statements, transactions.

Two times: `occurred_at`, when it happened in the shop, and `recorded_at`, when it was written
down. Everything as of a time is summed up from postings, or folded by the code that applies them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from ledger.commands import Fact, Facts, Reading
from ledger.due import roll_forward
from ledger.load import balance_state, read_facts, read_hold, read_lot
from ledger.model import Balances, Hold, Lot, Posting, Transaction
from ledger.service import Ledger
from ledger.sql import HOLD_COLUMNS, LOT_COLUMNS, POSTING_COLUMNS
from ledger.state import CustomerState

_BALANCE = """
SELECT customer_id, version, available, promo, deferred, held, debt, next_due, recorded_at
FROM ledger.balances WHERE customer_id = $1
"""

_OPEN_LOTS = f"SELECT {LOT_COLUMNS} FROM ledger.lots WHERE customer_id = $1 AND open"

_OPEN_HOLDS = f"""
SELECT {HOLD_COLUMNS} FROM ledger.holds WHERE customer_id = $1 AND status = 'open'
"""

_HOLD = f"""
SELECT {HOLD_COLUMNS} FROM ledger.holds WHERE customer_id = $1 AND id = $2
"""

TRANSACTION_COLUMNS = (
    "t.id, t.customer_id, t.version, t.kind, t.occurred_at, t.recorded_at, t.available_after,"
    " t.promo_after, t.deferred_after, t.held_after, t.debt_after, t.operation_id, t.corrects,"
    " t.hold_id, t.hold_expires_at, t.source, t.channel, t.store, t.author, t.reason"
)
_WIDTH, _KEY = 20, 3

_JOURNAL = f"""
SELECT {TRANSACTION_COLUMNS}, {POSTING_COLUMNS}
FROM ledger.transactions t
LEFT JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
"""

HISTORY = f"""
SELECT {TRANSACTION_COLUMNS}, {POSTING_COLUMNS}
FROM (SELECT * FROM ledger.transactions WHERE customer_id = $1 OFFSET 0) AS t
LEFT JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.occurred_at <= $2 AND t.recorded_at <= $3
ORDER BY t.version, p.seq
"""

LOTS_AS_OF = """
SELECT * FROM (
    SELECT lot_id, bucket, active_from, expires_at, program, program_version, min(occurred_at),
           sum(CASE WHEN credit = 'available' THEN amount WHEN debit = 'available' THEN -amount
               END)::bigint AS available,
           sum(CASE WHEN credit = 'deferred' THEN amount WHEN debit = 'deferred' THEN -amount
               END)::bigint AS deferred,
           sum(CASE WHEN credit = 'held' THEN amount WHEN debit = 'held' THEN -amount
               END)::bigint AS held,
           sum(CASE WHEN debit = 'debt' THEN amount WHEN credit = 'debt' THEN -amount
               END)::bigint AS debt
    FROM (SELECT * FROM ledger.postings WHERE customer_id = $1 OFFSET 0) AS p
    WHERE occurred_at <= $2 AND recorded_at <= $3
    GROUP BY 1, 2, 3, 4, 5, 6) AS lots
WHERE available <> 0 OR deferred <> 0 OR held <> 0 OR debt <> 0
"""
"""Lots by what their postings leave in them, and the debt they left; of most nothing is left.

`OFFSET 0`: a plan made for any time would look the times up in their index, of all customers.
"""

_BY_ID = f"{_JOURNAL} WHERE t.id = $1 ORDER BY t.version, p.seq"

_BY_SOURCE = f"""{_JOURNAL}
WHERE (t.customer_id, t.id) = (
    SELECT customer_id, transaction_id FROM ledger.sources WHERE source = $1)
ORDER BY p.seq
"""

_CORRECTIONS = f"""{_JOURNAL}
WHERE t.customer_id = $1 AND t.corrects = $2 ORDER BY t.version, p.seq
"""

_STATEMENT = f"""
SELECT {TRANSACTION_COLUMNS},
       ARRAY(SELECT DISTINCT p.program FROM ledger.postings p
             WHERE p.customer_id = t.customer_id AND p.version = t.version
               AND p.program IS NOT NULL ORDER BY 1) AS programs
FROM ledger.transactions t
WHERE t.customer_id = $1 AND t.version < $2
ORDER BY t.version DESC LIMIT $3
"""


class StatementItem(Struct, frozen=True):
    """A line of a statement. `points` is what the customer's whole balance changed by:
    available, deferred and held together, less the debt."""

    transaction: Transaction
    points: int
    programs: tuple[str, ...]


async def balance_now(ledger: Ledger, customer_id: UUID) -> CustomerState:
    """The customer as a till would find it now: due activations and expiries included."""
    async with (
        ledger.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        row = await connection.fetchrow(_BALANCE, customer_id)
        if row is None:
            return CustomerState(customer_id)
        state = balance_state(row)
        for lot in map(read_lot, await connection.fetch(_OPEN_LOTS, customer_id)):
            state.lots[lot.id] = lot
        if state.held:
            for hold in map(read_hold, await connection.fetch(_OPEN_HOLDS, customer_id)):
                state.holds[hold.id] = hold
    state.complete = True
    now = ledger.clock()
    roll_forward(state, now, now)
    return state


async def balance_as_of(
    ledger: Ledger, customer_id: UUID, as_of: datetime, known_at: datetime
) -> CustomerState:
    """The customer as of `as_of`, by what was recorded until `known_at` (both inclusive).

    What time alone brought about by `as_of` counts, whether or not it was posted by then; `as_of`
    may lie ahead.
    """
    state = _summed_up(
        customer_id, await ledger.pool.fetch(LOTS_AS_OF, customer_id, as_of, known_at)
    )
    if any(lot.held for lot in state.lots.values()):
        # Which holds are open, and until when, only their transactions tell.
        state = await _folded(ledger, customer_id, as_of, known_at)
    roll_forward(state, as_of, as_of)
    return state


def _summed_up(customer_id: UUID, rows: Iterable[asyncpg.Record]) -> CustomerState:
    """The state that a history without open holds leaves, from `LOTS_AS_OF`."""
    state = CustomerState(customer_id, strict=False)
    for *terms, occurred_at, available, deferred, held, debt in rows:
        available, deferred, held, debt = available or 0, deferred or 0, held or 0, debt or 0
        state.available += available
        state.promo += available if terms[1] == "promo" else 0
        state.deferred += deferred
        state.held += held
        state.debt += debt
        if available or deferred or held:
            left = (available, deferred, held)
            given: tuple[Any, ...] = (*terms[:2], 0, *terms[2:], occurred_at, *left)
            state.lots[terms[0]] = Lot(*given)
    return state


async def _folded(
    ledger: Ledger, customer_id: UUID, as_of: datetime, known_at: datetime
) -> CustomerState:
    """The state as the whole history leaves it."""
    rows = await ledger.pool.fetch(HISTORY, customer_id, as_of, known_at)
    state = CustomerState(customer_id, strict=False)
    for transaction in read_transactions(rows):
        state.apply(transaction)
    return state


async def hold_now(ledger: Ledger, customer_id: UUID, hold_id: UUID) -> Hold | None:
    """A hold, expired when its time is over even if nobody has written that down yet."""
    row = await ledger.pool.fetchrow(_HOLD, customer_id, hold_id)
    if row is None:
        return None
    hold = read_hold(row)
    if hold.status == "open" and hold.expires_at <= ledger.clock():
        return replace(hold, status="expired")
    return hold


_CAPTURE = """
SELECT id FROM ledger.transactions
WHERE customer_id = $1 AND hold_id = $2 AND kind IN ('capture', 'receipt')
ORDER BY version LIMIT 1
"""


async def capture_of(ledger: Ledger, customer_id: UUID, hold_id: UUID) -> UUID | None:
    """The transaction that spent a hold."""
    found: UUID | None = await ledger.pool.fetchval(_CAPTURE, customer_id, hold_id)
    return found


async def facts_now(ledger: Ledger, wanted: Iterable[Fact]) -> Facts:
    """Facts as a plan would find them now, read without any lock."""
    by_reading: dict[Reading, set[Fact]] = {}
    for fact in wanted:
        by_reading.setdefault(fact.reading, set()).add(fact)
    if not by_reading:
        return {}
    async with ledger.pool.acquire() as connection:
        return await read_facts(connection, by_reading, lock=False)


async def statement(
    ledger: Ledger, customer_id: UUID, limit: int, before: int | None = None
) -> list[StatementItem]:
    """The customer's transactions, newest first, from below version `before`."""
    before = before if before is not None else 2**62
    rows = await ledger.pool.fetch(_STATEMENT, customer_id, before, limit + 1)
    items: list[StatementItem] = []
    for row, previous in zip(rows[:limit], [*rows[1:], None], strict=False):
        transaction = _transaction(row, ())
        earlier = _total(_transaction(previous, ()).after) if previous is not None else 0
        points = _total(transaction.after) - earlier
        items.append(StatementItem(transaction, points, tuple(row["programs"])))
    return items


async def transaction_by_id(ledger: Ledger, transaction_id: UUID) -> Transaction | None:
    return _one(await ledger.pool.fetch(_BY_ID, transaction_id))


async def transaction_by_source(ledger: Ledger, source: str) -> Transaction | None:
    """The transaction posted for a document, such as a receipt."""
    return _one(await ledger.pool.fetch(_BY_SOURCE, source))


async def corrections_of(
    ledger: Ledger, customer_id: UUID, transaction_id: UUID
) -> list[Transaction]:
    """The transactions that correct another, oldest first."""
    return read_transactions(await ledger.pool.fetch(_CORRECTIONS, customer_id, transaction_id))


def read_transactions(rows: Iterable[asyncpg.Record]) -> list[Transaction]:
    """Transactions from rows of `TRANSACTION_COLUMNS, POSTING_COLUMNS`, postings in order."""
    transactions: list[Transaction] = []
    head: asyncpg.Record | None = None
    postings: list[Posting] = []
    for row in rows:
        if head is not None and row[:_KEY] != head[:_KEY]:
            transactions.append(_transaction(head, tuple(postings)))
            postings = []
        head = row
        if row[_WIDTH] is not None:
            postings.append(Posting(*tuple(row)[_WIDTH : _WIDTH + 13]))
    if head is not None:
        transactions.append(_transaction(head, tuple(postings)))
    return transactions


def _transaction(row: asyncpg.Record, postings: tuple[Posting, ...]) -> Transaction:
    values = tuple(row)
    after = Balances(*values[6:11])
    fields: tuple[Any, ...] = (*values[:6], postings, after, *values[11:_WIDTH])
    return Transaction(*fields)


def _one(rows: list[asyncpg.Record]) -> Transaction | None:
    found = read_transactions(rows)
    return found[0] if found else None


def _total(after: Balances) -> int:
    return after.available + after.deferred + after.held - after.debt
