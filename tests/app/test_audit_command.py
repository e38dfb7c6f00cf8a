"""`bonus audit` of the command line: what its exit code says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from billing.app import cli
from billing.common.settings import Settings
from ledger import audit
from ledger.load import Connection
from ledger.sharing import Job, share
from tests.conftest import TestDatabase

KEYS = ("ab", "zz" * 32, "00" * 33, "")
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'bonus-audit'
"""


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("DATABASE_URL", settings.database_url),
        ("BONUS_OWNER_DATABASE_URL", settings.owner_database_url),
        ("BONUS_DATA_DIR", str(settings.data_dir)),
    ):
        monkeypatch.setenv(name, value)


def test_a_database_that_goes_away_in_the_midst_proves_nothing_and_accuses_nobody(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Exit code 2, not the 1 of findings, for which somebody is called at night."""

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


@pytest.mark.parametrize("words", [["audit"], ["audit", "--json"], ["seals", "show"]])
def test_who_does_not_listen_hears_of_no_finding(words: list[str]) -> None:
    """`bonus audit | head`, and a disk that is full: neither is the 1 of findings, or a trace."""
    command = [sys.executable, "-m", "billing.app.cli", *words]
    reading, writing = os.pipe()
    os.close(reading)
    gone = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (gone.returncode, "Traceback" in gone.stderr) == (141, False), gone.stderr
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == (2 if words[0] == "audit" else 1), done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_a_public_key_accuses_no_checkpoint(capsys: Any) -> None:
    """It is a wrong argument (2): compared with the checkpoints it would make a finding of each."""
    for text in KEYS:
        assert cli.main(["audit", "--public-key", text]) == 2, text
        assert "--public-key must be 64 hexadecimal digits" in capsys.readouterr().err


def test_a_customer_whom_the_ledger_does_not_know_is_not_sound(capsys: Any) -> None:
    """A slip in the id would otherwise prove nobody's ledger."""
    assert cli.main(["audit", "--customer", "0198c0de-0000-7000-8000-000000000000"]) == 2
    told = capsys.readouterr()
    assert "nothing was ever posted" in told.err
    assert "sound" not in told.out


def test_a_chain_replaces_no_folder_and_no_device(tmp_path: Path, capsys: Any) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (tmp_path, pipe):
        assert cli.main(["seals", "export", str(place)]) == 2
        assert f"{place} is no file to write to" in capsys.readouterr().err
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
