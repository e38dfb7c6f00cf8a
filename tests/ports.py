"""Ports for servers that tests start, and start again on the same port."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 20_000, 32_000
"""Below the ports systems give to outgoing connections (Linux: from 32,768): none of those takes
a server's port while it is down."""


def free_port() -> int:
    """A port nobody listens on."""
    while True:
        port = random.randint(FIRST, LAST)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
