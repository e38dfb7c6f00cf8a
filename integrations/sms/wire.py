"""HTTP to providers: to addresses that were checked, in bounded time, and with one question
answered for every failure: may the request have arrived?

No redirects, no proxies, no cookies; of an answer no more is read than an answer can be.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpcore
import httpx
import msgspec

from integrations.webhooks.guard import ForbiddenTarget, Guard
from integrations.webhooks.sender import CheckedNetwork

CONNECT_TIMEOUT_S: Final = 5.0
TIMEOUT_S: Final = 15.0
READ_BYTES: Final = 256 << 10
CONNECTIONS: Final = 32
IDLE_S: Final = 3.0
"""A connection that the other side closed meanwhile looks like an unknown outcome."""
KEPT_CHARACTERS: Final = 300


class NotSent(Exception):
    """The request did not leave: nothing can have happened."""


class Doubtful(Exception):
    """The request left, and no answer came that could be read: it may have happened."""


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises Doubtful."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Doubtful(f"HTTP {self.status}, not JSON: {self.beginning()}") from None

    def beginning(self) -> str:
        text = self.body[: 4 * KEPT_CHARACTERS].decode(errors="replace").replace("\0", "\ufffd")
        return text[:KEPT_CHARACTERS]


class Wire:
    """Requests to one provider."""

    def __init__(
        self,
        guard: Guard,
        *,
        timeout_s: float = TIMEOUT_S,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            transport=_CheckedTransport(guard, trust),
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "bonus-ledger-sms/1", "Accept-Encoding": "identity"},
        )

    async def call(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        json: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
    ) -> Answer:
        """Raises NotSent, Doubtful."""
        try:
            self._guard.url(url)
            async with asyncio.timeout(self._timeout_s + CONNECT_TIMEOUT_S):
                request = self._client.build_request(
                    method, url, data=form, json=json, params=query or None, headers=headers
                )
                auth = None if basic is None else httpx.BasicAuth(*basic)
                response = await self._client.send(request, auth=auth, stream=True)
                try:
                    return Answer(response.status_code, await _read(response))
                finally:
                    await response.aclose()
        except ForbiddenTarget as error:
            raise NotSent(f"forbidden address: {error}") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(_words(error)) from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
            raise NotSent(_words(error)) from None
        except TimeoutError:
            raise Doubtful("no answer in time") from None
        except httpx.HTTPError as error:
            raise Doubtful(_words(error)) from None
        except OSError as error:
            # Of the name server: what comes later has a name of httpx.
            raise NotSent(_words(error)) from None

    async def close(self) -> None:
        await self._client.aclose()


class _CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx over a pool that connects to the very addresses the guard has seen."""

    def __init__(self, guard: Guard, trust: ssl.SSLContext | None) -> None:
        context = trust or httpx.create_ssl_context()
        super().__init__(verify=context)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=CONNECTIONS,
            keepalive_expiry=IDLE_S,
            network_backend=CheckedNetwork(guard, httpcore.AnyIOBackend()),
        )


async def _read(response: httpx.Response) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) > READ_BYTES:
            raise Doubtful(f"HTTP {response.status_code}, more than an answer can be")
    return bytes(read)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:KEPT_CHARACTERS]
