"""Working on webhooks that were taken in: reports of delivery, and what telephones sent.

What was signed counts. What was not is a hint: the provider is asked, and its answer counts. A
report may come before the answer to the send, so one of an unknown message is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from billing.messages import statuses
from billing.messages.inbound import Conversation, Inbound, Trust
from billing.messages.masking import told_of, without_phones
from billing.messages.model import FINAL
from billing.messages.statuses import Said
from billing.messages.store import prune
from integrations.sms import store
from integrations.sms.fleet import Fleet, Unusable
from integrations.sms.inquiry import Inquirer, Question
from integrations.sms.protocol import (
    CannotAsk,
    Inbox,
    Malformed,
    Missing,
    NotTold,
    Provider,
    RawRequest,
)
from integrations.sms.vault import SmsVault
from integrations.sms.webhooks import Kept
from ledger.group import Clock
from ledger.service import utc_now

AT_ONCE: Final = 20
DELAYS: Final = tuple(timedelta(seconds=s) for s in (2, 10, 60, 300, 1800, 7200))
LEASE: Final = timedelta(minutes=2)
ASK_AFTER: Final = timedelta(minutes=30)
KEPT: Final = timedelta(days=30)
KEPT_DEDUPED: Final = timedelta(days=365)
MOST_DEAD: Final = 1000
"""Of so many dead ones of a provider the content is kept, for a person to look at."""
TIMEOUT_S: Final = 15.0
RESULT_CHARACTERS: Final = 300

ANYTHING: Final = """
SELECT (SELECT next_at FROM billing.sms_webhooks WHERE state = 'pending' AND next_at <= $1
        ORDER BY next_at LIMIT 1) IS NOT NULL
"""
CLAIM: Final = text("""
WITH due AS MATERIALIZED (
    SELECT position FROM billing.sms_webhooks WHERE state = 'pending' AND next_at <= :now
    ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED)
UPDATE billing.sms_webhooks w SET next_at = :again, attempts = w.attempts + 1
FROM due WHERE w.position = due.position
RETURNING w.position, w.provider, w.signed, w.content, w.attempts
""")
_DONE = text("""
UPDATE billing.sms_webhooks w
SET state = :state, result = :result, finished_at = :now,
    content = CASE WHEN :state = 'dead' AND NOT EXISTS (
        SELECT FROM billing.sms_webhooks d WHERE d.provider = w.provider AND d.state = 'dead'
        OFFSET :most) THEN content END
WHERE position = :position AND state = 'pending'
""")
_AGAIN = text("""
UPDATE billing.sms_webhooks SET next_at = :next_at, result = :result WHERE position = :position
""")
_QUESTION = text("""
SELECT m.id, m.status, m.asked, m.purpose, m.phone_encrypted, m.text_encrypted,
       a.id AS attempt, a.provider, a.number, a.provider_message_id, a.at
FROM billing.messages m JOIN billing.message_attempts a ON a.message_id = m.id
WHERE a.id = :attempt
""")
_FORGET = (
    text("""
UPDATE billing.sms_webhooks SET content = NULL, state = 'done'
WHERE position = ANY (ARRAY(
    SELECT position FROM billing.sms_webhooks WHERE state = 'dead' AND received_at < :kept
    ORDER BY position LIMIT :limit))
"""),
    text("""
DELETE FROM billing.sms_webhooks WHERE position = ANY (ARRAY(
    SELECT position FROM billing.sms_webhooks WHERE received_at < :deduped
    ORDER BY received_at LIMIT :limit))
