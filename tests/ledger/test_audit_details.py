"""Tampering that leaves every sum as it was: the audit names it all the same."""

from __future__ import annotations

import asyncpg
import pytest

from ledger.commands import Adjust
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, audited

CHANGES = {
    "bucket of a later posting": "UPDATE ledger.postings SET bucket = 'promo' WHERE version = 2",
    "expiry of a later posting": "UPDATE ledger.postings SET expires_at = now() WHERE version = 2",
    "program of a later posting": "UPDATE ledger.postings SET program = 'x' WHERE version = 2",
    "store of a posting": "UPDATE ledger.postings SET store = 'x' WHERE version = 2",
    "issued becomes adjustment": (
        "UPDATE ledger.postings SET kind = 'adjust', debit = 'adjustment' WHERE version = 1"
    ),
    "kind of a transaction": "UPDATE ledger.transactions SET kind = 'expiry' WHERE version = 2",
    "a hold of nobody": (
        "INSERT INTO ledger.holds"
        " SELECT gen_random_uuid(), gen_random_uuid(), 'open', now(), '{}', '{}', 0"
    ),
    "a source of another": "UPDATE ledger.sources SET transaction_id = gen_random_uuid()",
    "a correction of nothing": (
        "UPDATE ledger.transactions SET corrects = gen_random_uuid() WHERE version = 2"
    ),
    "a gap between postings": "UPDATE ledger.postings SET seq = 7 WHERE version = 2",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_the_audit_names_what_moves_no_sum(
    ledger: Ledger, clock: Clock, database: TestDatabase, change: str
) -> None:
    one = Customer(ledger, clock)
    await one.give(100)
    await one.redeem(30)
    await one.do("adjustment", Adjust(-5, "base"), source="document")
    await assert_clean(database)
    tamperer = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    assert (await tamperer.execute(change)).endswith(" 1")
    await tamperer.close()
    assert (await audited(database)).findings
