"""Every Python process of a house begins with this: its clock is off by the seconds that the file
BONUS_TEST_CLOCK says, from the moment it says so. Timers and PostgreSQL keep the real time."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

LOOK_EVERY_S = 0.05


def follow(place: Path) -> None:
    """Keep this process's clock as far off as the file says."""
    off = read(place)
    traveller = time_machine.travel(datetime.now(UTC) + timedelta(seconds=off)).start()
    while True:
        time.sleep(LOOK_EVERY_S)
        said = read(place)
        if said != off:
            traveller.shift(timedelta(seconds=said - off))
            off = said


def read(place: Path) -> float:
    return float(place.read_text())


def begin() -> None:
    place = Path(os.environ["BONUS_TEST_CLOCK"])
    threading.Thread(target=follow, args=(place,), name="test clock", daemon=True).start()


if "BONUS_TEST_CLOCK" in os.environ:
    begin()
    os.register_at_fork(after_in_child=begin)
