"""`GET /v1/ledger/audit`, and the metrics."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from billing.audits.service import Auditor, Sealing
from billing.audits.signing import seal_key_of
from billing.common.db import Database
from billing.common.settings import Settings
from tests.billing.conftest import Caller


async def test_the_last_audit_and_the_seals_are_shown(
    shared_settings: Settings, caller: Caller
) -> None:
    database = Database(shared_settings.database_url, size=1)
    sealing = Sealing(shared_settings.database_url, database, seal_key_of(shared_settings))
    await sealing.run()
    report = await Auditor(shared_settings.database_url, database).run_when_due(datetime.now(UTC))
    await database.close()
    assert report is not None
    finance = await caller("finance")
    told = (await finance.get("/v1/ledger/audit")).json()
    assert told["last"]["clean"] == report.clean
    assert told["last"]["postings"] == report.postings
    assert told["last"]["chains"]["journal"]["block"] == report.chains["journal"].block
    assert set(told["seals"]["chains"]) == {"journal", "answers"}
    assert len(told["seals"]["chains"]["journal"]["hash"]) == 64


async def test_the_metrics_tell_of_them(caller: Caller, admin: httpx.AsyncClient) -> None:
    text = (await admin.get("/metrics")).text
    for name in ("audit_age_seconds", "audit_findings", "seals_unsealed", "seals_lag_seconds"):
        assert f"bonus_{name}" in text


async def test_who_may_read_it(caller: Caller) -> None:
    for role in ("pos", "site", "marketer", "support"):
        client = await caller(role)
        assert (await client.get("/v1/ledger/audit")).status_code == 403
