"""Claiming what is due.

A claim writes an attempt before anything is sent: a sender that is killed leaves it without an
outcome, and once its lease is over the message is *unknown*, asked about and not repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.messages.acts import Willing
from billing.messages.settings import QuietHours, quiet_until
from integrations.sms import store
from integrations.sms.fleet import Fleet, console_row
from integrations.sms.slots import Slots
from integrations.sms.store import ProviderRow
from ledger.ids import uuid7

LEASE_S: Final = 60
"""Three times what a request may take."""
ROUNDS: Final = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 7200))
"""After every provider refused: how long until they are all tried again. Then it is dead."""
NO_ROOM: Final = timedelta(seconds=1)
RECOVERED_AT_ONCE: Final = 100
EXPIRED_AT_ONCE: Final = 1000
URGENCIES: Final = (0, 1, 2)

_FIRST_OF: Final = """(SELECT next_at FROM billing.messages
    WHERE status = 'queued' AND urgency = {} AND next_at <= $1 ORDER BY next_at LIMIT 1)"""
ANYTHING: Final = f"""
SELECT coalesce({", ".join(map(_FIRST_OF.format, URGENCIES))},
    (SELECT expires_at FROM billing.messages
     WHERE status = 'queued' AND expires_at <= $1 ORDER BY expires_at LIMIT 1),
    (SELECT leased_until FROM billing.messages
     WHERE leased_until < now() ORDER BY leased_until LIMIT 1)) IS NOT NULL
"""
"""Not EXISTS: without an order, all messages would be read when none is due."""

DUE: Final = text("""
SELECT m.id, m.customer_id, m.phone_encrypted, m.text_encrypted, m.purpose, m.zone, m.via,
       m.tried, m.rounds, m.next_at, m.expires_at, m.error, EXISTS (
           SELECT FROM billing.message_opt_outs o
           WHERE o.phone_hash = m.phone_hash AND m.purpose = 'notice') AS opted_out
FROM billing.messages m
WHERE m.status = 'queued' AND m.urgency = :urgency AND m.next_at <= :now AND m.lease IS NULL
  AND m.expires_at > :now
ORDER BY m.next_at LIMIT :limit FOR NO KEY UPDATE OF m SKIP LOCKED
""")

_RECOVER = text("""
WITH late AS (
    SELECT id, attempt_id FROM billing.messages
    WHERE leased_until < now() ORDER BY leased_until LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
), attempts AS (
    UPDATE billing.message_attempts a
    SET outcome = 'unknown', finished_at = :now, detail = 'the sender was ended'
    FROM late WHERE a.id = late.attempt_id AND a.outcome IS NULL
)
UPDATE billing.messages m
SET lease = NULL, leased_until = NULL,
    status = CASE WHEN m.status = 'queued' THEN 'unknown' ELSE m.status END,
    status_at = CASE WHEN m.status = 'queued' THEN :now ELSE m.status_at END,
    ask_at = CASE WHEN m.status = 'queued' THEN :now ELSE m.ask_at END
FROM late WHERE m.id = late.id
""")

_EXPIRE = text("""
UPDATE billing.messages
SET status = 'expired', status_at = :now, finished_at = :now, phone_encrypted = NULL,
    text_encrypted = NULL, error = coalesce(error, 'no provider took it in time')
