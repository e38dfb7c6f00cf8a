"""An answer as bytes, ready to be sent: what every operation returns."""

from __future__ import annotations

import asyncio
import os
from typing import IO, TYPE_CHECKING, Self

from billing.common.wire import encode

if TYPE_CHECKING:  # Workers and commands, which answer nobody, do without the framework.
    from litestar.types import Receive, Scope, Send

JSON = b"application/json"
Headers = tuple[tuple[bytes, bytes], ...]
PIECE = 1 << 18
"""Bytes of a file sent at a time."""


class Answer:
    """Status, headers and body. `headers` are lower-case pairs beside those every answer has."""

    __slots__ = ("content", "headers", "media_type", "request_id", "status")

    def __init__(
        self, content: bytes, status: int = 200, headers: Headers = (), media_type: bytes = JSON
    ) -> None:
        self.content = content
        self.status = status
        self.headers = headers
        self.media_type = media_type
        self.request_id = ""

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Headers = ()) -> Self:
        """`value` (a struct, a dict, a list) as JSON."""
        return cls(encode(value), status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        headers = [
            (b"content-type", self.media_type),
            (b"content-length", b"%d" % len(self.content)),
            (b"x-request-id", self.request_id.encode()),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


class FileAnswer(Answer):
    """A file from disk, sent piece by piece. It is closed when it is sent, or the caller is gone.

    `file` stands at its end; a temporary one is then forgotten.
    """

    __slots__ = ("_file",)

    def __init__(self, file: IO[bytes], media_type: bytes, name: str) -> None:
        disposition = (b"content-disposition", f'attachment; filename="{name}"'.encode("ascii"))
        super().__init__(b"", 200, (disposition,), media_type)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        with self._file as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            headers = [
                (b"content-type", self.media_type),
                (b"content-length", b"%d" % size),
                (b"x-request-id", self.request_id.encode()),
                *self.headers,
            ]
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            while piece := await asyncio.to_thread(file.read, PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
