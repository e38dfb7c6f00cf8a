"""Every statement of the hot path, in one place.

They take arrays and run once a group, whatever its size. All are look-ups by key, which is why
lanes plan them with index scans and nested loops only (`LANE_SETTINGS`).
"""

from __future__ import annotations

from typing import Final

from ledger.copying import table

LANE_SETTINGS: Final = {
    "role": "bonus_app",
    "application_name": "bonus lane",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "lock_timeout": "500ms",
    "idle_in_transaction_session_timeout": "60s",
}
"""A generic plan made while a table was still empty must not become a sequential scan later."""

BULK_SETTINGS: Final = LANE_SETTINGS | {"lock_timeout": "10s"}
"""Bulk work waits for others; nobody stands at a counter."""

LOCK: Final = """
SELECT customer_id, version, available, promo, deferred, held, debt, next_due, recorded_at
FROM ledger.balances WHERE customer_id = ANY($1::uuid[])
ORDER BY customer_id FOR UPDATE
"""

DUE: Final = """
SELECT b.customer_id FROM ledger.balances b
WHERE b.next_due <= $1 AND NOT EXISTS (
    SELECT FROM ledger.set_aside s WHERE s.customer_id = b.customer_id AND s.again_at > $1)
ORDER BY b.next_due LIMIT $2 FOR UPDATE OF b SKIP LOCKED
"""
"""Whom time has changed, the longest ago first. Whom another sweep or a till is at work on is
brought up to date there; whom a sweep could not, waits for its next turn."""

OPEN_ACCOUNTS: Final = """
INSERT INTO ledger.balances
    (customer_id, version, available, promo, deferred, held, debt)
SELECT id, 0, 0, 0, 0, 0, 0 FROM unnest($1::uuid[]) AS id ORDER BY id
ON CONFLICT DO NOTHING
"""

KNOWN: Final = """
SELECT 0 AS what, key AS name, fingerprint, status, answer, NULL::uuid AS transaction_id,
       NULL::timestamptz AS closed_until
FROM ledger.idempotency_keys WHERE key = ANY($1::text[])
UNION ALL
SELECT 1, source, NULL, NULL, NULL, transaction_id, NULL
FROM ledger.sources WHERE source = ANY($2::text[])
UNION ALL
SELECT 2, late, NULL, NULL, NULL, NULL, closed_until FROM ledger.closing WHERE one = 1
"""
"""Idempotency keys (what = 0) and natural keys (what = 1) that are already taken, and until when
periods are closed (what = 2). Read after `LOCK`: whoever closes a period waits for those who have
locked something before."""

LOT_COLUMNS: Final = (
    "customer_id, id, bucket, amount, active_from, expires_at, program, program_version,"
    " occurred_at, available, deferred, held, redeemed, revoked, owed, expired, forgiven, channel,"
    " store"
)

OPEN_LOTS: Final = f"""
SELECT {LOT_COLUMNS} FROM ledger.lots WHERE customer_id = ANY($1::uuid[]) AND open
UNION ALL
SELECT {LOT_COLUMNS} FROM ledger.lots WHERE customer_id = ANY($2::uuid[]) AND deferred > 0
"""
"""$1: customers all of whose open lots matter; $2: those of whom only the deferred ones do."""

NAMED_LOTS: Final = f"""
SELECT {LOT_COLUMNS} FROM ledger.lots
WHERE (customer_id, id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) AND NOT open
"""
"""Closed lots that a correction gives points back to."""

HOLD_COLUMNS: Final = "customer_id, id, status, expires_at, lots, amounts, captured, channel, store"

HOLDS: Final = f"""
SELECT {HOLD_COLUMNS} FROM ledger.holds WHERE customer_id = ANY($1::uuid[]) AND status = 'open'
UNION ALL
SELECT {HOLD_COLUMNS} FROM ledger.holds
WHERE (customer_id, id) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[])) AND status <> 'open'
"""

POSTING_COLUMNS: Final = (
    "p.kind, p.debit, p.credit, p.amount, p.lot_id, p.bucket, p.active_from, p.expires_at,"
    " p.program, p.program_version, p.channel, p.store, p.product_group"
)

TARGETS: Final = f"""
SELECT t.id AS target, t.kind AS target_kind, t.id AS of, t.kind AS of_kind, t.version, p.seq,
       {POSTING_COLUMNS}
FROM unnest($1::uuid[], $2::uuid[]) AS want (customer_id, id)
JOIN ledger.transactions t ON t.id = want.id AND t.customer_id = want.customer_id
LEFT JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
UNION ALL
SELECT t.id, t.kind, k.id, k.kind, k.version, p.seq, {POSTING_COLUMNS}
FROM unnest($1::uuid[], $2::uuid[]) AS want (customer_id, id)
JOIN ledger.transactions t ON t.id = want.id AND t.customer_id = want.customer_id
JOIN ledger.transactions k ON k.customer_id = t.customer_id AND k.corrects = t.id
LEFT JOIN ledger.postings p ON p.customer_id = k.customer_id AND p.version = k.version
ORDER BY 1, 5, 6
"""
"""Transactions to be corrected with their postings, and all that already corrects them."""

_SET_BALANCES: Final = """
UPDATE ledger.balances AS b
SET version = n.version, available = n.available, promo = n.promo, deferred = n.deferred,
    held = n.held, debt = n.debt, next_due = n.next_due, recorded_at = n.recorded_at
FROM unnest({})
    AS n (customer_id, was, version, available, promo, deferred, held, debt, next_due,
          recorded_at)
WHERE b.customer_id = n.customer_id AND b.version = n.was
"""

