"""Every Python process of a house begins with this: its clock is off by the seconds that the file
BONUS_TEST_CLOCK says, from the moment it says so. Timers and PostgreSQL keep the real time."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

LOOK_EVERY_S = 0.05


def begin(place: Path) -> None:
    # Here, so that processes without a clock of their own need not have it.
    import time_machine

    off = _read(place)
    traveller = time_machine.travel(datetime.now(UTC) + timedelta(seconds=off)).start()

    def follow() -> None:
        nonlocal off
        while True:
            time.sleep(LOOK_EVERY_S)
            said = _read(place)
            if said != off:
                traveller.shift(timedelta(seconds=said - off))
                off = said

    def watch() -> None:
        threading.Thread(target=follow, name="test clock", daemon=True).start()

    watch()
    os.register_at_fork(after_in_child=watch)


def _read(place: Path) -> float:
    return float(place.read_text())


if "BONUS_TEST_CLOCK" in os.environ:
    begin(Path(os.environ["BONUS_TEST_CLOCK"]))
