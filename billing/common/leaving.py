"""Work that ends when whoever asked for it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from billing.common.answer import Answer
from billing.common.tasks import end

if TYPE_CHECKING:
    from litestar.types import Receive

GONE: Final = 499
"""The status of an answer nobody hears: no standard has one, proxies log this."""


async def while_waited_for(receive: Receive, work: Awaitable[Answer]) -> Answer:
    """What `work` answers. It is cancelled when the caller's connection ends: for what only reads,
    once the request's body is in."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else Answer(b"", GONE)
    finally:
        await end(working, leaving)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
