"""Years of history in minutes: ten million postings that the audit would find sound.

Each customer has a store, 24 accruals of three postings, and 6 redemptions of three whole lots
each: six lots are left to spend. Rows lie in the order of time and of commits, as real ones would;
a commit has 32 transactions of as many customers.
"""

from __future__ import annotations

import asyncpg

from bench.house import Database
from ledger.reads import LOTS_AS_OF

ACCRUALS_EACH, REDEMPTIONS_EACH = 24, 6
POSTINGS_EACH = 3 * (ACCRUALS_EACH + REDEMPTIONS_EACH)
STORES = 200
A_COMMIT = 32
_TABLES = (
    "ledger.transactions",
    "ledger.postings",
    "ledger.lots",
    "ledger.sources",
    "ledger.idempotency_keys",
    "billing.receipts",
)

_SETUP = """
CREATE TEMP TABLE people AS
    SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int);
INSERT INTO people SELECT unnest($2::uuid[]);
"""

# Numbers of commits that were: each belongs to a transaction of its own, which wrote nothing.
_COMMITS = """
DO $$ BEGIN
    FOR i IN 1..{count} LOOP
        PERFORM pg_current_xact_id();
        COMMIT;
    END LOOP;
END $$
"""

# The k-th accrual of everybody, then the k-th redemption: versions 1 to 24, and 25 to 30. Both are
# spread over the days of two weeks.
_DAY = "(hashtext(p.id::text || {}) & 65535) % 14 * interval '1 day'"
_SPREAD = f"""
CREATE TEMP TABLE accruals AS
SELECT *, {{first}} + (row_number() OVER (ORDER BY at, customer_id) - 1) / {A_COMMIT} AS xid
FROM (SELECT p.id AS customer_id, k AS version, uuidv7() AS id,
             'm' || 1 + abs(hashtext(p.id::text)) % {STORES} AS store,
             md5(p.id::text || k)::uuid AS lot_id,
             timestamptz '2025-01-01' + k * interval '14 days' + {_DAY.format("k")} AS at
      FROM generate_series(1, {ACCRUALS_EACH}) AS k CROSS JOIN people p) AS a
ORDER BY at, customer_id;
CREATE TEMP TABLE redemptions AS
SELECT *, (SELECT max(xid) FROM accruals)
           + (row_number() OVER (ORDER BY at, customer_id) + {A_COMMIT} - 1) / {A_COMMIT} AS xid
FROM (SELECT p.id AS customer_id, {ACCRUALS_EACH} + r AS version, uuidv7() AS id,
             'm' || 1 + abs(hashtext(p.id::text)) % {STORES} AS store,
             timestamptz '2026-01-01' + r * interval '14 days' + {_DAY.format("-r")} AS at
      FROM generate_series(1, {REDEMPTIONS_EACH}) AS r CROSS JOIN people p) AS a
ORDER BY at, customer_id;
ANALYZE accruals; ANALYZE redemptions
"""
_SCRIPT = (
    """
INSERT INTO ledger.transactions
    (customer_id, version, id, operation_id, kind, occurred_at, recorded_at, available_after,
     promo_after, deferred_after, held_after, debt_after, source, channel, store, author, xid)
SELECT customer_id, version, id, id, 'accrual', at, at, version * 7200, 0, 0, 0, 0,
       'sale/s/' || store || '/' || id, 'shop', store, 'bench', xid
FROM accruals ORDER BY at, customer_id
""",
    """
INSERT INTO ledger.transactions
    (customer_id, version, id, operation_id, kind, occurred_at, recorded_at, available_after,
     promo_after, deferred_after, held_after, debt_after, channel, store, author, xid)
SELECT customer_id, version, id, id, 'redemption', at, at, (24 - 3 * (version - 24)) * 7200, 0, 0,
       0, 0, 'shop', store, 'bench', xid
FROM redemptions ORDER BY at, customer_id
""",
    """
INSERT INTO ledger.postings
    (customer_id, version, seq, kind, debit, credit, amount, lot_id, bucket, active_from, program,
     program_version, channel, store, product_group, occurred_at, recorded_at)
SELECT a.customer_id, a.version, g.seq, 'accrue', 'issued', 'available', g.amount, a.lot_id,
       'base', a.at, 'base-5', 1, 'shop', a.store, g.name, a.at, a.at
FROM accruals a,
     (VALUES (1, 'dairy', 5000), (2, 'meat', 1700), (3, 'bread', 500)) AS g (seq, name, amount)
ORDER BY a.at, a.customer_id, g.seq
""",
    """
INSERT INTO ledger.postings
    (customer_id, version, seq, kind, debit, credit, amount, lot_id, bucket, active_from, program,
     program_version, channel, store, product_group, occurred_at, recorded_at)
SELECT r.customer_id, r.version, (a.version - 1) % 3 + 1, 'redeem', 'available', 'redeemed', 7200,
       a.lot_id, 'base', a.at, 'base-5', 1, 'shop', a.store, 'dairy', r.at, r.at
FROM accruals a
JOIN redemptions r ON r.customer_id = a.customer_id AND r.version = 24 + (a.version + 2) / 3
WHERE a.version <= 18 ORDER BY r.at, r.customer_id, 3
""",
    """
INSERT INTO ledger.lots
    (customer_id, id, bucket, amount, active_from, program, program_version, occurred_at,
     available, deferred, held, redeemed, revoked, owed, expired, channel, store, open)
SELECT customer_id, lot_id, 'base', 7200, at, 'base-5', 1, at,
       CASE WHEN version <= 18 THEN 0 ELSE 7200 END, 0, 0,
       CASE WHEN version <= 18 THEN 7200 ELSE 0 END, 0, 0, 0, 'shop', store,
       version > 18
FROM accruals ORDER BY at, customer_id
""",
    """
INSERT INTO ledger.sources (source, customer_id, transaction_id)
SELECT 'sale/s/' || store || '/' || id, customer_id, id FROM accruals
""",
    """
INSERT INTO ledger.idempotency_keys
    (key, customer_id, fingerprint, status, answer, recorded_at, xid)
SELECT md5(id::text), customer_id, sha256(id::text::bytea), 201,
       convert_to(repeat(id::text, 25), 'UTF8'), at, xid
FROM accruals ORDER BY at, customer_id
""",
    """
INSERT INTO billing.receipts
    (id, customer_id, channel, store, number, occurred_at, recorded_at, total, redeemed, accrued,
     lines, payments, programs)
SELECT id, customer_id, 'shop', store, id, at, at, 143334, 0, 7200,
       (SELECT jsonb_agg(jsonb_build_object('line', n, 'sku', 'sku-' || n, 'group', 'dairy',
            'quantity', '2', 'price', '500.00', 'amount', '1000.00', 'promo', false,
            'points_paid', '0.00', 'accruals', jsonb_build_object('base-5', '24.00')))
        FROM generate_series(1, 3) AS n), '[]', '[]'
FROM accruals ORDER BY at, customer_id
""",
    """
INSERT INTO ledger.balances
    (customer_id, version, available, promo, deferred, held, debt, recorded_at)
SELECT customer_id, version, 6 * 7200, 0, 0, 0, 0, at FROM redemptions WHERE version = 30
""",
)


