"""Sealing and auditing: postings per second of processor time, ours and the server's together."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from bench.house import Database
from bench.processor import Processor, alone
from billing.audits.checks import Asked, run_checks
from integrations.webhooks.auditing import undelivered
from ledger.audit import audit
from ledger.seals.sealing import seal
from ledger.service import utc_now

Add = Callable[[str, list[float], str, str], object]


async def measure(add: Add, database: Database, count: int) -> None:
    """Seal `count` postings, and audit all of them as `bonus audit` does."""
    async with alone(database) as reader, alone(database) as writer:
        sealed = await Processor(reader, writer).spent(seal(reader, writer, utc_now))
    _tell(add, f"seal {count:,} postings and their answers", count, sealed)
    async with alone(database) as connection:
        audited = await Processor(connection).spent(_clean(connection))
    _tell(add, f"audit {count:,} postings: chains, histories, all", count, audited)


def _tell(add: Add, what: str, count: int, spent: tuple[float, float]) -> None:
    python, server = (seconds / count * 1e6 for seconds in spent)
    compared = f"Python {python:.1f} + PostgreSQL {server:.1f} µs each"
    add(what, [count / sum(spent)], "/s a core", compared)


async def _clean(connection: asyncpg.Connection) -> None:  # type: ignore[type-arg]
    report = await audit(connection)
    wrong, _ = await run_checks(connection, Asked(utc_now(), -1), (undelivered,))
    if not report.clean or wrong:
        raise RuntimeError(f"the audit found {[*report.findings, *wrong][:3]}")
