"""`bonus audit` of the command line: what its exit code says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from billing.app import cli
from billing.common.settings import Settings
from ledger import audit
from ledger.load import Connection
from ledger.sharing import Job, share
from tests.conftest import TestDatabase

TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'bonus-audit'
"""


def test_a_database_that_goes_away_in_the_midst_proves_nothing_and_accuses_nobody(
    settings: Settings, database: TestDatabase, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Exit code 2, not the 1 of findings, for which somebody is called at night."""
    for name, value in (
        ("DATABASE_URL", settings.database_url),
        ("BONUS_OWNER_DATABASE_URL", settings.owner_database_url),
        ("BONUS_DATA_DIR", str(settings.data_dir)),
    ):
        monkeypatch.setenv(name, value)

    async def restarting(
        connection: Connection, beside: Sequence[Connection], jobs: Sequence[Job]
    ) -> None:
        superuser = await asyncpg.connect(database.superuser_url)
        await superuser.execute(TERMINATE)
        await superuser.close()
        await share(connection, beside, jobs)

    with monkeypatch.context() as patch:
        patch.setattr(audit, "share", restarting)
        assert cli.main(["audit"]) == 2
    told = capsys.readouterr()
    assert "the database did not let us read: the connection was lost" in told.err
    assert "sound" not in told.out
    assert cli.main(["audit"]) == 0
