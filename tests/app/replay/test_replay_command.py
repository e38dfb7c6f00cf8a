"""`bonus replay` as a person sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from billing.demo import RECEIPTS

from .conftest import FarEnd


def _environ(data_dir: Path) -> dict[str, str]:
    return os.environ | {"BONUS_DATA_DIR": str(data_dir), "BONUS_KEY": "key", "COLUMNS": "120"}


async def _start(far_end: FarEnd, data_dir: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "billing.app.cli", "replay", str(RECEIPTS)),
        *("--url", far_end.url, "--tills", "4", "--limit", "100", *options),
        env=_environ(data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _end(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    out, errors = await process.communicate()
    return process.returncode, out.decode() + errors.decode()


async def test_ctrl_c_finishes_what_is_under_way_and_the_same_command_goes_on(
    far_end: FarEnd, tmp_path: Path
) -> None:
    enough = asyncio.Event()
    far_end.answers_after_s = 0.02
    far_end.fault = lambda number, request: enough.set() if len(far_end.kept) >= 20 else None
    process = await _start(far_end, tmp_path)
    await enough.wait()
    process.send_signal(signal.SIGINT)
    code, seen = await _end(process)
    assert code == 130
    assert "Run the same command to go on" in seen
    posted = len(far_end.kept)
    assert 20 <= posted < 100

    far_end.answers_after_s = 0
    code, seen = await _end(await _start(far_end, tmp_path, "--resume"))
    assert code == 0, seen
    assert len(far_end.kept) == 100
    assert set(far_end.posts().values()) == {1}
    assert f"earlier runs, by the journal │ {posted:>8}" in seen
    assert "115.00" in seen  # a hundred receipts, 1.15 points each


async def test_it_says_what_was_accrued_and_how_fast(far_end: FarEnd, tmp_path: Path) -> None:
    code, seen = await _end(await _start(far_end, tmp_path))
    assert code == 0, seen
    assert "sent as quantity 1" in seen
    for word in ("receipts/s", "p50", "p99", "retries", "115.00"):
        assert word in seen


async def test_refused_receipts_make_it_fail_and_are_shown(far_end: FarEnd, tmp_path: Path) -> None:
    far_end.fault = lambda number, request: "409" if request[1] == "/v1/receipts" else None
    code, seen = await _end(await _start(far_end, tmp_path))
    assert code == 1
    assert "100 receipts were refused, such as:" in seen


async def test_what_cannot_start_says_what_to_do(far_end: FarEnd, tmp_path: Path) -> None:
    code, seen = await _end(await _start(far_end, tmp_path, "--resume"))
    assert code == 1
    assert "there is no run to resume" in seen
    far_end.fault = lambda number, request: "401"
    code, seen = await _end(await _start(far_end, tmp_path))
    assert code == 1
    assert "GET /v1/channels" in seen
    assert "401" in seen
