"""What became of attempts, and what follows for messages and providers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.messages import statuses
from billing.messages.masking import without_phones
from integrations.sms import store
from integrations.sms.protocol import Accepted, Outcome, Refused, Rejected, Unknown
from integrations.sms.queue import Job, fail, put_off
from integrations.sms.store import ProviderRow

FIRST_QUESTION: Final = timedelta(seconds=5)
FIRST_LOOK: Final = timedelta(minutes=2)
"""When one that was accepted is asked about, if no report came."""
LONGEST_PAUSE: Final = timedelta(minutes=10)
BUSY: Final = timedelta(seconds=5)
_PAUSES: Final = {"provider": 30.0, "refused": 2.0}

_UNKNOWN = text("""
UPDATE billing.messages
SET status = 'unknown', status_at = :now, error = :error, ask_at = :ask_at, asked = 0, missing = 0,
    provider = :provider, lease = NULL, leased_until = NULL
WHERE id = :id AND status = 'queued'
""")
_HELD = text("""
SELECT lease, tried, rounds FROM billing.messages WHERE id = :id FOR NO KEY UPDATE
""")
_OUTCOME = text("""
UPDATE billing.message_attempts
SET outcome = :outcome, code = :code, detail = :detail, finished_at = :now
WHERE id = :id AND outcome IS NULL
""")


class Result(msgspec.Struct, frozen=True):
    """What became of an attempt."""

    job: Job
    outcome: Outcome


async def settle(tx: AsyncConnection, results: Sequence[Result], now: datetime) -> None:
    """Write down what became of attempts, and what follows for messages and providers.

    Rows are locked in one order, whoever settles: messages, each before its attempt, then
    providers by code.
    """
    ordered = sorted(results, key=lambda one: one.job.id)
    for result in ordered:
        await _settle_message(tx, result.job, result.outcome, now)
    for result in sorted(ordered, key=lambda one: one.job.provider.code):
        await _settle_provider(tx, result.job.provider, result.outcome, now)


async def _settle_message(tx: AsyncConnection, job: Job, outcome: Outcome, now: datetime) -> None:
    held = (await tx.execute(_HELD, {"id": job.id})).one_or_none()
    if isinstance(outcome, Accepted):
        await _accepted(tx, job, outcome, now)
        return
    await _note(tx, job, outcome, now)
    if held is None or held.lease != job.lease:
        return  # Too late: it is unknown since, and being asked about.
    if isinstance(outcome, Unknown):
        values = {"id": job.id, "now": now, "error": _words(outcome)}
        values |= {"ask_at": now + FIRST_QUESTION, "provider": job.provider.code}
        await tx.execute(_UNKNOWN, values)
    elif isinstance(outcome, Rejected) and outcome.scope == "message":
        await fail(tx, job.id, _words(outcome), now)
    else:
        tried = [*held.tried, job.provider.code]
        await put_off(tx, job.id, now, tried, held.rounds, _words(outcome))


async def _settle_provider(
    tx: AsyncConnection, provider: ProviderRow, outcome: Outcome, now: datetime
) -> None:
    if isinstance(outcome, Accepted):
        await store.went_well(tx, provider.code)
        return
    until, weight = _pause(provider, outcome, now)
    await store.went_ill(tx, provider.code, _words(outcome), now, until=until, weight=weight)


async def _accepted(tx: AsyncConnection, job: Job, outcome: Accepted, now: datetime) -> None:
    await statuses.apply(
        tx,
        provider=job.provider.code,
        attempt=job.attempt,
        message=job.id,
        said=outcome.said,
        now=now,
        ask_at=now + FIRST_LOOK,
    )


async def _note(
    tx: AsyncConnection, job: Job, outcome: Rejected | Refused | Unknown, now: datetime
) -> None:
    kinds = {Rejected: "rejected", Refused: "refused", Unknown: "unknown"}
    values = {
        "id": job.attempt,
        "outcome": kinds[type(outcome)],
        "code": without_phones(outcome.code) if isinstance(outcome, Rejected) else None,
        "detail": without_phones(outcome.detail)[:300],
        "now": now,
    }
    await tx.execute(_OUTCOME, values)


def _pause(
    provider: ProviderRow, outcome: Rejected | Refused | Unknown, now: datetime
) -> tuple[datetime | None, int]:
    """Until when the provider is left alone, and whether that counts as a failure of its own."""
    scope = outcome.scope if isinstance(outcome, Rejected) else "refused"
    if isinstance(outcome, Unknown) or scope in ("message", "route"):
        return None, 0
    if scope == "busy":
        return now + BUSY, 0
    length = timedelta(seconds=_PAUSES[scope] * 2 ** min(provider.failures, 10))
    return now + min(length, LONGEST_PAUSE), 1


def _words(outcome: Rejected | Refused | Unknown) -> str:
    code = f"{outcome.code} " if isinstance(outcome, Rejected) else ""
    return without_phones(f"{code}{outcome.detail}")[:200]
