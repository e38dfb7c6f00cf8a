"""This process, as it shows itself to operators."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

from msgspec.structs import replace

from billing.work.model import Process, Role
from ledger.ids import uuid7


def this_process(role: Role) -> Process:
    """A process that begins now."""
    now = datetime.now(UTC)
    return Process(uuid7(), role, socket.gethostname(), os.getpid(), now, now, None)


def seen(process: Process, *, leads: bool = False) -> Process:
    """The same process now; one that leads keeps since when."""
    now = datetime.now(UTC)
    since = (process.leads_since or now) if leads else None
    return replace(process, seen_at=now, leads_since=since)
