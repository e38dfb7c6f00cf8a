"""Taking in the body of a request, within its limit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from litestar.types import Receive

from billing.common.errors import ValidationFailed
from billing.common.problems import BodyTooLarge, UnsupportedMediaType

DRAINED = 64 << 20
"""How much of a body that is too large is taken in all the same, and thrown away: a caller that
is still sending when the connection is closed sees a broken connection, not the answer."""

_JSON = re.compile(rb"\s*application/(json|[\w.+-]+\+json)\s*(;\s*charset=\"?utf-8\"?\s*)?", re.I)
_NDJSON = re.compile(rb"\s*application/(x-)?ndjson\s*(;\s*charset=\"?utf-8\"?\s*)?", re.I)


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limit: int, ndjson: bool = False
) -> bytes:
    """A JSON body; with `ndjson` also a list whose items came a line each, made an array.

    Without a Content-Type it is taken as JSON. Raises BodyTooLarge, UnsupportedMediaType.
    """
    kind = headers.get(b"content-type")
    lines = ndjson and kind is not None and _NDJSON.fullmatch(kind) is not None
    if kind is not None and not lines and not _JSON.fullmatch(kind):
        raise UnsupportedMediaType("Send the body as Content-Type: application/json, in UTF-8.")
    raw = await read_raw(receive, headers, limit)
    return (
        b"[" + b",".join(filter(None, map(bytes.strip, raw.splitlines()))) + b"]" if lines else raw
    )


async def read_raw(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """A body of any type, as it came. Raises BodyTooLarge."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and (len(announced) > 18 or int(announced) > limit):
        await _drain(receive)
        raise _too_large(limit)
    return await _receive(receive, limit)


async def _receive(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ValidationFailed.at("", "the connection was closed before the body was whole")
        chunk = message["body"]
        size += len(chunk)
        if size > limit:
            await _drain(receive, message.get("more_body", False))
            raise _too_large(limit)
        if not message.get("more_body", False):
            return chunk if not chunks else b"".join([*chunks, chunk])
        chunks.append(chunk)


async def pass_over(receive: Receive, headers: Mapping[bytes, bytes]) -> None:
    """Take in a body that nobody asked for, and throw it away."""
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        await _drain(receive)


async def _drain(receive: Receive, more: bool = True) -> None:
    size = 0
    while more and size < DRAINED:
        message = await receive()
        if message["type"] != "http.request":
            return
        size += len(message["body"])
        more = message.get("more_body", False)


def _too_large(limit: int) -> ValidationFailed:
    return BodyTooLarge.at(
        "",
        f"must not be larger than {limit} bytes; send less at a time, or raise "
        "BONUS_MAX_BODY_BYTES",
    )