_JOURNAL: Final = """
WITH journal AS (
    INSERT INTO ledger.transactions
        (customer_id, version, id, operation_id, kind, occurred_at, recorded_at,
         available_after, promo_after, deferred_after, held_after, debt_after,
         corrects, hold_id, hold_expires_at, source, channel, store, author, reason)
    SELECT * FROM unnest(
        $1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[],
        $7::timestamptz[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
        $12::bigint[], $13::uuid[], $14::uuid[], $15::timestamptz[], $16::text[], $17::text[],
        $18::text[], $19::text[], $20::text[])
), movements AS (
    INSERT INTO ledger.postings
        (customer_id, version, seq, kind, debit, credit, amount, lot_id, bucket, active_from,
         expires_at, program, program_version, channel, store, product_group, occurred_at,
         recorded_at)
    SELECT ($1::uuid[])[p.place], ($2::bigint[])[p.place], p.seq, p.kind, p.debit, p.credit,
           p.amount, p.lot_id, p.bucket, p.active_from, p.expires_at, p.program,
           p.program_version, p.channel, p.store, p.product_group,
           ($6::timestamptz[])[p.place], ($7::timestamptz[])[p.place]
    FROM unnest(
        $21::int[], $22::int[], $23::text[], $24::text[], $25::text[], $26::bigint[],
        $27::uuid[], $28::text[], $29::timestamptz[], $30::timestamptz[], $31::text[],
        $32::int[], $33::text[], $34::text[], $35::text[])
        AS p (place, seq, kind, debit, credit, amount, lot_id, bucket, active_from, expires_at,
              program, program_version, channel, store, product_group)
), documents AS (
    INSERT INTO ledger.sources (source, customer_id, transaction_id)
    SELECT * FROM unnest($36::text[], $37::uuid[], $38::uuid[])
), answers AS (
    INSERT INTO ledger.idempotency_keys
        (key, customer_id, fingerprint, status, answer, recorded_at)
    SELECT * FROM unnest(
        $39::text[], $40::uuid[], $41::bytea[], $42::smallint[], $43::bytea[],
        $44::timestamptz[])
)
"""
APPEND: Final = _JOURNAL + _SET_BALANCES.format(
    "$45::uuid[], $46::bigint[], $47::bigint[], $48::bigint[], $49::bigint[], $50::bigint[],"
    " $51::bigint[], $52::bigint[], $53::timestamptz[], $54::timestamptz[]"
)
"""One round trip for the whole group. The command tag counts the balances updated."""

SET_BALANCES: Final = _SET_BALANCES.format(
    "$1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],"
    " $7::bigint[], $8::bigint[], $9::timestamptz[], $10::timestamptz[]"
)
"""The end of `APPEND`, after a journal that came by COPY."""

TRANSACTIONS: Final = table(
    "ledger.transactions",
    "customer_id uuid, version bigint, id uuid, operation_id uuid, kind text,"
    " occurred_at timestamptz, recorded_at timestamptz, available_after bigint,"
    " promo_after bigint, deferred_after bigint, held_after bigint, debt_after bigint,"
    " corrects uuid, hold_id uuid, hold_expires_at timestamptz, source text, channel text,"
    " store text, author text, reason text",
)
POSTINGS: Final = table(
    "ledger.postings",
    "customer_id uuid, version bigint, seq integer, kind text, debit text, credit text,"
    " amount bigint, lot_id uuid, bucket text, active_from timestamptz, expires_at timestamptz,"
    " program text, program_version integer, channel text, store text, product_group text,"
    " occurred_at timestamptz, recorded_at timestamptz",
)
SOURCES: Final = table("ledger.sources", "source text, customer_id uuid, transaction_id uuid")
ANSWERS: Final = table(
    "ledger.idempotency_keys",
    "key text, customer_id uuid, fingerprint bytea, status smallint, answer bytea,"
    " recorded_at timestamptz",
)
LOTS: Final = table(
    "ledger.lots",
    "customer_id uuid, id uuid, bucket text, amount bigint, active_from timestamptz,"
    " expires_at timestamptz, program text, program_version integer, occurred_at timestamptz,"
    " available bigint, deferred bigint, held bigint, redeemed bigint, revoked bigint,"
    " owed bigint, expired bigint, forgiven bigint, channel text, store text, open boolean",
)
"""What large groups copy: the rows of `APPEND` and `NEW_LOTS`."""

NEW_LOTS: Final = f"""
INSERT INTO ledger.lots ({LOT_COLUMNS}, open)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
    $7::text[], $8::int[], $9::timestamptz[], $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::text[],
    $19::text[], $20::boolean[])
"""

CHANGED_LOTS: Final = """
UPDATE ledger.lots AS l
SET amount = n.amount, available = n.available, deferred = n.deferred, held = n.held,
    redeemed = n.redeemed, revoked = n.revoked, owed = n.owed, expired = n.expired,
    forgiven = n.forgiven, open = n.open
FROM unnest(
    $1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[])
    AS n (customer_id, id, amount, available, deferred, held, redeemed, revoked, owed, expired,
          forgiven, open)
WHERE l.customer_id = n.customer_id AND l.id = n.id
"""

PUT_HOLDS: Final = f"""
INSERT INTO ledger.holds AS h ({HOLD_COLUMNS})
SELECT n.customer_id, n.id, n.status, n.expires_at, string_to_array(n.lots, ',')::uuid[],
       string_to_array(n.amounts, ',')::bigint[], n.captured, n.channel, n.store
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[],
    $8::text[], $9::text[]) AS n ({HOLD_COLUMNS})
ON CONFLICT (customer_id, id) DO UPDATE
SET status = excluded.status, captured = excluded.captured
"""