WHERE id IN (SELECT id FROM billing.messages
             WHERE status = 'queued' AND expires_at <= :now AND lease IS NULL
             ORDER BY expires_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
""")

_ATTEMPT = text("""
INSERT INTO billing.message_attempts (id, message_id, provider, number, at)
VALUES (:id, :message, :provider, nextval('billing.message_numbers'), :now) RETURNING number
""")
_NAMED = text("UPDATE billing.message_attempts SET provider_message_id = :name WHERE id = :id")
_LEASE = text("""
UPDATE billing.messages
SET lease = :lease, leased_until = clock_timestamp() + make_interval(secs => :lease_s),
    attempts = attempts + 1, attempt_id = :attempt, tried = CAST(:tried AS text[]),
    rounds = :rounds
WHERE id = :id
""")
_LATER = text("""
UPDATE billing.messages
SET next_at = :next_at, tried = CAST(:tried AS text[]), rounds = :rounds,
    error = coalesce(CAST(:error AS text), error), lease = NULL, leased_until = NULL
WHERE id = :id AND status = 'queued'
""")
_FAIL = text("""
UPDATE billing.messages
SET status = 'failed', status_at = :now, finished_at = :now, error = :error, dead = :dead,
    lease = NULL, leased_until = NULL, ask_at = NULL,
    phone_encrypted = CASE WHEN :dead THEN phone_encrypted END,
    text_encrypted = CASE WHEN :dead THEN text_encrypted END
WHERE id = :id AND status IN ('queued', 'unknown')
""")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A message in our hands, while the lease lasts, and the provider it goes to."""

    id: UUID
    attempt: UUID
    number: int
    lease: UUID
    provider: ProviderRow
    phone: bytes
    text: bytes
    expires_at: datetime


async def is_anything(database: Database, now: datetime) -> bool:
    """Whether a claim would find anything to do."""
    return bool((await database.fetch(ANYTHING, now))[0][0])


async def claim(
    tx: AsyncConnection,
    fleet: Fleet,
    now: datetime,
    most: int,
    quiet: QuietHours | None,
    willing: Willing,
) -> list[Job]:
    """Take up to `most` messages that may be sent now; set right what was left behind."""
    await tx.execute(_RECOVER, {"now": now, "limit": RECOVERED_AT_ONCE})
    await tx.execute(_EXPIRE, {"now": now, "limit": EXPIRED_AT_ONCE})
    rows = await store.lock_all(tx)
    if not rows and fleet.console:
        rows = [console_row(now)]
    slots = Slots(rows, now)
    jobs: list[Job] = []
    lease = uuid7()
    for urgency in URGENCIES:
        limit = min(most - len(jobs), slots.all_left)
        if limit <= 0:
            break
        values = {"urgency": urgency, "now": now, "limit": limit}
        rows_due = (await tx.execute(DUE, values)).all()
        unwilling = await _unwilling(tx, rows_due, willing)
        for row in rows_due:
            if row.opted_out or row.id in unwilling:
                await fail(tx, row.id, "opted_out", now)
                continue
            job = await _assign(tx, row, slots, fleet, lease, now, quiet)
            if job is not None:
                jobs.append(job)
    for code, taken in slots.taken.items():
        await store.take_slots(tx, code, taken, now)
    return jobs


async def _unwilling(tx: AsyncConnection, rows: Sequence[Any], willing: Willing) -> set[UUID]:
    """Notices whose customers want none any more."""
    of = {
        row.id: row.customer_id
        for row in rows
        if row.purpose == "notice" and row.customer_id is not None
    }
    wanted = await willing.willing(tx, list(set(of.values()))) if of else set()
    return {message for message, customer in of.items() if customer not in wanted}


async def _assign(
    tx: AsyncConnection,
    row: Any,
    slots: Slots,
    fleet: Fleet,
    lease: UUID,
    now: datetime,
    quiet: QuietHours | None,
) -> Job | None:
    """Give a message to a provider, or put it off."""
    if row.zone is not None and (until := quiet_until(quiet, ZoneInfo(row.zone), now)) is not None:
        await put_off(tx, row.id, until, row.tried, row.rounds)
        return None
    tried, rounds = row.tried, row.rounds
    if tried and not slots.eligible(tried, row.via):
        # All have refused it: another round, if there is one, and when its time has come.
        if rounds >= len(ROUNDS):
            await fail(tx, row.id, row.error or "every provider refused it", now, dead=True)
            return None
        again_at = row.next_at + ROUNDS[rounds]
        tried, rounds = [], rounds + 1
        if again_at > now:
            await put_off(tx, row.id, again_at, tried, rounds)
            return None
    chosen = slots.choose(tried, row.via)
    if chosen is None:
        # The one it would go to is in a pause, or has no room this second.
        await put_off(tx, row.id, now + NO_ROOM, tried, rounds)
        return None
    attempt = uuid7()
    values = {"id": attempt, "message": row.id, "provider": chosen.code, "now": now}
    number = int(await tx.scalar(_ATTEMPT, values) or 0)
    values = {"id": row.id, "lease": lease, "lease_s": LEASE_S, "attempt": attempt}
    await tx.execute(_LEASE, values | {"tried": tried, "rounds": rounds})
    return Job(
        id=row.id,
        attempt=attempt,
        number=number,
        lease=lease,
        provider=chosen,
        phone=row.phone_encrypted,
        text=row.text_encrypted,
        expires_at=row.expires_at,
    )


async def name(tx: AsyncConnection, attempt: UUID, provider_message_id: str) -> None:
    """Note by which id the provider will know an attempt, before it is made."""
    await tx.execute(_NAMED, {"id": attempt, "name": provider_message_id})


async def fail(
    tx: AsyncConnection, message_id: UUID, error: str, now: datetime, *, dead: bool = False
) -> None:
    """It will not be sent; a dead one waits for a person."""
    await tx.execute(_FAIL, {"id": message_id, "error": error, "now": now, "dead": dead})


async def put_off(
    tx: AsyncConnection,
    message_id: UUID,
    until: datetime,
    tried: Sequence[str],
    rounds: int,
    error: str | None = None,
) -> None:
    values = {"id": message_id, "next_at": until, "tried": list(tried), "rounds": rounds}
    await tx.execute(_LATER, values | {"error": error})
