"""`bonus import balances`, killed and started again, and twice at once: each lot is posted once."""

from __future__ import annotations

import base64
import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing.common.settings import Settings
from tests.conftest import TestDatabase

LOTS, CUSTOMERS = 4000, 2000
POINTS = "5000.00"
_FOUND = """
SELECT (SELECT count(*) FROM ledger.postings), (SELECT sum(amount) FROM ledger.postings),
       (SELECT count(*) FROM billing.customers), (SELECT count(*) FROM ledger.balances),
       (SELECT count(DISTINCT (customer_id, type)) FROM billing.events),
       (SELECT count(*) FROM billing.events), (SELECT count(*) FROM billing.scenario_queue)
"""
WHOLE = (LOTS, LOTS * 125, CUSTOMERS, CUSTOMERS, 2 * CUSTOMERS, 2 * CUSTOMERS, 2 * CUSTOMERS)


class Command:
    """The command as a process of its own, on one file."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.file = folder / "lots.csv"
        self._environ = os.environ | {
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "BONUS_DATA_DIR": str(settings.data_dir),
            "BONUS_SECRET_KEY": base64.b64encode(settings.secret_key).decode(),
        }
        with self.file.open("w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(["phone", "points", "expires_at"])
            for number in range(LOTS):
                rows.writerow([f"+7916{number % CUSTOMERS:07d}", "1.25", "2049-12-31"])

    def start(self, rejects: str = "rejects.csv") -> subprocess.Popen[str]:
        words = ["import", "balances", str(self.file), "--name", "old", "--create-customers"]
        words += ["--points", POINTS, "--rejects", str(self.file.with_name(rejects))]
        return subprocess.Popen(
            [sys.executable, "-m", "billing.app.cli", *words],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


@pytest.fixture
def command(settings: Settings, tmp_path: Path) -> Command:
    return Command(settings, tmp_path)


async def found(database: TestDatabase) -> tuple[Any, ...]:
    connection = await asyncpg.connect(database.superuser_url)
    row = await connection.fetchrow(_FOUND)
    await connection.close()
    assert row is not None
    return tuple(row)


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


async def test_killed_in_the_middle_and_started_again_it_goes_on(
    command: Command, database: TestDatabase
) -> None:
    process = command.start()
    begun = time.monotonic()
    customers = 0
    while not customers and time.monotonic() < begun + 60 and process.poll() is None:
        customers = (await found(database))[2]
    process.kill()
    process.communicate()
    posted, *_ = await found(database)
    assert posted < LOTS
    said = finished(command.start())
    assert await found(database) == WHOLE
    assert f"posted {LOTS - posted:,} lots" in said
    assert f"{posted:,} were posted before" in said


async def test_two_at_once_post_each_lot_once(command: Command, database: TestDatabase) -> None:
    both = [command.start(), command.start("others.csv")]
    told = [finished(one) for one in both]
    assert await found(database) == WHOLE
    posted = [int(one.split("posted ")[1].split(" lots")[0].replace(",", "")) for one in told]
    assert sum(posted) == LOTS
