"""Subscriptions and deliveries over HTTP, and dead ones on the command line."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from billing.app.api import create_app
from billing.app.cli import main
from billing.common.settings import Settings
from billing.keys.service import ApiKeys
from integrations.webhooks.service import MAX_SUBSCRIPTIONS
from tests.billing.conftest import client_of, running
from tests.integrations.webhooks.house import House
from tests.integrations.webhooks.receiver import Receiver, status

BASE = "/v1/webhook-subscriptions"
BODY = {"url": "https://crm.example.org/hooks", "events": ["points.*"], "description": "CRM"}


@pytest.fixture
async def admin(settings: Settings, house: House) -> AsyncIterator[httpx.AsyncClient]:
    _, secret = await ApiKeys(house.database).create("admin", "the test", None, None)
    app = create_app(settings)
    async with running(app), client_of(app, secret) as client:
        yield client


def made(answer: httpx.Response, code: int = 201) -> dict[str, Any]:
    assert answer.status_code == code, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_secret_is_shown_once_and_rests_sealed(
    admin: httpx.AsyncClient, house: House
) -> None:
    new = made(await admin.post(BASE, json=BODY))
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", new.pop("secret"))
    one = f"{BASE}/{new['id']}"
    assert made(await admin.get(one), 200) == new
    assert made(await admin.get(BASE), 200) == {"items": [new], "next_cursor": None}
    assert (new["state"], new["events"], new["failures"]) == ("active", ["points.*"], 0)
    rotated = made(await admin.post(f"{one}/rotate-secret"), 200)
    raw = base64.b64decode(rotated["secret"].removeprefix("whsec_"))
    (row,) = await house.database.fetch("SELECT secret FROM billing.webhook_subscriptions")
    assert raw not in row["secret"]
    assert rotated["previous_secret_until"] is not None


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": "https://127.0.0.1/x"}, "/url"),
        ({"url": "http://crm.example.org/"}, "/url"),
        ({"url": 7}, "/url"),
        ({"events": ["points.earned"]}, "/events/0"),
        ({"events": ["points.*", "point*"]}, "/events/1"),
        ({"events": []}, "/events"),
        ({"description": "x" * 201}, "/description"),
        ({"customer": "x"}, "/customer"),
    ],
)
async def test_what_is_wrong_is_pointed_at(
    admin: httpx.AsyncClient, change: dict[str, Any], pointer: str
) -> None:
    problem = made(await admin.post(BASE, json=BODY | change), 400)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    new = made(await admin.post(BASE, json=BODY))
    problem = made(await admin.patch(f"{BASE}/{new['id']}", json=change), 400)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_pages_pauses_limits_and_ends(admin: httpx.AsyncClient) -> None:
    ids = [made(await admin.post(BASE, json=BODY))["id"] for _ in range(MAX_SUBSCRIPTIONS)]
    assert made(await admin.post(BASE, json=BODY), 409)["code"] == "too_many_subscriptions"
    first = made(await admin.get(BASE, params={"limit": 15}), 200)
    rest = made(await admin.get(BASE, params={"cursor": first["next_cursor"]}), 200)
    assert [one["id"] for one in first["items"] + rest["items"]] == ids
    assert made(await admin.delete(f"{BASE}/{ids[0]}"), 200)["state"] == "deleted"
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        answer = await admin.request(method, f"{BASE}/{ids[0]}{path}", json={})
        assert answer.status_code == 404
    made(await admin.post(BASE, json=BODY))
    one = f"{BASE}/{ids[1]}"
    assert made(await admin.patch(one, json={"state": "paused"}), 200)["state"] == "paused"
    assert made(await admin.post(f"{one}/test"), 409)["code"] == "subscription_not_active"
    assert made(await admin.patch(one, json={"state": "disabled"}), 400)
    changed = made(await admin.patch(one, json={"state": "active", "events": ["*"]}), 200)
    assert (changed["state"], changed["events"]) == ("active", ["*"])


async def test_a_test_is_sent_at_once_and_every_attempt_is_in_view(
    admin: httpx.AsyncClient, house: House, receiver: Receiver
) -> None:
    subscription = await house.subscribe(receiver, "program.published")
    receiver.answer = status(500, b"not yet")
    delivery = made(await admin.post(f"{BASE}/{subscription}/test"), 202)["delivery_id"]
    # Its times are of the clock on the wall, the house's clock is behind.
    await house.later(days=20_000)
    seen = made(await admin.get(f"/v1/webhook-deliveries/{delivery}"), 200)
    assert (seen["type"], seen["state"], seen["attempts"]) == ("webhook.test", "pending", 1)
    assert seen["customer_id"] is None
    assert seen["body"] == receiver.messages[0].event
    assert [(one["status"], one["answer"]) for one in seen["history"]] == [(500, "not yet")]


async def test_dead_ones_are_listed_and_replayed_by_api_and_command_line(
    admin: httpx.AsyncClient,
    house: House,
    receiver: Receiver,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (
        ("DATABASE_URL", settings.database_url),
        ("BONUS_DATA_DIR", str(settings.data_dir)),
    ):
        monkeypatch.setenv(name, value)
    subscription = await house.subscribe(receiver)
    for _ in range(3):
        await house.customer().give(1)
    await house.dispatch()
    async with house.database.transaction() as tx:
        await tx.execute(
            text("UPDATE billing.webhook_deliveries SET state = 'dead', finished_at = now()")
        )
        await tx.execute(text("DELETE FROM billing.webhook_queues"))
    query: dict[str, str | int] = {
        "state": "dead",
        "subscription_id": str(subscription),
        "limit": 2,
    }
    first = made(await admin.get("/v1/webhook-deliveries", params=query), 200)
    rest = made(
        await admin.get("/v1/webhook-deliveries", params=query | {"cursor": first["next_cursor"]}),
        200,
    )
    ids = [one["id"] for one in first["items"] + rest["items"]]
    assert len(set(ids)) == 3

    assert await asyncio.to_thread(main, ["events", "dead"]) == 0
    assert [line[:36] for line in capsys.readouterr().out.splitlines()] == ids
    again = made(await admin.post(f"/v1/webhook-deliveries/{ids[0]}/replay"), 202)
    assert again["state"] == "pending"
    assert await asyncio.to_thread(main, ["events", "replay", ids[1]]) == 0
    assert await asyncio.to_thread(main, ["events", "replay", "--all"]) == 0
    assert "1 sent once more" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["events", "replay", str(UUID(int=1))]) == 1
    assert "There is no delivery" in capsys.readouterr().err
    logged = await house.database.fetch(
        "SELECT subject FROM billing.operator_actions WHERE operation = 'events replay' ORDER BY id"
    )
    assert [row[0] for row in logged] == [ids[1], ""]
    await house.later(days=20_000)
    assert len(receiver.messages) == 3
    assert made(await admin.get("/v1/webhook-deliveries?state=dead"), 200)["items"] == []
