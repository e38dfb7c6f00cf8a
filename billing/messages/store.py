"""Queries of messages: putting them into the queue, looking at them, forgetting them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.messages.model import ORDER, Attempt, Delivery, Message, Status, Written

KEPT: Final = timedelta(days=365)
KEPT_OPEN: Final = timedelta(days=30)
"""A phone and text that wait for a person are dropped all the same."""
PRUNED_AT_ONCE: Final = 1000
SHOWN_ATTEMPTS: Final = 50
TIMEOUT_S: Final = 30.0

RANK: Final = "array_position(ARRAY[{}]::text[], {{}})".format(
    ", ".join(f"'{status}'" for status in ORDER)
)
"""The place of a status in their order, as SQL."""

_NEW: Final = (
    ("id", "uuid"), ("customer_id", "uuid"), ("phone_hash", "bytea"), ("phone_masked", "text"),
    ("phone_encrypted", "bytea"), ("text_encrypted", "bytea"), ("purpose", "text"),
    ("kind", "text"), ("language", "text"), ("verification_id", "uuid"), ("cause", "uuid"),
    ("zone", "text"), ("via", "text"), ("urgency", "smallint"), ("segments", "smallint"),
    ("created_at", "timestamptz"), ("not_before", "timestamptz"), ("expires_at", "timestamptz"),
)  # fmt: skip
COLUMNS: Final = tuple(name for name, _ in _NEW)

_INSERT = text(f"""
INSERT INTO billing.messages ({", ".join(COLUMNS)}, status_at, next_at)
SELECT n.*, n.created_at, n.not_before FROM unnest({
    ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _NEW)
}) AS n ({", ".join(COLUMNS)})
ON CONFLICT (cause) DO NOTHING
""")

_SHOWN: Final = ", ".join(f"m.{name}" for name in Message.__struct_fields__)

PAGE: Final = {
    (of_one, status): f"""
SELECT {_SHOWN} FROM billing.messages m
WHERE m.id < $1 {"AND m.customer_id = $3" if of_one else ""}
  {"AND m.dead" if status == "dead" else f"AND m.status = '{status}'" if status else ""}
ORDER BY m.id DESC LIMIT $2
"""
    for of_one in (False, True)
    for status in (None, "dead", *get_args(Status))
}

_ONE: Final = f"SELECT {_SHOWN} FROM billing.messages m WHERE m.id = $1"

_HISTORY: Final = """
SELECT provider, at, finished_at, outcome, code, detail, provider_message_id
FROM billing.message_attempts WHERE message_id = $1 ORDER BY at DESC, id DESC LIMIT $2
"""

_SENT_TO: Final = f"""
SELECT {_SHOWN} FROM billing.messages m WHERE m.customer_id = ANY($1) OR m.phone_hash = ANY($2)
ORDER BY m.id DESC LIMIT $3
"""
_WRITTEN_BY: Final = """
SELECT command, outcome, answered, provider, received_at FROM billing.message_inbound
WHERE phone_hash = ANY($1) ORDER BY received_at DESC LIMIT $2
"""

_REPLAY = text("""
UPDATE billing.messages
SET status = 'queued', status_at = :now, next_at = :now, dead = false, rounds = 0, tried = '{}',
    asked = 0, missing = 0, ask_at = NULL, error = NULL, finished_at = NULL,
    expires_at = greatest(expires_at, :until)
WHERE id = ANY(:ids) AND dead AND text_encrypted IS NOT NULL AND purpose <> 'verification'
RETURNING id
""")
"""A code that nobody got is not sent again: it is over, and a new one is asked for."""

_DEAD: Final = """
SELECT id FROM billing.messages
WHERE dead AND text_encrypted IS NOT NULL AND purpose <> 'verification' ORDER BY id LIMIT $1
"""

_OPT_OUT = text("""
INSERT INTO billing.message_opt_outs (phone_hash, since, via) VALUES (:hash, :now, :via)
ON CONFLICT (phone_hash) DO NOTHING
""")
_OPT_IN = text("DELETE FROM billing.message_opt_outs WHERE phone_hash = :hash")

_OF_PERSON = text("""
SELECT id FROM billing.messages WHERE customer_id = :customer OR phone_hash = ANY(:hashes)
ORDER BY id FOR NO KEY UPDATE
""")
"""Messages before their attempts, in order: as senders lock them."""
_FORGET_PERSON = text("""
UPDATE billing.messages
SET phone_encrypted = NULL, text_encrypted = NULL, phone_masked = '', phone_hash = '\\x',
    lease = NULL, leased_until = NULL, ask_at = NULL, dead = false,
    status = CASE WHEN status = 'queued' THEN 'failed' ELSE status END,
    error = CASE WHEN status = 'queued' THEN 'forgotten' ELSE error END,
    finished_at = coalesce(finished_at, :now)
WHERE id = ANY(:ids)
""")
_FORGET_WRITTEN = text("""
UPDATE billing.message_inbound SET phone_hash = '\\x', phone_masked = ''
WHERE phone_hash = ANY(:hashes)
""")
_FORGET_ATTEMPTS = text("""
UPDATE billing.message_attempts SET code = NULL, detail = NULL WHERE message_id = ANY(:ids)
""")
_FORGET_OPT_OUTS = text("DELETE FROM billing.message_opt_outs WHERE phone_hash = ANY(:hashes)")
_HASHES = text("""
SELECT had.phone_hash FROM (
    SELECT phone_hash FROM billing.messages WHERE customer_id = :customer AND phone_hash <> '\\x'
    UNION SELECT phone_hash FROM billing.customers WHERE id = :customer AND phone_hash IS NOT NULL
) AS had
WHERE NOT EXISTS (
    SELECT FROM billing.customers c WHERE c.phone_hash = had.phone_hash AND c.id <> :customer
      AND c.merged_into IS DISTINCT FROM :customer)
