"""Time for tests that say how long another process may take to answer.

They start servers and break them meanwhile: while one is forked the test itself stands still, for
half a second on a busy machine, and what was answered is read late.
"""

from __future__ import annotations

import threading
import time

_TICK_S = 0.02
_LATE_S = 0.02
"""By less a thread is late in a process that is only busy."""


class _FairClock:
    """Stands still while this process does: a thread that only sleeps is woken late then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._lost_s = 0.0
        threading.Thread(target=self._tick, name="fair time", daemon=True).start()

    def now(self) -> float:
        with self._lock:
            at = time.monotonic()
            return at - self._lost_s - self._late(at)

    def _tick(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                at = time.monotonic()
                self._lost_s += self._late(at)
                self._last = at

    def _late(self, at: float) -> float:
        late = at - self._last - _TICK_S
        return late if late > _LATE_S else 0.0


_clocks: list[_FairClock] = []


def fair_time() -> float:
    """Seconds as of `time.monotonic()`, without those in which this process stood still."""
    if not _clocks:
        _clocks.append(_FairClock())
    return _clocks[0].now()
