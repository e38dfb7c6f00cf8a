"""The last audit and the seals, for whoever asks and for Prometheus."""

from __future__ import annotations

from billing.audits import store
from billing.audits.model import KeptAudit
from billing.audits.schemas import (
    AuditOut,
    ChainOut,
    CheckpointOut,
    FindingOut,
    LedgerAuditOut,
    SealsOut,
)
from billing.common.db import Database
from ledger.findings import Finding
from ledger.seals.model import CHAINS
from ledger.seals.store import head, newest_checkpoints


class AuditReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> LedgerAuditOut:
        last = await store.last(self._database)
        return LedgerAuditOut(
            last=None if last is None else audit_out(last), seals=await self.seals()
        )

    async def seals(self) -> SealsOut:
        chains: dict[str, ChainOut] = {}
        for chain in CHAINS:
            ends = await head(self._database, chain)
            chains[chain] = ChainOut(ends.number, ends.hash.hex())
        unsealed, oldest = await store.unsealed(self._database)
        newest = await newest_checkpoints(self._database, 1)
        shown = [
            CheckpointOut(one.id, one.at, one.document, one.signature.hex(), one.public_key.hex())
            for one in newest
        ]
        return SealsOut(
            chains=chains,
            unsealed=unsealed,
            oldest_unsealed=oldest,
            checkpoint=shown[0] if shown else None,
        )


def audit_out(kept: KeptAudit) -> AuditOut:
    report = kept.report
    return AuditOut(
        id=kept.id,
        scope=kept.scope,
        started_at=kept.started_at,
        finished_at=kept.finished_at,
        clean=kept.clean,
        customers=report.customers,
        transactions=report.transactions,
        postings=report.postings,
        blocks=report.blocks,
        chains=report.chains,
        finding_count=kept.findings,
        findings=[_finding_out(one) for one in report.findings],
        warnings=[_finding_out(one) for one in report.warnings],
    )


def _finding_out(one: Finding) -> FindingOut:
    return FindingOut(one.what, one.customer_id, one.which, one.detail)