""")
"""Phones of the person, that are nobody else's."""
_DELIVERY = text("SELECT status, provider_message_id FROM billing.messages WHERE id = :id")

FORGET_OLD: Final = (
    text("""
DELETE FROM billing.messages WHERE id = ANY (ARRAY(
    SELECT id FROM billing.messages WHERE finished_at < :kept ORDER BY finished_at LIMIT :limit))
"""),
    text("""
UPDATE billing.messages SET phone_encrypted = NULL, text_encrypted = NULL, dead = false
WHERE id = ANY (ARRAY(
    SELECT id FROM billing.messages WHERE finished_at < :kept_open
      AND (phone_encrypted IS NOT NULL OR text_encrypted IS NOT NULL)
    ORDER BY finished_at LIMIT :limit))
"""),
    text("""
DELETE FROM billing.message_inbound WHERE id = ANY (ARRAY(
    SELECT id FROM billing.message_inbound WHERE received_at < :kept
    ORDER BY received_at LIMIT :limit))
"""),
)


async def insert(tx: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Queue messages, `COLUMNS` each; how many were new by their cause."""
    if not rows:
        return 0
    columns = zip(*rows, strict=True)
    values = {name: list(column) for name, column in zip(COLUMNS, columns, strict=True)}
    return (await tx.execute(_INSERT, values)).rowcount


async def page(
    database: Database, before: UUID, limit: int, customer_id: UUID | None, status: str | None
) -> list[Message]:
    """Newest first."""
    of = () if customer_id is None else (customer_id,)
    query = PAGE[customer_id is not None, status]
    return [Message(**dict(row)) for row in await database.fetch(query, before, limit, *of)]


async def sent_to(
    database: Database, customers: Sequence[UUID], hashes: Sequence[bytes], limit: int
) -> list[Message]:
    """Of customers, and of phones without naming one; newest first."""
    rows = await database.fetch(_SENT_TO, list(customers), list(hashes), limit)
    return [Message(**dict(row)) for row in rows]


async def written_by(database: Database, hashes: Sequence[bytes], limit: int) -> list[Written]:
    """What came from phones, newest first."""
    rows = await database.fetch(_WRITTEN_BY, list(hashes), limit)
    return [Written(**dict(row)) for row in rows]


async def one(database: Database, message_id: UUID) -> Message | None:
    rows = await database.fetch(_ONE, message_id)
    return Message(**dict(rows[0])) if rows else None


async def history(database: Database, message_id: UUID) -> list[Attempt]:
    """The newest attempts, newest first."""
    rows = await database.fetch(_HISTORY, message_id, SHOWN_ATTEMPTS)
    return [Attempt(**dict(row)) for row in rows]


async def dead(database: Database, limit: int) -> list[UUID]:
    """The oldest that could be sent once more."""
    return [row[0] for row in await database.fetch(_DEAD, limit, timeout_s=TIMEOUT_S)]


async def replay(
    tx: AsyncConnection, ids: Sequence[UUID], now: datetime, until: datetime
) -> list[UUID]:
    """Send dead messages once more, until `until` at least; those that will be."""
    found = await tx.execute(_REPLAY, {"ids": list(ids), "now": now, "until": until})
    return list(found.scalars())


async def opt_out(tx: AsyncConnection, phone_hash: bytes, via: str, now: datetime) -> None:
    await tx.execute(_OPT_OUT, {"hash": phone_hash, "via": via, "now": now})


async def opt_in(tx: AsyncConnection, phone_hash: bytes) -> None:
    await tx.execute(_OPT_IN, {"hash": phone_hash})


async def delivery_of(tx: AsyncConnection, message_id: UUID) -> Delivery | None:
    row = (await tx.execute(_DELIVERY, {"id": message_id})).one_or_none()
    return None if row is None else Delivery(*row)


async def forget_customer(tx: AsyncConnection, customer_id: UUID, now: datetime) -> None:
    """Also what was sent to the same phones without naming the customer."""
    hashes = list((await tx.execute(_HASHES, {"customer": customer_id})).scalars())
    found = await tx.execute(_OF_PERSON, {"customer": customer_id, "hashes": hashes})
    ids = list(found.scalars())
    await tx.execute(_FORGET_PERSON, {"ids": ids, "now": now})
    await tx.execute(_FORGET_ATTEMPTS, {"ids": ids})
    await tx.execute(_FORGET_OPT_OUTS, {"hashes": hashes})
    await tx.execute(_FORGET_WRITTEN, {"hashes": hashes})


async def forget_old(database: Database, now: datetime, go_on: Callable[[], bool]) -> None:
    """Drop what is long over, all of it, as long as `go_on`."""
    values = {"kept": now - KEPT, "kept_open": now - KEPT_OPEN}
    await prune(database, FORGET_OLD, values, go_on)


async def prune(
    database: Database,
    statements: Sequence[TextClause],
    values: Mapping[str, object],
    go_on: Callable[[], bool],
) -> None:
    """Run each until it finds less than its `:limit`: every time a transaction of its own, so that
    nobody waits for long."""
    for statement in statements:
        known = {**values, "limit": PRUNED_AT_ONCE}
        named = {name: known[name] for name in statement.compile().params}
        found = PRUNED_AT_ONCE
        while found == PRUNED_AT_ONCE and go_on():
            async with database.transaction(timeout_s=TIMEOUT_S) as tx:
                found = (await tx.execute(statement, named)).rowcount
