"""A till keeps the manners of spec DESIGN 5: every retry is the same request with the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from billing.app.replay import till as tills
from billing.app.replay.tally import Tally
from billing.app.replay.till import Stopped, Till, Unreachable
from billing.app.replay.wire import Address

from .conftest import FarEnd, Request


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tills, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(tills, "JITTER_S", 0.01)


def _till(far_end: FarEnd, retried: Callable[[], None] = lambda: None, **options: float) -> Till:
    return Till(Address.of(far_end.url), "key", asyncio.Event(), retried, **options)


@pytest.mark.parametrize("fault", ["lost before", "lost after", "429", "503", "500", "502"])
async def test_a_request_that_fails_once_is_sent_again_unchanged(
    far_end: FarEnd, fault: str
) -> None:
    far_end.fault = lambda number, request: fault if number == 1 else None
    tally = Tally()
    till = _till(far_end, tally.retried)
    answer = await till.post("/v1/receipts", {"number": "1"}, "k-1")
    till.close()
    assert answer.status == 201
    assert tally.retries == 1
    assert far_end.seen[0] == far_end.seen[1]
    assert len(far_end.kept) == 1


async def test_an_answer_that_was_lost_comes_back_as_a_replay(far_end: FarEnd) -> None:
    far_end.fault = lambda number, request: "lost after" if number == 1 else None
    till = _till(far_end)
    answer = await till.post("/v1/receipts", {}, "k-1")
    till.close()
    assert answer.headers["idempotency-hit"] == "true"


async def test_one_connection_serves_many_requests_and_is_made_anew_after_a_loss(
    far_end: FarEnd,
) -> None:
    far_end.fault = lambda number, request: "lost before" if number % 5 == 0 else None
    till = _till(far_end)
    for number in range(40):
        answer = await till.post("/v1/receipts", {"n": number}, f"k-{number}")
        assert answer.status == 201
    till.close()
    assert len(far_end.kept) == 40


async def test_retry_after_is_honoured(far_end: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def wait(_: Till, pause_s: float) -> None:
        waited.append(pause_s)

    monkeypatch.setattr(Till, "_wait", wait)
    till = _till(far_end)
    far_end.retry_after_s = 7
    far_end.fault = lambda number, request: "503" if number == 1 else None
    await till.post("/v1/receipts", {}, "k-1")
    till.close()
    assert 7 <= waited[0] <= 7 + tills.JITTER_S


async def test_a_service_that_stays_away_is_given_up_after_the_patience(far_end: FarEnd) -> None:
    far_end.fault = lambda number, request: "503"
    till = _till(far_end, patience_s=0.6)
    with pytest.raises(Unreachable, match="POST /v1/receipts: answer 503"):
        await till.post("/v1/receipts", {}, "k-1")
    till.close()


async def test_a_request_that_always_breaks_the_service_is_answered_not_repeated_for_ever(
    far_end: FarEnd,
) -> None:
    far_end.fault = lambda number, request: "500"
    till = _till(far_end)
    answer = await till.post("/v1/receipts", {}, "k-1")
    till.close()
    assert answer.status == 500
    assert len(far_end.seen) == tills.MAX_SERVER_ERRORS


async def test_only_answers_500_count_towards_giving_up(far_end: FarEnd) -> None:
    """A bad network before the first of them is not the request's fault."""
    faults = ["lost before", "503", "429", "502", "lost after", "500", "503", "500", None]
    far_end.fault = lambda number, request: faults[number - 1]
    till = _till(far_end)
    answer = await till.post("/v1/receipts", {}, "k-1")
    till.close()
    assert (answer.status, len(far_end.seen)) == (201, len(faults))


async def test_silence_counts_as_a_lost_connection(far_end: FarEnd) -> None:
    slow = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await slow.wait()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    far_end.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    till = _till(far_end, patience_s=0.3, timeout_s=0.1)
    with pytest.raises(Unreachable, match="TimeoutError"):
        await till.get("/v1/stores")
    till.close()
    slow.set()
    server.close()


async def test_a_stop_ends_the_waiting(far_end: FarEnd) -> None:
    stop = asyncio.Event()

    def fault(number: int, request: Request) -> str:
        stop.set()
        return "503"

    far_end.fault = fault
    till = Till(Address.of(far_end.url), "key", stop, Tally().retried)
    with pytest.raises(Stopped):
        await till.post("/v1/receipts", {}, "k-1")
    till.close()


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address such as http"):
        Address.of(url)
