"""Sealing, auditing and verifying in tests; the verifier is the script for outsiders, as it is."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from ledger.audit import WHOLE, Report, Scope, audit
from ledger.seals.exporting import export
from ledger.seals.model import CHAINS, Head
from ledger.seals.sealing import seal
from ledger.seals.store import head
from ledger.seals.verifying import Trusted
from tests.conftest import REPOSITORY, TestDatabase
from tests.ledger.conftest import Clock

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SCRIPT = REPOSITORY / "deploy" / "verify_chain.py"


class Chains:
    """A database's chains. Sealed as the application, audited as the owner."""

    def __init__(self, database: TestDatabase, clock: Clock, folder: Path) -> None:
        self.database = database
        self._clock = clock
        self._folder = folder

    async def connect(self, **settings: str) -> Connection:
        return await asyncpg.connect(self.database.owner_url, server_settings=settings or None)

    async def seal(self, **more: Any) -> int:
        reader, writer = [
            await asyncpg.connect(self.database.url, server_settings={"role": "bonus_app"})
            for _ in range(2)
        ]
        try:
            return await seal(reader, writer, self._clock, **more)
        finally:
            await reader.close()
            await writer.close()

    async def heads(self) -> dict[str, Head]:
        connection = await self.connect()
        found = {str(chain): await head(connection, chain) for chain in CHAINS}
        await connection.close()
        return found

    async def audit(self, scope: Scope = WHOLE, trusted: Trusted | None = None) -> Report:
        connection = await self.connect()
        try:
            return await audit(connection, scope=scope, trusted=trusted)
        finally:
            await connection.close()

    async def export(self) -> Path:
        file = self._folder / "chain.ndjson"
        connection = await self.connect()
        with file.open("wb") as out:
            async for line in export(connection):
                out.write(line)
        await connection.close()
        return file

    async def verify(self, *options: str) -> list[str]:
        """The faults an outsider finds in the exported chain."""
        return verify(await self.export(), *options)


def verify(file: Path, *options: str) -> list[str]:
    """Run in this process, which is quicker; `test_…_as_a_script` starts it."""
    module = runpy.run_path(str(SCRIPT))
    faults: list[str] = []
    arguments, printed = sys.argv, module["main"].__globals__
    printed["print"] = lambda *lines, **_: faults.extend(
        line.removeprefix("WRONG: ") for line in lines if line.startswith("WRONG: ")
    )
    sys.argv = [str(SCRIPT), str(file), *options]
    try:
        code = module["main"]()
    finally:
        sys.argv = arguments
    assert code == bool(faults)
    return faults


def run_script(file: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(file), *options], capture_output=True, text=True
    )
    return done.returncode, done.stdout
