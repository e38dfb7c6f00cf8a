"""`bonus simulate` says the same as the job."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from billing.common.settings import Settings
from tests.acceptance.serving import environ_of
from tests.billing.simulations.conftest import SINCE, UNTIL, Chain


async def _bonus(settings: Settings, folder: Path, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "billing.app.cli", "simulate", *words),
        env=environ_of(settings, folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def test_the_command_gives_what_the_job_gives(
    chain: Chain, shared_settings: Settings, tmp_path: Path
) -> None:
    await chain.draft("base")
    await chain.publish("base")
    await chain.sell("anna", "123.00")
    await chain.version("base", reward={"kind": "percent", "value": "50"})
    period = (chain.code("base"), "--from", SINCE, "--to", UNTIL, "--channel", chain.code("web"))

    code, out, error = await _bonus(shared_settings, tmp_path, *period, "--json")
    assert code == 0, error
    assert json.loads(out) == await chain.simulate("base")

    code, out, _ = await _bonus(shared_settings, tmp_path, *period)
    assert code == 0
    assert all(words in out for words in ("61.50", "12.30", "49.20", chain.code("north")))

    code, _, error = await _bonus(shared_settings, tmp_path, *period, "--version", "9")
    assert (code, error) == (1, f"bonus simulate: Program {period[0]!r} has no version 9.\n")
    code, _, error = await _bonus(shared_settings, tmp_path, *period, "--to", "tomorrow")
    assert code == 2
    assert "--to must be an RFC 3339 time" in error
