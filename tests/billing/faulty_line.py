"""A wire to PostgreSQL that a test can cut or freeze."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit


class FaultyLine:
    """Forwards a Unix socket of its own to the server of `url`; `self.url` leads through it."""

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        self._host = query.get("host") or parts.hostname or "localhost"
        self._port = int(query.get("port") or parts.port or 5432)
        self._path = folder / ".s.PGSQL.5432"
        query |= {"host": str(folder), "port": "5432"}
        user, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=user + at, query=urlencode(query)).geturl()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Take connections and let everything through."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._connect, self._path)

    async def cut(self) -> None:
        """Break all connections and refuse new ones, as a server that was killed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def freeze(self) -> None:
        """Let nothing through, as a network that swallows packets."""
        self._flowing.clear()

    async def _connect(self, near: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._port}"
            far, far_writer = await asyncio.open_unix_connection(path)
        else:
            far, far_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, far_writer}
        for source, target in ((near, far_writer), (far, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass  # Cut at one end: the other is closed below.
        finally:
            target.transport.abort()
            self._writers.discard(target)


@asynccontextmanager
async def faulty_line(url: str, folder: Path) -> AsyncIterator[FaultyLine]:
    line = FaultyLine(url, folder)
    await line.mend()
    yield line
    line._flowing.set()
    await line.cut()
