"""A bad network before a real service: connections break before a request arrives, or before its
answer comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import urlsplit

_CHUNK = 1 << 20


@asynccontextmanager
async def bad_network(url: str, *, lost_percent: int, seed: int) -> AsyncIterator[str]:
    """The address of `url` seen through it. `lost_percent` of the requests are cut off, half of
    them after the service has got them."""
    to, chance = urlsplit(url), Random(seed)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(to.hostname, to.port)
        back = asyncio.create_task(_pump(far_reader, writer))
        try:
            while request := await reader.read(_CHUNK):
                fate = chance.random() * 200
                if fate < lost_percent:
                    break
                if fate < 2 * lost_percent:
                    back.cancel()
                far_writer.write(request)
                await far_writer.drain()
                if back.cancelled() or back.cancelling():
                    await far_reader.read(1)  # the service has answered, to nobody
                    break
        except ConnectionError:
            pass  # the till hung up
        finally:
            back.cancel()
            far_writer.close()
            writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the till hung up
    finally:
        writer.close()