async def grow(database: Database, postings: int) -> int:
    """Fill the ledger to about `postings`; how many there are. The customers get history, too."""
    connection = await asyncpg.connect(database.superuser_url, timeout=60)
    # Foreign keys are not asked, and indexes are made at the end: it only has to be there.
    await connection.execute("SET session_replication_role = replica; SET work_mem = '256MB'")
    await connection.execute("SET maintenance_work_mem = '1GB'; SET synchronous_commit = off")
    put_back = await _drop_indexes(connection)
    strangers = max(0, postings // POSTINGS_EACH - len(database.customers))
    create, insert = _SETUP.strip().split(";\n")
    await connection.execute(create.replace("$1", str(strangers)))
    await connection.execute(insert.rstrip(";").replace("$2", "$1"), database.customers)
    people: int = await connection.fetchval("SELECT count(*) FROM people")
    commits = people * (ACCRUALS_EACH + REDEMPTIONS_EACH) // A_COMMIT + 2
    first: int = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint + 1")
    await connection.execute(_COMMITS.format(count=commits))
    await connection.execute(_SPREAD.format(first=first))
    for statement in _SCRIPT:
        await connection.execute(statement)
    for statement in put_back:
        await connection.execute(statement)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")
    count: int = await connection.fetchval("SELECT count(*) FROM ledger.postings")
    await connection.close()
    return count


async def _drop_indexes(connection: asyncpg.Connection) -> list[str]:  # type: ignore[type-arg]
    """Drop constraints and indexes of the large tables; the statements that make them again."""
    constraints = await connection.fetch(
        """SELECT conrelid::regclass::text AS t, conname, pg_get_constraintdef(oid) AS d
           FROM pg_constraint WHERE conrelid::regclass::text = ANY($1) AND contype IN ('p', 'f')
           ORDER BY contype""",
        list(_TABLES),
    )
    for row in constraints:  # Foreign keys sort first.
        await connection.execute(f"ALTER TABLE {row['t']} DROP CONSTRAINT {row['conname']}")
    indexes = await connection.fetch(
        """SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS d
           FROM pg_index WHERE indrelid::regclass::text = ANY($1)""",
        list(_TABLES),
    )
    for row in indexes:
        await connection.execute(f"DROP INDEX {row['name']}")
    return [
        f"ALTER TABLE {row['t']} ADD CONSTRAINT {row['conname']} {row['d']}"
        for row in reversed(constraints)
    ] + [row["d"] for row in indexes]


PLANS = {
    "balance": "SELECT * FROM ledger.balances WHERE customer_id = $1",
    "open lots": "SELECT * FROM ledger.lots WHERE customer_id = $1 AND open",
    "statement": """SELECT * FROM ledger.transactions t WHERE t.customer_id = $1
        AND t.version < 1000000 ORDER BY t.version DESC LIMIT 20""",
    "balance as of": LOTS_AS_OF.replace("$2", "now()").replace("$3", "now()"),
}


async def plans(database: Database) -> dict[str, tuple[int, str]]:
    """For each read: how many pages it touched, and its plan's lines."""
    connection = await asyncpg.connect(database.superuser_url)
    found: dict[str, tuple[int, str]] = {}
    for name, query in PLANS.items():
        rows = await connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {query}", database.customers[0]
        )
        lines = [row[0] for row in rows]
        buffers = next(line for line in lines if "Buffers:" in line)
        pages = sum(int(part.split("=")[1]) for part in buffers.split() if "=" in part)
        nodes = [line for line in lines if "Scan" in line or "Join" in line or "Nested" in line]
        found[name] = (pages, "; ".join(node.split("(actual")[0].strip(" ->") for node in nodes))
    await connection.close()
    return found
