"""One attempt: a POST to an address that was checked, bounded in time and in what is read.

No redirects, no proxies, no cookies, nothing unpacked.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import httpcore
import httpx
import structlog

from billing.common.tasks import end
from integrations.webhooks.guard import ForbiddenTarget, Guard
from integrations.webhooks.model import Reply

TIMEOUT_S: Final = 15.0
READ_BYTES: Final = 64 << 10
KEPT_CHARACTERS: Final = 500
CONNECTIONS: Final = 512
IDLE_S: Final = 10.0

log = structlog.stdlib.get_logger(__name__)


class Sender:
    """Sends, over connections that stay open for the next event of the same subscriber."""

    def __init__(
        self,
        guard: Guard,
        *,
        timeout_s: float = TIMEOUT_S,
        trust: ssl.SSLContext | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._guard = guard
        self._timeout_s = timeout_s
        self._network = CheckedNetwork(guard, network or httpcore.AnyIOBackend())
        self._pool = httpcore.AsyncConnectionPool(
            # Its own authorities, or those that SSL_CERT_FILE names.
            ssl_context=trust or httpx.create_ssl_context(),
            max_connections=CONNECTIONS,
            keepalive_expiry=IDLE_S,
            network_backend=self._network,
        )

    async def send(self, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What the subscriber said, or why nothing was heard. Never raises."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._send(target, headers, body)
        except ForbiddenTarget as error:
            reply = Reply(error="forbidden_target", answer=str(error))
        except TimeoutError:
            reply = Reply(error="timeout")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            reply = Reply(error=_class_of(error), answer=str(error)[:KEPT_CHARACTERS] or None)
        except OSError as error:
            reply = Reply(error="no_address", answer=str(error)[:KEPT_CHARACTERS])
        except Exception as error:
            # Nobody foresaw it: one attempt failed like others, and the next event has its turn.
            log.exception("webhook_attempt_broke", target=target)
            reply = Reply(error=_class_of(error), answer=str(error)[:KEPT_CHARACTERS] or None)
        took_ms = round((time.monotonic() - began) * 1000)
        return Reply(
            status=reply.status,
            error=reply.error,
            retry_after=reply.retry_after,
            answer=reply.answer,
            duration_ms=took_ms,
        )

    async def close(self) -> None:
        await self._pool.aclose()
        await self._network.close()

    async def _send(self, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        url = self._guard.url(target)
        sent = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "bonus-ledger-webhooks/1",
            **headers,
        }
        place = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        pairs = list(sent.items())
        async with self._pool.stream("POST", place, headers=pairs, content=body) as response:
            retry_after = dict(response.headers).get(b"retry-after")
            return Reply(
                status=response.status,
                retry_after=None if retry_after is None else retry_after.decode("latin-1"),
                answer=await _beginning(response),
            )


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the very addresses the guard has seen; TLS still asks for the URL's name."""

    def __init__(self, guard: Guard, network: httpcore.AsyncNetworkBackend) -> None:
        self._guard = guard
        self._network = network
        self._asked: dict[tuple[str, int], asyncio.Task[Sequence[str]]] = {}

    async def close(self) -> None:
        """Wait for no name server any more."""
        for task in list(self._asked.values()):
            await end(task)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's own
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """A name is asked for once at a time: a name server that is silent holds up one of the few
        threads that ask, not all of them, nor other subscribers."""
        task = self._asked.get((host, port))
        if task is None:
            task = asyncio.create_task(self._guard.addresses(host, port), name="name of a webhook")
            self._asked[host, port] = task
            task.add_done_callback(lambda done: self._forget(host, port, done))
        return await asyncio.shield(task)

    def _forget(self, host: str, port: int, done: asyncio.Task[Sequence[str]]) -> None:
        del self._asked[host, port]
        if not done.cancelled():
            done.exception()  # Whoever asked may have gone.

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


async def _beginning(response: httpcore.Response) -> str | None:
    """The first characters of an answer. What is longer than READ_BYTES is not read: leaving the
    response unread closes its connection."""
    read = bytearray()
    async for chunk in response.aiter_stream():
        read += chunk
        if len(read) >= READ_BYTES:
            break
    text = read[: 4 * KEPT_CHARACTERS].decode(errors="replace").replace("\0", "\ufffd")
    return text[:KEPT_CHARACTERS] or None


def _class_of(error: Exception) -> str:
    """`ConnectError` as connect_error."""
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
