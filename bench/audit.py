"""Sealing and auditing: postings per second by the clock, with what they cost in processor time.

Ours is one process, so it has one core; what the server does for it meanwhile is told beside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from bench.house import Database
from bench.processor import Processor, alone
from billing.audits.checks import Asked, run_checks
from billing.common.collector import spare_the_collector
from integrations.webhooks.auditing import undelivered
from ledger.audit import audit
from ledger.seals.sealing import seal
from ledger.service import utc_now

Add = Callable[[str, list[float], str, str], object]
Spent = tuple[float, float, float]
"""Seconds: by the clock, of our processor time, and of the server's."""


async def measure(add: Add, database: Database, count: int, rounds: int) -> None:
    """Seal `count` postings, and audit all of them as `bonus audit` does."""
    async with alone(database) as reader, alone(database) as writer:
        sealed = await _spent(seal(reader, writer, utc_now), reader, writer)
    _tell(add, f"seal {count:,} postings and their answers", count, [sealed])
    spare_the_collector()
    async with alone(database) as one, alone(database) as two, alone(database) as three:
        used = one, two, three
        audited = [await _spent(_clean(*used), *used) for _ in range(rounds)]
    _tell(add, f"audit {count:,} postings: chains, histories, all", count, audited)


async def _spent(
    work: Awaitable[object],
    *connections: asyncpg.Connection,  # type: ignore[type-arg]
) -> Spent:
    began = time.perf_counter()
    ours, servers = await Processor(*connections).spent(work)
    return time.perf_counter() - began, ours, servers


def _tell(add: Add, what: str, count: int, runs: Sequence[Spent]) -> None:
    clock, ours, servers = (list(seconds) for seconds in zip(*runs, strict=True))
    add(what, [count / seconds for seconds in clock], "/s", "by the clock")
    python, server = (statistics.median(seconds) / count * 1e6 for seconds in (ours, servers))
    compared = f"Python {python:.1f} µs + PostgreSQL {server:.1f} µs"
    add("  processor time for each", [python + server], "µs", compared)


async def _clean(
    connection: asyncpg.Connection,  # type: ignore[type-arg]
    *beside: asyncpg.Connection,  # type: ignore[type-arg]
) -> None:
    report = await audit(connection, beside=beside)
    wrong, _ = await run_checks(connection, Asked(utc_now(), -1), (undelivered,))
    if not report.clean or wrong:
        raise RuntimeError(f"the audit found {[*report.findings, *wrong][:3]}")
