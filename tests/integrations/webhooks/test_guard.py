"""Nothing is sent into the house: by address, by name, by a name that changes its mind (SSRF)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, NoReturn

import httpcore
import pytest

from integrations.webhooks.guard import ForbiddenTarget, Guard, check_address
from integrations.webhooks.model import Reply
from integrations.webhooks.sender import Sender
from tests.integrations.webhooks.receiver import Receiver, status

INSIDE = (  # A line for each kind of hiding place.
    "127.0.0.1 127.255.255.254 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1",
    "169.254.169.254 100.64.0.1 100.100.100.200 192.0.0.192 168.63.129.16",
    "192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.9 192.88.99.1 224.0.0.1 239.1.1.1 240.0.0.1",
    "255.255.255.255 :: ::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 100::1",
    "::7f00:1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:10.0.0.1 2002:7f00:1::1 2002:808:808::1",
    "64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 2001::1 2001:db8::1 3fff::1",
)
OUTSIDE = ("8.8.8.8", "93.184.216.34", "2a00:1450:4001:830::200e", "64:ff9b::8.8.8.8")


@pytest.mark.parametrize("address", " ".join(INSIDE).split())
def test_addresses_of_the_house_are_refused(address: str) -> None:
    with pytest.raises(ForbiddenTarget, match="public internet"):
        check_address(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_addresses_of_the_internet_are_not(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://crm.example.org/", "https://"),
        ("ftp://crm.example.org/", "https://"),
        ("//crm.example.org/", "https://"),
        ("https:///hooks", "host"),
        ("https://user:secret@crm.example.org/", "user"),
        ("https://crm.example.org@127.0.0.1/", "user"),
        ("https://crm.example.org/#x", "fragment"),
        ("https://crm.example.org:22/", "ports"),
        ("https://crm.example.org:6379/", "ports"),
        ("https://crm.example.org:99999/", "ports"),
        ("https://crm.example.org:port/", "URL"),
        ("https://127.0.0.1/", "public internet"),
        ("https://[::1]/", "public internet"),
        ("https://[::ffff:10.0.0.1]/", "public internet"),
        ("https://crm.example.org/a b", "printable"),
        ("https://crm.example.org/\r\nX: y", "printable"),
        ("https://пример.рф/", "ASCII"),
        (f"https://crm.example.org/{'x' * 2000}", "at most 2000"),
    ],
)
def test_urls_that_lead_elsewhere_are_refused(url: str, why: str) -> None:
    with pytest.raises(ForbiddenTarget, match=why):
        Guard().url(url)


def test_settings_open_what_a_house_needs() -> None:
    assert Guard().url("https://crm.example.org:8443/hooks").host == "crm.example.org"
    own = Guard(plain=True, hosts=frozenset(("crm.internal", "10.0.0.5")))
    assert own.url("http://crm.internal:9000/").port == 9000
    assert own.url("https://10.0.0.5/").host == "10.0.0.5"
    with pytest.raises(ForbiddenTarget):
        own.url("https://10.0.0.6/")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
async def test_other_spellings_of_this_machine_are_resolved_and_then_refused(host: str) -> None:
    reply = await sent(Guard(), f"https://{host}/")
    assert (reply.status, reply.error) == (None, "forbidden_target")


async def test_one_bad_address_among_good_ones_is_enough() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", "2a00:1450:4001:830::200e", "192.168.1.1"]

    reply = await sent(Guard(resolve=resolve), "https://crm.example.org/")
    assert (reply.error, reply.answer) == (
        "forbidden_target",
        "192.168.1.1 is not an address of the public internet",
    )


class Unreachable(httpcore.AsyncNetworkBackend):
    """Writes down what it was to connect to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> NoReturn:
        self.asked.append((host, port))
        raise httpcore.ConnectError("unreachable")


async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """It is asked once an attempt, and what was checked is what is connected to."""
    asked = itertools.count()

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", "8.8.8.8"] if next(asked) % 2 == 0 else ["127.0.0.1"]

    network = Unreachable()
    sender = Sender(Guard(resolve=rebinding), network=network)
    replies = [await sender.send("https://crm.example.org/", {}, b"{}") for _ in range(4)]
    await sender.close()
    assert [one.error for one in replies] == ["connect_error", "forbidden_target"] * 2
    assert network.asked == [("93.184.216.34", 443), ("8.8.8.8", 443)] * 2
    assert next(asked) == 4


async def test_proxies_of_the_environment_and_redirects_are_not_followed(
    receiver: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{other.port}")
    receiver.answer = status(307, location=other.url)
    guard = Guard(plain=True, hosts=frozenset(("127.0.0.1",)))
    reply = await sent(guard, receiver.url)
    assert (reply.status, reply.delivered) == (307, False)
    assert other.messages == []


async def test_a_resolver_that_hangs_is_within_the_time_of_the_attempt() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(3600)
        return []

    assert (await sent(Guard(resolve=silent), "https://crm.example.org/")).error == "timeout"


async def test_a_silent_name_server_is_asked_once_at_a_time() -> None:
    """Few threads ask: sixteen events of one subscriber must not take them from all others."""
    asked = []

    async def silent(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        await asyncio.sleep(3600)
        return []

    sender = Sender(Guard(resolve=silent), timeout_s=0.2)
    for _ in range(2):
        replies = await asyncio.gather(
            *(sender.send("https://crm.example.org/", {}, b"{}") for _ in range(16)),
            sender.send("https://other.example.org/", {}, b"{}"),
        )
        assert {one.error for one in replies} == {"timeout"}
    assert sorted(asked) == ["crm.example.org", "other.example.org"]
    await sender.close()


async def test_rubbish_of_a_name_server_is_a_failure_like_others() -> None:
    """What would break a sender each time anew would hold up all that waits behind it."""

    async def rubbish(host: str, port: int) -> Sequence[str]:
        return ["not an address"]

    reply = await sent(Guard(resolve=rubbish), "https://crm.example.org/")
    assert (reply.status, reply.error) == (None, "value_error")


async def test_names_that_are_none_are_failures_like_others() -> None:
    for host in (f"{'x' * 70}.example.org", "a..b", "-"):
        assert (await sent(Guard(), f"https://{host}/", 5)).error == "no_address"


async def sent(guard: Guard, url: str, timeout_s: float = 0.5) -> Reply:
    sender = Sender(guard, timeout_s=timeout_s)
    try:
        return await sender.send(url, {}, b"{}")
    finally:
        await sender.close()
