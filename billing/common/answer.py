"""An answer as bytes, ready to be sent: what every operation returns."""

from __future__ import annotations

from typing import Self

from litestar.types import Receive, Scope, Send

from billing.common.wire import encode

JSON = b"application/json"
Headers = tuple[tuple[bytes, bytes], ...]


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
