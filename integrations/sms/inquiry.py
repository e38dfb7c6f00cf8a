"""Asking what became of messages that are unknown, or that nobody reported.

An unknown one is sent again only after the provider said twice, with time between, that it never
came. One that no provider can tell about waits for a person, or, if it was a code, is let go.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from billing.messages import statuses
from billing.messages.masking import told_of
from billing.messages.model import Status
from billing.messages.sealing import MessageVault
from billing.messages.statuses import Said
from integrations.sms import store
from integrations.sms.fleet import Fleet, Unusable, console_row
from integrations.sms.protocol import Missing, NotTold, Sent, StatusAnswer
from ledger.group import Clock
from ledger.service import utc_now

AT_ONCE: Final = 16
LEASE: Final = timedelta(minutes=1)
UNKNOWN: Final = tuple(timedelta(seconds=s) for s in (20, 60, 300, 1800, 7200, 21_600))
UNREPORTED: Final = tuple(timedelta(seconds=s) for s in (600, 3600, 21_600, 86_400))
"""How long after the first question the next ones come."""
MISSING_TWICE: Final = 2
TIMEOUT_S: Final = 15.0

DUE: Final = text("""
WITH due AS MATERIALIZED (
    SELECT id, attempt_id FROM billing.messages WHERE ask_at <= :now
    ORDER BY ask_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
UPDATE billing.messages m SET ask_at = :again, asked = m.asked + 1
FROM due JOIN billing.message_attempts a ON a.id = due.attempt_id
WHERE m.id = due.id
RETURNING m.id, m.status, m.asked, m.purpose, m.phone_encrypted, m.text_encrypted,
          a.id AS attempt, a.provider, a.number, a.provider_message_id, a.at
""")
ANYTHING: Final = """
SELECT (SELECT ask_at FROM billing.messages WHERE ask_at <= $1 ORDER BY ask_at LIMIT 1) IS NOT NULL
"""

_AGAIN = text("""
UPDATE billing.messages SET ask_at = :ask_at WHERE id = :id AND ask_at IS NOT NULL
""")
_REPEAT = text("""
UPDATE billing.messages
SET status = 'queued', status_at = :now, next_at = :now, ask_at = NULL, asked = 0, missing = 0,
    error = 'the provider never got it'
WHERE id = :id AND status = 'unknown' AND text_encrypted IS NOT NULL
""")
_MISSING = text("""
UPDATE billing.messages SET missing = missing + 1 WHERE id = :id AND status = 'unknown'
RETURNING missing
""")
_LOST = text("""
UPDATE billing.message_attempts SET outcome = 'lost' WHERE id = :attempt AND outcome = 'unknown'
""")
_GIVE_UP = text("""
UPDATE billing.messages
SET ask_at = NULL, finished_at = :now, dead = status = 'unknown' AND purpose <> 'verification',
    text_encrypted = CASE WHEN purpose <> 'verification' THEN text_encrypted END
WHERE id = :id AND status IN ('unknown', 'accepted', 'sent')
""")

log = structlog.stdlib.get_logger(__name__)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be asked about, for the `asked`th time."""

    id: UUID
    status: Status
    asked: int
    purpose: str
    phone_encrypted: bytes | None
    text_encrypted: bytes | None
    attempt: UUID
    provider: str
    number: int
    provider_message_id: str | None
    at: datetime


class Inquirer:
    """Asks. Several may run side by side."""

    def __init__(
        self, database: Database, fleet: Fleet, vault: MessageVault, *, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._vault = vault
        self._clock = clock

    async def step(self) -> int:
        """Ask about up to AT_ONCE messages; how many. Raises Overloaded."""
        now = self._clock()
        if not (await self._database.fetch(ANYTHING, now))[0][0]:
            return 0
        values = {"now": now, "again": now + LEASE, "limit": AT_ONCE}
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            rows = (await tx.execute(DUE, values)).all()
        questions = [Question(**row._mapping) for row in rows]
        await asyncio.gather(*(self._ask(one) for one in questions))
        return len(questions)

    async def ask(self, question: Question) -> StatusAnswer:
        """What the provider says of it now."""
        row = await store.read(self._database, question.provider)
        if row is None:
            row = console_row(self._clock()) if self._fleet.console else None
        if row is None or row.code != question.provider:
            return NotTold("the provider is no longer set up")
        try:
            provider = self._fleet.of(row).provider
            return await provider.fetch_status(self._sent(question))
        except (Unusable, CannotDecrypt) as error:
            return NotTold(str(error))
        except Exception as error:
            log.error("sms_provider_failed", provider=row.code, error=told_of(error))
            return NotTold(f"{type(error).__name__}: {error}"[:200])

    async def _ask(self, question: Question) -> None:
        answer = await self.ask(question)
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            await self._settle(tx, question, answer)

    async def _settle(self, tx: AsyncConnection, question: Question, answer: StatusAnswer) -> None:
        now = self._clock()
        if isinstance(answer, Said):
            moved = await statuses.apply(
                tx,
                provider=question.provider,
                attempt=question.attempt,
                message=question.id,
                said=answer,
                now=now,
                ask_at=now + UNREPORTED[0],
            )
            if moved:
                return
        if isinstance(answer, Missing) and question.status == "unknown":
            missing = await tx.scalar(_MISSING, {"id": question.id})
            if missing is not None and missing >= MISSING_TWICE:
                again = await tx.execute(_REPEAT, {"id": question.id, "now": now})
                if again.rowcount:
                    await tx.execute(_LOST, {"attempt": question.attempt})
                    return
        delays = UNKNOWN if question.status == "unknown" else UNREPORTED
        if question.asked > len(delays):
            await tx.execute(_GIVE_UP, {"id": question.id, "now": now})
        else:
            later = now + delays[question.asked - 1]
            await tx.execute(_AGAIN, {"id": question.id, "ask_at": later})

    def _sent(self, question: Question) -> Sent:
        def opened(part: str, sealed: bytes | None) -> str:
            return "" if sealed is None else self._vault.unseal(question.id, part, sealed)

        return Sent(
            number=question.number,
            provider_message_id=question.provider_message_id,
            phone=opened("phone", question.phone_encrypted),
            text=opened("text", question.text_encrypted),
            at=question.at,
        )