"""),
)

log = structlog.stdlib.get_logger(__name__)


class NotYet(Exception):
    """It is tried again; the message says why."""


class Strange(NotYet):
    """It is of a message that is not ours, or not yet."""


class Taken(msgspec.Struct, frozen=True):
    """A webhook in our hands, while its turn is put off."""

    position: int
    provider: str
    signed: bool
    content: bytes | None
    attempts: int


class Reports:
    """Works on webhooks. Several may run side by side."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        vault: SmsVault,
        inquirer: Inquirer,
        conversation: Conversation,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._vault = vault
        self._inquirer = inquirer
        self._conversation = conversation
        self._clock = clock

    async def step(self) -> int:
        """Work on up to AT_ONCE webhooks; how many. Raises Overloaded."""
        now = self._clock()
        if not (await self._database.fetch(ANYTHING, now))[0][0]:
            return 0
        values = {"now": now, "again": now + LEASE, "limit": AT_ONCE}
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            rows = (await tx.execute(CLAIM, values)).all()
        for taken in sorted((Taken(*row) for row in rows), key=lambda one: one.position):
            await self._work(taken)
        return len(rows)

    async def forget(self, go_on: Callable[[], bool]) -> None:
        """Drop what is long over, all of it, as long as `go_on`."""
        now = self._clock()
        values = {"kept": now - KEPT, "deduped": now - KEPT_DEDUPED}
        await prune(self._database, _FORGET, values, go_on)

    async def _work(self, taken: Taken) -> None:
        try:
            result = await self._deal(taken)
        except (NotYet, CannotAsk, Unusable) as error:
            at_last = "done" if isinstance(error, Strange) else "dead"
            await self._put_off(taken, str(error), at_last)
        except (Malformed, CannotDecrypt) as error:
            await self._finish(taken, "dead", str(error))
        except Exception as error:
            log.error("sms_webhook_failed", provider=taken.provider, error=told_of(error))
            await self._put_off(taken, f"{type(error).__name__}: {error}", "dead")
        else:
            await self._finish(taken, "done", result)

    async def _deal(self, taken: Taken) -> str:
        """What came of it. Raises what `_work` catches."""
        row = await store.read(self._database, taken.provider)
        if row is None or taken.content is None:
            return "the provider was deleted"
        provider = self._fleet.of(row).provider
        sealed = self._vault.unseal(taken.provider, "webhook", taken.content)
        kept = msgspec.json.decode(sealed, type=Kept)
        raw = RawRequest(url=f"?{kept.query}", headers=kept.headers, body=kept.body)
        reports, inbound = provider.parse_reports(raw), provider.parse_inbound(raw)
        outcomes = [await self._hear(taken, provider, one) for one in inbound]
        outcomes += await self._apply_all(taken, reports)
        return ", ".join(outcomes)[:RESULT_CHARACTERS] or "nothing in it for us"

    async def _apply_all(self, taken: Taken, reports: Sequence[Said]) -> list[str]:
        """Those of messages that are ours; then NotYet if one was not found."""
        outcomes, strange = [], 0
        for said in reports:
            outcome = await self._apply(taken, said)
            if outcome is None:
                strange += 1
            else:
                outcomes.append(outcome)
        if strange:
            raise Strange(f"{strange} of {len(reports)} reports are of no message of ours")
        return outcomes

    async def _apply(self, taken: Taken, said: Said) -> str | None:
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            found = await statuses.find(tx, taken.provider, said.provider_message_id)
            if found is None:
                return None
            if taken.signed:
                return await self._move(tx, taken.provider, found, said)
            row = (await tx.execute(_QUESTION, {"attempt": found[0]})).one()
        question = Question(**row._mapping)
        if question.status in FINAL:
            return "over already"
        answer = await self._inquirer.ask(question)
        if isinstance(answer, Missing):
            return "the provider does not confirm it"
        if isinstance(answer, NotTold):
            raise NotYet(answer.detail)
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            return await self._move(tx, taken.provider, found, answer)

    async def _move(
        self, tx: AsyncConnection, provider: str, found: tuple[UUID, UUID], said: Said
    ) -> str:
        now = self._clock()
        moved = await statuses.apply(
            tx,
            provider=provider,
            attempt=found[0],
            message=found[1],
            said=said,
            now=now,
            ask_at=now + ASK_AFTER,
        )
        return said.status if moved else f"{said.status}, late"

    async def _hear(self, taken: Taken, provider: Provider, inbox: Inbox) -> str:
        trust: Trust = "proved" if taken.signed else "claimed"
        if not taken.signed:
            confirmed = await provider.confirm_inbound(inbox)
            if confirmed is not None:
                inbox, trust = confirmed, "proved"
        inbound = Inbound(
            provider=taken.provider,
            provider_message_id=inbox.provider_message_id,
            phone=inbox.phone,
            text=inbox.text,
            trust=trust,
        )
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            return await self._conversation.hear(tx, inbound)

    async def _finish(self, taken: Taken, state: str, result: str) -> None:
        values = {"state": state, "now": self._clock(), "most": MOST_DEAD - 1}
        await self._write(_DONE, taken, result, **values)

    async def _put_off(self, taken: Taken, why: str, at_last: str) -> None:
        """Try again later; `at_last` is what becomes of it after the last time."""
        if taken.attempts <= len(DELAYS):
            next_at = self._clock() + DELAYS[taken.attempts - 1]
            await self._write(_AGAIN, taken, why, next_at=next_at)
        else:
            await self._finish(taken, at_last, why)

    async def _write(self, statement: Any, taken: Taken, result: str, **more: object) -> None:
        result = without_phones(result)[:RESULT_CHARACTERS]
        values = {"position": taken.position, "result": result, **more}
        async with self._database.transaction(timeout_s=TIMEOUT_S) as tx:
            await tx.execute(statement, values)
