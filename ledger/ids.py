"""Time-ordered identifiers: UUIDv7 of RFC 9562, monotone within a process."""

from __future__ import annotations

import os
import time
from uuid import UUID

_COUNTER_BITS = 12 + 6
_last_ms = 0
_counter = 0
_random = b""
_at = 0
_POOL_BYTES = 7 * 512


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, an 18-bit counter, 56 random bits.

    Ids of one process sort in the order they were made (RFC 9562 §6.2, method 1), so that
    indexes on them grow at their end.
    """
    global _last_ms, _counter, _random, _at
    now_ms = time.time_ns() // 1_000_000
    if now_ms > _last_ms:
        _last_ms = now_ms
        _counter = int.from_bytes(os.urandom(2), "big")
    else:
        _counter += 1
        if _counter >> _COUNTER_BITS:
            _last_ms += 1
            _counter = 0
    value = _last_ms << 80 | 0x7 << 76 | (_counter >> 6) << 64 | 0b10 << 62
    if _at >= len(_random):
        _random, _at = os.urandom(_POOL_BYTES), 0
    value |= (_counter & 0x3F) << 56 | int.from_bytes(_random[_at : _at + 7], "big")
    _at += 7
    return UUID(int=value)


def _forget_random() -> None:
    """A forked process must not hand out its parent's random bits."""
    global _random, _at
    _random, _at = b"", 0


os.register_at_fork(after_in_child=_forget_random)
