"""Sealing, and audits that are run and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from billing.audits import checkpoints, store
from billing.audits.checkpoints import Line
from billing.audits.checks import Asked, ByHand, run_checks
from billing.audits.model import AuditReport, ChainSeen, KeptAudit, ScopeName
from billing.audits.signing import SealKey
from billing.common.db import APPLICATION_ROLE, Database, connect
from ledger import audit as ledger_audit
from ledger.audit import Scope, Told
from ledger.findings import Finding
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.load import Connection
from ledger.seals import store as seals
from ledger.seals.model import (
    BEGINNING,
    CHAINS,
    Chain,
    Head,
    commit_of,
    key_named,
    name_of,
    place,
)
from ledger.seals.sealing import seal
from ledger.service import utc_now

PATIENCE_S: Final = 30.0
_CONNECTIONS: Final = 3
"""Of an audit: the server reads for some of them while rows of another are looked at."""
ADVISORY_LOCK: Final = 0x626F6E7573_07
"""One nightly audit at a time ("bonus", 7)."""

log = structlog.stdlib.get_logger(__name__)


class Sealing:
    """Seals what is committed, signs checkpoints and puts them where they are to be kept."""

    def __init__(
        self,
        url: str,
        database: Database,
        key: SealKey | None,
        file: Path | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._url = url
        self._database = database
        self._key = key
        self._file = file
        self._clock = clock

    async def run(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Seal, and sign when it is time; how many rows were sealed."""
        reader = await connect(self._url, application="bonus-seals")
        writer = await connect(self._url, application="bonus-seals")
        try:
            sealed = await seal(reader, writer, self._clock, stopping=stopping)
            await self._sign(writer)
        finally:
            await reader.close()
            await writer.close()
        return sealed

    async def _sign(self, connection: Connection) -> None:
        if self._key is None:
            return
        heads = [await seals.head(connection, chain) for chain in CHAINS]
        newest = await seals.newest_checkpoints(connection, checkpoints.LOOK_BACK)
        now = self._clock()
        if checkpoints.is_due(newest, self._key.public, heads, now):
            async with self._database.transaction(timeout_s=PATIENCE_S) as tx:
                await checkpoints.write(tx, self._key, heads, now)
        if self._file is not None:
            await self._put_away(connection, self._file)

    async def _put_away(self, connection: Connection, file: Path) -> None:
        """A file that cannot be written holds nothing up: it is tried again the next time."""
        try:
            checkpoints.append(file, await seals.checkpoints(connection))
        except (OSError, ValueError) as error:
            log.error("checkpoints_not_put_away", file=str(file), error=str(error))


class Auditor:
    """Audits the ledger and what billing keeps beside it."""

    def __init__(
        self,
        url: str,
        database: Database,
        *,
        role: str | None = APPLICATION_ROLE,
        by_hand: Sequence[ByHand] = (),
        public_key: bytes | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._url = url
        self._database = database
        self._role = role
        self._by_hand = by_hand
        self._public_key = public_key
        self._clock = clock

    async def run(
        self,
        scope: ScopeName = "whole",
        *,
        customer_id: UUID | None = None,
        outside: Sequence[Line] = (),
        tell: Told = lambda stage, done: None,
    ) -> AuditReport:
        """Audit. `since_last` goes on from the last clean audit that was kept, and is `whole`
        when there is none. `outside` are checkpoints that were kept elsewhere."""
        started_at = self._clock()
        since = None
        if scope == "since_last":
            since = await self._since()
            scope = "whole" if since is None else scope
        async with AsyncExitStack() as stack:
            connection, *beside = [await self._connect(stack) for _ in range(_CONNECTIONS)]
            trusted, findings = checkpoints.trusted(
                await seals.checkpoints(connection), outside, self._public_key
            )
            seen = await ledger_audit.audit(
                connection,
                tell,
                scope=Scope(since, customer_id),
                trusted=trusted,
                beside=beside,
            )
            findings = [*seen.findings, *findings]
            warnings: list[Finding] = []
            if customer_id is None:
                after = commit_of(since["journal"].until) if since is not None else -1
                wrong, warnings = await run_checks(
                    connection, Asked(started_at, after), self._by_hand
                )
                findings += wrong
        return AuditReport(
            scope=scope if customer_id is None else "customer",
            customer_id=customer_id,
            started_at=started_at,
            finished_at=self._clock(),
            clean=not findings,
            customers=seen.customers,
            transactions=seen.transactions,
            postings=seen.postings,
            blocks=seen.blocks,
            chains={
                chain: _chain_seen(head, seen.unsealed[chain]) for chain, head in seen.heads.items()
            },
            findings=findings,
            warnings=warnings,
        )

    async def _connect(self, stack: AsyncExitStack) -> Connection:
        connection = await connect(self._url, role=self._role, application="bonus-audit")
        stack.push_async_callback(connection.close)
        return connection

    async def run_when_due(self, at: datetime) -> AuditReport | None:
        """Audit all there is and keep the report, unless that was begun since `at` or another
        process is at it."""
        turn = await connect(self._url, application="bonus-audit-turn")
        try:
            if not await turn.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK):
                return None
            if not await self._is_due(at):
                return None
            report = await self.run()
            await self.keep(report)
        finally:
            await turn.close()
        return report

    async def keep(self, report: AuditReport) -> None:
        async with self._database.transaction(timeout_s=PATIENCE_S) as tx:
            await store.put(tx, uuid7(), report)
        for finding in report.findings[:20]:
            log.error("audit_finding", finding=str(finding))
        log.info("audit_done", scope=report.scope, clean=report.clean, found=len(report.findings))

    async def _is_due(self, at: datetime) -> bool:
        """Whether no audit of all there is has begun since `at`."""
        last = await store.last_whole(self._database)
        return last is None or last.started_at < at

    async def _since(self) -> dict[Chain, Head] | None:
        last = await store.last_clean(self._database)
        return None if last is None else heads_of(last)


def heads_of(kept: KeptAudit) -> dict[Chain, Head] | None:
    """The ends of the chains as an audit saw them; None when those were chains of another form."""
    try:
        return {chain: _head(chain, kept.report.chains[chain]) for chain in CHAINS}
    except ValueError:
        return None


def newest_night(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The last moment before `now` at which the clock of `zone` showed the time of `at`."""
    local = now.astimezone(zone)
    night = local.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return night if night <= local else night - timedelta(days=1)


def _head(chain: Chain, seen: ChainSeen) -> Head:
    until = place(seen.commit, key_named(chain, seen.key)) if seen.block else BEGINNING
    return Head(chain, seen.block, bytes.fromhex(seen.hash), until)


def _chain_seen(head: Head, unsealed: int) -> ChainSeen:
    commit, key = commit_of(head.until), name_of(head.chain, head.until)
    return ChainSeen(head.number, head.hash.hex(), commit, key, unsealed)
