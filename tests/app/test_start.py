"""Ctrl-C before a command has begun: no traceback, whatever is being imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

_BEGIN = "print(flush=True); import sys; from billing.app.start import main; sys.exit(main())"
COUNT, APART_S = 4, 0.2


@pytest.fixture
def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}


def test_ctrl_c_at_the_very_beginning_is_quiet(environ: dict[str, str]) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _BEGIN, "keys", "list"],
            env=environ | {"BONUS_DATA_DIR": "/nonexistent"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(COUNT)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(APART_S)
        process.send_signal(signal.SIGINT)
    for process in started:
        _, said = process.communicate(timeout=30)
        assert "Traceback" not in said
        # Ended by the signal, by the command that heard it, or done already: no database.
        assert process.returncode in (-signal.SIGINT, 130, 2), said
    assert started[0].returncode == -signal.SIGINT
