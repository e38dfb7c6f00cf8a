"""How much of the machine's memory the embedded PostgreSQL takes for its pages."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARE = 8
LEAST_MIB, MOST_MIB = 128, 2048

_LIMIT = Path("/sys/fs/cgroup/memory.max")


def shared_buffers_mib(limit: Path = _LIMIT) -> int:
    """An eighth of the memory there is: the machine's, or the container's when that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # No container, or one without a limit ("max").
        memory = min(memory, int(limit.read_text(encoding="ascii")))
    return max(LEAST_MIB, min(MOST_MIB, memory // SHARE // 2**20))
