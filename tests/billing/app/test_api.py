"""Every refusal is a problem document, whatever is sent (spec: Conventions)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar

from billing.app.api import create_app
from billing.common.answer import Answer
from billing.common.auth import NOBODY, Principal
from billing.common.errors import IdempotencyKeyMissing, ValidationFailed
from billing.common.http import Call, Runtime, bind, idempotency_key, operation
from billing.common.settings import Settings
from tests.billing.conftest import Caller, client_of, running
from tests.billing.faulty_line import FaultyLine, faulty_line


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail"} <= document.keys()
    return dict(document)


async def test_what_litestar_refuses_is_a_problem_too(admin: httpx.AsyncClient) -> None:
    problem(await admin.get("/nothing"), 404, "not_found")
    problem(await admin.get("/v1/channels/a/b"), 404, "not_found")
    wrong = await admin.delete("/v1/channels")
    problem(wrong, 405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]
    problem(await admin.get("/v1/channels", headers={"host": "a b"}), 400, "validation_failed")


async def test_without_a_key_there_is_nothing_to_see(app: Litestar) -> None:
    async with client_of(app) as nobody, client_of(app, "bonus_pos_guessed") as guessing:
        for client in (nobody, guessing):
            refused = await client.get("/v1/channels")
            problem(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"] == "Bearer"


async def test_bodies_that_are_no_json_of_ours(admin: httpx.AsyncClient) -> None:
    path = "/v1/channels/x"
    form = await admin.put(path, data={"name": "x"})
    problem(form, 415, "unsupported_media_type")
    latin = {"content-type": "application/json; charset=latin-1"}
    problem(await admin.put(path, content=b"{}", headers=latin), 415, "unsupported_media_type")
    for content in (b"", b"{", b"\xff", b"[" * 100_000, b'{"name": "\\u0000"}', b'{"name": 1e999}'):
        problem(await admin.put(path, content=content), 400, "validation_failed")
    utf8 = {"content-type": "Application/JSON; charset=UTF-8"}
    good = await admin.put(path, content='{"name": "Магазины"}'.encode(), headers=utf8)
    assert good.json()["name"] == "Магазины"


async def test_a_body_is_bounded_announced_or_not(
    admin: httpx.AsyncClient, shared_settings: Settings
) -> None:
    big = b"[" + b" " * shared_settings.max_body_bytes + b"]"

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    for content in (big, chunks()):
        refused = await admin.post("/v1/products/import", content=content)
        document = problem(refused, 413, "validation_failed")
        assert "BONUS_MAX_BODY_BYTES" in document["errors"][0]["detail"]
    huge = {"content-length": "9" * 5000}
    refused = await admin.post("/v1/products/import", content=chunks(), headers=huge)
    problem(refused, 413, "validation_failed")


async def test_a_request_is_named_by_the_caller_when_the_name_is_sane(
    admin: httpx.AsyncClient,
) -> None:
    async def named(request_id: str) -> str:
        answer = await admin.get("/v1/channels/none", headers={"x-request-id": request_id})
        return str(answer.headers["x-request-id"])

    assert await named("till-7.000123") == "till-7.000123"
    for odd in ("a b", "x" * 65, "<script>", ""):
        assert await named(odd) != odd
    assert len({await named("") for _ in range(3)}) == 3


@pytest.mark.parametrize("key", ["a", "~" * 255, "till-7/2026-11-21/000123"])
def test_idempotency_keys(key: str) -> None:
    assert idempotency_key({b"idempotency-key": key.encode()}) == key


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, "ключ".encode(), b"a\x00"])
def test_other_idempotency_keys_are_refused(key: bytes) -> None:
    with pytest.raises(ValidationFailed, match="1 to 255 visible ASCII"):
        idempotency_key({b"idempotency-key": key})
    with pytest.raises(IdempotencyKeyMissing, match="the same at every retry"):
        idempotency_key({})


async def test_a_fault_of_ours_tells_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    class Anyone:
        def known(self, header: bytes | None) -> Principal:
            return NOBODY

        async def authenticate(self, header: bytes | None) -> Principal:
            return NOBODY

    @operation("GET", "/broken", summary="", tag="", may=None, answers={})
    async def broken(call: Call) -> Answer:
        raise LookupError("the password is 1234")

    app = Litestar(
        [bind(broken, Runtime(authenticator=Anyone(), services={}, max_body_bytes=1))],
        openapi_config=None,
    )
    async with client_of(app) as client:
        answer = await client.get("/broken", headers={"x-request-id": "r-1"})
    problem(answer, 500, "internal_error")
    assert "1234" not in answer.text


async def test_health_tells_who_is_missing(shared_settings: Settings, line: FaultyLine) -> None:
    settings = msgspec.structs.replace(
        shared_settings, database_url=line.url, redis_url="redis://127.0.0.1:1/0"
    )
    app = create_app(settings)
    async with running(app), client_of(app) as client:
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()) == (
            200,
            {
                "ready": True,
                "database": "up",
                "migrations": "current",
                "redis": "away",
                "secret_key": "right",
            },
        )
        await line.cut()
        away = await client.get("/health/ready")
        assert (away.status_code, away.json()["database"]) == (503, "away")
        assert away.headers["retry-after"] == "1"
        assert (await client.get("/health/live")).json() == {"live": True}
        await line.mend()
        assert (await client.get("/health/ready")).status_code == 200


@pytest.fixture
async def line(shared_settings: Settings, tmp_path: Path) -> AsyncIterator[FaultyLine]:
    async with faulty_line(shared_settings.database_url, tmp_path) as made:
        yield made


async def test_with_the_database_away_a_till_is_told_to_come_back(
    shared_settings: Settings, line: FaultyLine, caller: Caller, phone: Callable[[], str]
) -> None:
    known = await caller("admin")
    app = create_app(msgspec.structs.replace(shared_settings, database_url=line.url))
    async with running(app), client_of(app) as client:
        client.headers["authorization"] = known.headers["authorization"]
        assert (await client.get("/v1/channels")).status_code == 200
        for lose in (line.cut, _async(line.freeze)):
            await lose()
            started = time.monotonic()
            requests = [client.get("/v1/channels") for _ in range(20)]
            requests += [client.post("/v1/customers", json={"phone": phone()}) for _ in range(20)]
            for answer in await asyncio.gather(*requests):
                problem(answer, 503, "overloaded")
                assert int(answer.headers["retry-after"]) >= 1
            assert time.monotonic() - started < 2.5, "two seconds, and forty requests on one core"
            await line.mend()
            assert (await client.get("/v1/channels")).status_code == 200


async def test_it_starts_with_the_database_away_and_finds_it(
    shared_settings: Settings, line: FaultyLine, caller: Caller
) -> None:
    known = await caller("admin")
    await line.cut()
    app = create_app(msgspec.structs.replace(shared_settings, database_url=line.url))
    async with running(app), client_of(app) as client:
        client.headers["authorization"] = known.headers["authorization"]
        problem(await client.get("/v1/channels"), 503, "overloaded")
        await line.mend()
        assert (await client.get("/v1/channels")).status_code == 200


async def test_requests_are_measured_by_route_and_status(admin: httpx.AsyncClient) -> None:
    for path in ("/v1/channels/none", "/nothing-at-all", "/v1/channels"):
        await admin.get(path)
    metrics = await admin.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    for labels in (
        'method="GET",route="/v1/channels/{code}",status="404"',
        'method="-",route="unmatched",status="404"',
    ):
        assert f"bonus_http_request_seconds_count{{{labels}}}" in metrics.text
    assert "nothing-at-all" not in metrics.text
    assert 'bonus_problems_total{code="not_found",status="404"}' in metrics.text


async def test_lanes_tell_how_deep_they_are_and_what_they_did(
    admin: httpx.AsyncClient, phone: Callable[[], str]
) -> None:
    number = phone()
    await admin.post("/v1/customers", json={"phone": number})
    given = {"customer": {"phone": number}, "points": "+1.00", "reason": "Test"}

    async def counted(metric: str) -> float:
        text = (await admin.get("/metrics")).text
        return float(text.partition(f'\n{metric}{{lane="0"}} ')[2].partition("\n")[0])

    before = await counted("bonus_lane_commands_total")
    headers = {"idempotency-key": number}
    assert (await admin.post("/v1/adjustments", json=given, headers=headers)).status_code == 201
    assert await counted("bonus_lane_commands_total") == before + 1
    assert await counted("bonus_lane_groups_total") >= 1
    assert await counted("bonus_lane_depth") == 0


def _async(function: Callable[[], None]) -> Callable[[], Any]:
    async def call() -> None:
        function()

    return call
