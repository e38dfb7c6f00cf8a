"""What a provider says becomes the message's status: only forward, in whatever order it comes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.messages.masking import without_phones
from billing.messages.model import FINAL, Status
from billing.messages.store import RANK


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider said of a message it knows as `provider_message_id`."""

    provider_message_id: str
    status: Status
    error: str | None = None
    segments: int | None = None
    price: Decimal | None = None
    currency: str | None = None


FIND: Final = text("""
SELECT a.id, a.message_id FROM billing.message_attempts a
WHERE a.provider = :provider AND a.provider_message_id = :reference
ORDER BY a.at DESC, a.id DESC LIMIT 1
""")

_APPLY = text(f"""
UPDATE billing.messages m
SET status = CASE WHEN n.forward THEN :status ELSE m.status END,
    status_at = CASE WHEN n.forward THEN :now ELSE m.status_at END,
    error = CASE WHEN n.forward THEN CAST(:error AS text) ELSE m.error END,
    provider = CASE WHEN n.forward THEN :provider ELSE m.provider END,
    provider_message_id = CASE WHEN n.forward THEN :reference ELSE m.provider_message_id END,
    segments = coalesce(CAST(:segments AS smallint), m.segments),
    price = coalesce(CAST(:price AS numeric), m.price),
    currency = coalesce(CAST(:currency AS text), m.currency),
    text_encrypted = CASE WHEN n.forward THEN NULL ELSE m.text_encrypted END,
    phone_encrypted = CASE WHEN :final AND n.forward THEN NULL ELSE m.phone_encrypted END,
    dead = m.dead AND NOT n.forward,
    lease = CASE WHEN n.forward THEN NULL ELSE m.lease END,
    leased_until = CASE WHEN n.forward THEN NULL ELSE m.leased_until END,
    asked = CASE WHEN m.status IN ('queued', 'unknown') AND n.forward THEN 0 ELSE m.asked END,
    ask_at = CASE WHEN NOT n.forward THEN m.ask_at
                  WHEN :final THEN NULL ELSE CAST(:ask_at AS timestamptz) END,
    finished_at = CASE WHEN :final AND n.forward THEN :now ELSE m.finished_at END
FROM (SELECT id, {RANK.format("CAST(:status AS text)")} > {RANK.format("status")}
             AND (:status NOT IN ('failed', 'expired') OR attempt_id = :attempt) AS forward
      FROM billing.messages WHERE id = :message FOR NO KEY UPDATE) AS n
WHERE m.id = n.id
RETURNING n.forward
""")  # noqa: S608
"""Of several attempts only the last one's failure is the message's; a delivery is, whoever's."""

_KNOWN = text("""
UPDATE billing.message_attempts
SET provider_message_id = :reference, outcome = 'accepted',
    finished_at = coalesce(finished_at, :now)
WHERE id = :attempt
""")


async def find(tx: AsyncConnection, provider: str, reference: str) -> tuple[UUID, UUID] | None:
    """The attempt and the message that a provider means."""
    values = {"provider": provider, "reference": reference}
    row = (await tx.execute(FIND, values)).one_or_none()
    return None if row is None else (row[0], row[1])


async def apply(
    tx: AsyncConnection,
    *,
    provider: str,
    attempt: UUID,
    message: UUID,
    said: Said,
    now: datetime,
    ask_at: datetime | None,
) -> bool:
    """Move the message on; whether it moved. `ask_at` is when the provider is asked again. The
    message's row is locked before that of its attempt, as whoever else locks both does."""
    values: dict[str, Any] = {
        "provider": provider,
        "reference": said.provider_message_id,
        "attempt": attempt,
        "message": message,
        "status": said.status,
        "final": said.status in FINAL,
        "error": None if said.error is None else without_phones(said.error),
        "segments": said.segments,
        "price": said.price,
        "currency": said.currency,
        "now": now,
        "ask_at": ask_at,
    }
    moved = bool(await tx.scalar(_APPLY, values))
    await tx.execute(_KNOWN, {name: values[name] for name in ("reference", "attempt", "now")})
    return moved
