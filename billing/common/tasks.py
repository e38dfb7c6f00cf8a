"""Ending tasks that would go on for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

AGAIN_S = 0.5


async def end(*tasks: asyncio.Future[Any] | None) -> None:
    """Cancel `tasks` and wait until they have ended, whatever they raise.

    One cancellation may be lost: `asyncio.wait_for` of Python 3.11, on which drivers build, drops
    it when what it waits for ends in the same moment. So whoever goes on is told again.
    """
    going: Collection[asyncio.Future[Any]] = [task for task in tasks if task is not None]
    ended = going
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=AGAIN_S)
    await asyncio.gather(*ended, return_exceptions=True)
