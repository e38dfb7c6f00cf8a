"""Where webhooks may be sent: to the internet, never into the house (SSRF).

A URL is checked when it is given; the addresses behind its name at every connection, and it is
the checked address that is connected to. So a name that changes its mind gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import httpx
import msgspec

from billing.common.settings import Settings

MAX_URL: Final = 2000
HTTPS_PORTS: Final = frozenset((443, 8443))
HTTP_PORTS: Final = frozenset((80, 8080))

Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to all its addresses. Raises OSError."""

_INTERNET: Final = tuple(map(ip_network, ("0.0.0.0/0", "2000::/3")))
"""Of IPv6 only what is given out: no loopback, no local networks, nothing that wraps IPv4."""

_REFUSED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT, and a metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's own service on a public address
        "169.254.0.0/16",  # link-local: metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocols, and a metadata service
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # Teredo and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
"""By RFC 6890 and what came after it; the standard library's lists depend on its version."""

_NAT64: Final = ip_network("64:ff9b::/96")


class ForbiddenTarget(Exception):
    """Nothing may be sent there; the message says why."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, by the machine's resolver."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is not a name: {error}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Guard(msgspec.Struct, frozen=True):
    """`hosts` may be anywhere and on any port, for receivers of the house's own network;
    `plain` allows http."""

    plain: bool = False
    hosts: frozenset[str] = frozenset()
    resolve: Resolve = resolve

    def url(self, text: str) -> httpx.URL:
        """The URL, checked without asking any name server. Raises ForbiddenTarget."""
        if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
            raise ForbiddenTarget(f"must be at most {MAX_URL} printable ASCII characters")
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise ForbiddenTarget(f"is not a URL: {error}") from None
        if url.scheme != "https" and not (url.scheme == "http" and self.plain):
            raise ForbiddenTarget("must start with https://")
        if not url.host:
            raise ForbiddenTarget("must name a host")
        if url.userinfo or url.fragment:
            raise ForbiddenTarget("must have no user, password or #fragment")
        host = url.raw_host.decode()
        if host not in self.hosts:
            ports = HTTPS_PORTS if url.scheme == "https" else HTTP_PORTS
            if url.port is not None and url.port not in ports:
                raise ForbiddenTarget(f"must use one of the ports {sorted(ports)}")
            if _is_address(host):
                check_address(host)
        return url

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses to connect to. Raises ForbiddenTarget if any of them is not of the
        internet, OSError when the name has none."""
        found = await self.resolve(host, port)
        if not found:
            raise OSError(f"{host} has no address")
        if host not in self.hosts:
            for address in found:
                check_address(address)
        return found


def guard_of(settings: Settings) -> Guard:
    return Guard(plain=settings.webhook_allow_http, hosts=settings.webhook_allowed_hosts)


def check_address(text: str) -> None:
    """Raise ForbiddenTarget unless it is an address of the public internet."""
    address: IPv4Address | IPv6Address = ip_address(text)
    if isinstance(address, IPv6Address) and address in _NAT64:
        address = IPv4Address(int(address) & 0xFFFFFFFF)
    if not _is_in(address, _INTERNET) or _is_in(address, _REFUSED) or not address.is_global:
        raise ForbiddenTarget(f"{text} is not an address of the public internet")


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
