"""Many customers at once: registered ones for a campaign, and lots whose time has come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg

from bench.house import Database
from billing.campaigns.crowd import FIRST, Crowd
from billing.common import db
from billing.customers.model import Customer

TAG: Final = "crowd"
Kind = Literal["activation", "expiry"]
KINDS: Final[tuple[Kind, ...]] = ("activation", "expiry")

_REGISTER = """
INSERT INTO billing.customers
    (id, status, phone_hash, phone_masked, tags, created_at, updated_at, verified_at)
SELECT id, 'verified', sha256(id::text::bytea), '+7******0000', ARRAY[$2::text], now(), now(), now()
FROM (SELECT uuidv7() AS id FROM generate_series(1, $1::int)) AS n
"""

# A lot of 10.00 each, given ten days ago. What is due fell due through the last day. That they
# were given was told long ago: the first transaction is behind every reader of the journal.
_NEW = """
CREATE TEMP TABLE due ON COMMIT DROP AS
SELECT uuidv7() AS customer_id, uuidv7() AS id, uuidv7() AS lot_id,
       now() - interval '10 days' AS at, now() - random() * interval '1 day' AS since
FROM generate_series(1, $1::int)
"""
_SCRIPT = (
    """
INSERT INTO ledger.balances
    (customer_id, version, available, promo, deferred, held, debt, next_due, recorded_at)
SELECT customer_id, 1, {available}, 0, {deferred}, 0, 0, since, at FROM due
""",
    """
INSERT INTO ledger.transactions
    (customer_id, version, id, operation_id, kind, occurred_at, recorded_at, available_after,
     promo_after, deferred_after, held_after, debt_after, author, xid)
SELECT customer_id, 1, id, id, 'accrual', at, at, {available}, 0, {deferred}, 0, 0, 'bench', 1
FROM due
""",
    """
INSERT INTO ledger.postings
    (customer_id, version, seq, kind, debit, credit, amount, lot_id, bucket, active_from,
     expires_at, program, occurred_at, recorded_at)
SELECT customer_id, 1, 1, 'accrue', 'issued', '{account}', 1000, lot_id, 'base', {active_from},
       {expires_at}, 'bench', at, at FROM due
""",
    """
INSERT INTO ledger.lots
    (customer_id, id, bucket, amount, active_from, expires_at, program, occurred_at, available,
     deferred, held, redeemed, revoked, owed, expired, open)
SELECT customer_id, lot_id, 'base', 1000, {active_from}, {expires_at}, 'bench', at, {available},
       {deferred}, 0, 0, 0, 0, 0, true FROM due
""",
)
_OF: Final[dict[Kind, dict[str, str]]] = {
    "activation": {
        "account": "deferred", "available": "0", "deferred": "1000",
        "active_from": "since", "expires_at": "NULL::timestamptz",
    },
    "expiry": {
        "account": "available", "available": "1000", "deferred": "0",
        "active_from": "at", "expires_at": "since",
    },
}  # fmt: skip
_LEFT = "SELECT count(*) FROM ledger.balances WHERE next_due <= now()"


async def gather(database: Database, count: int) -> None:
    """Register `count` customers more."""
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute(_REGISTER, count, TAG)
    await connection.execute("ANALYZE billing.customers")
    await connection.close()


async def members(database: Database) -> list[Customer]:
    """Those registered so far."""
    opened = db.Database(database.url, size=1)
    everybody = await Crowd(opened, datetime.now(UTC), None).page(FIRST, 1_000_000)
    await opened.close()
    return [one for one in everybody if TAG in one.tags]


async def make_due(connection: asyncpg.Connection[Any], kind: Kind, count: int) -> list[UUID]:
    """`count` customers of the ledger with a lot of which the time has come; all in one commit."""
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(_NEW.replace("$1", str(count)))
        for statement in _SCRIPT:
            await connection.execute(statement.format(**_OF[kind]))
        rows = await connection.fetch("SELECT customer_id FROM due LIMIT 10000")
    await connection.execute("ANALYZE ledger.balances, ledger.lots")
    return [row[0] for row in rows]


async def left(connection: asyncpg.Connection[Any]) -> int:
    """Customers who are due."""
    count: int = await connection.fetchval(_LEFT)
    return count
