"""Providers, templates and settings over the API, as an administrator has them (B15, B19)."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

from integrations.sms.webhooks import MAX_BODY
from tests.billing.conftest import Caller, admin, app, caller, keys
from tests.integrations.sms.house import House
from tests.integrations.sms.peers import Peer

__all__ = ["admin", "app", "caller", "keys"]

SMSRU = {"kind": "smsru", "settings": {"sender": "Fresh"}, "secrets": {"api_id": "API"}}


def done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


async def test_a_provider_is_set_up_and_its_secrets_never_shown(
    house: House, admin: httpx.AsyncClient
) -> None:
    made = await admin.put("/v1/sms-providers/main", json=SMSRU)
    assert made.status_code == 201
    assert made.json()["secrets"] == ["api_id"]
    assert '"API"' not in made.text
    again = await admin.put("/v1/sms-providers/main", json={"kind": "smsru", "priority": 5})
    assert again.status_code == 200
    assert done(again)["secrets"] == ["api_id"]
    assert done(again)["webhook_url"] == made.json()["webhook_url"]
    listed = done(await admin.get("/v1/sms-providers"))["items"]
    assert [one["code"] for one in listed] == ["main"]
    rotated = done(await admin.post("/v1/sms-providers/main/rotate-token"))
    assert rotated["webhook_url"] != made.json()["webhook_url"]
    assert done(await admin.delete("/v1/sms-providers/main"))["code"] == "main"
    assert (await admin.get("/v1/sms-providers/main")).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "smsru"}, "/secrets/api_id"),
        ({"kind": "smsru", "secrets": {"api_id": "x", "key": "y"}}, "/secrets/key"),
        ({"kind": "smsc", "secrets": {}}, "/secrets"),
        ({"kind": "twilio", "secrets": {"auth_token": "x"}}, "/settings/account_sid"),
        (
            {
                "kind": "smsru",
                "secrets": {"api_id": "x"},
                "settings": {"endpoint": "https://sms.ru/"},
            },
            "/settings/endpoint",
        ),
        (
            {
                "kind": "http",
                "settings": {
                    "send": {"url": "https://x.example"},
                    "sent": {"id": "id"},
                    "signature": {"header": "X", "secret": "nobody"},
                },
                "secrets": {},
            },
            "/settings/signature/secret",
        ),
        ({"kind": "telegraph"}, "/kind"),
        ({"kind": "console", "priority": -1}, "/priority"),
    ],
)
async def test_what_cannot_work_is_refused_where_it_is_wrong(
    house: House, admin: httpx.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    answer = await admin.put("/v1/sms-providers/main", json=body)
    assert answer.status_code == 400, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_a_test_goes_through_that_provider_and_no_other(
    house: House, smsru: Peer, smsc: Peer, admin: httpx.AsyncClient
) -> None:
    await house.add(smsc, priority=1)
    await house.add(smsru, priority=2)
    body = {"phone": "8 999 000-00-01", "text": "Проба"}
    message = done(await admin.post("/v1/sms-providers/smsru/test", json=body))["message_id"]
    # The API's clock is the world's, the house's stands.
    house.clock.seconds = 10**9
    house.clock.seconds = await _until_now(house)
    await house.send()
    assert ([one.text for one in smsru.sms], smsc.sms) == (["Проба"], [])
    shown = done(await admin.get(f"/v1/messages/{message}"))
    assert (shown["status"], shown["phone_masked"]) == ("accepted", "+7******0001")
    assert [one["outcome"] for one in shown["history"]] == ["accepted"]
    assert "Проба" not in str(shown)
    listed = done(await admin.get("/v1/messages", params={"status": "accepted"}))["items"]
    assert [one["id"] for one in listed] == [message]


async def _until_now(house: House) -> float:
    rows = await house.database.fetch("SELECT max(created_at) FROM billing.messages")
    return float((rows[0][0] - house.clock.at(0)).total_seconds()) + 1


async def test_a_webhook_comes_in_by_http_as_it_is(house: House, admin: httpx.AsyncClient) -> None:
    url = done(await admin.put("/v1/sms-providers/main", json=SMSRU))["webhook_url"]
    headers = {"content-type": "text/x-anything"}
    answer = await admin.post(url, content=b"hash=0", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    hashed = hashlib.sha256(b"API").hexdigest()
    right = await admin.post(url, content=f"hash={hashed}".encode(), headers=headers)
    assert (right.status_code, right.content) == (200, b"100")
    assert (await admin.post(f"{url}x", content=b"")).status_code == 404
    large = await admin.post(url, content=b"x" * (MAX_BODY + 1))
    assert large.status_code == 413


async def test_a_text_is_changed_by_versions(house: House, caller: Caller) -> None:
    marketer = await caller("marketer")
    path = "/v1/message-templates/code/ru"
    built_in = done(await marketer.get(path))["items"]
    assert [one["version"] for one in built_in] == [0]
    text = "{code} — ваш код[ на {points}]. {brand}"
    one = done(await marketer.put(path, json={"text": text}))
    assert (one["version"], one["encoding"], one["segments"]) == (1, "ucs2", 1)
    assert one["example"] == "481526 — ваш код на 12,50. Fresh"
    assert done(await marketer.put(path, json={"text": text}))["version"] == 1
    assert [v["version"] for v in done(await marketer.get(path))["items"]] == [1, 0]
    refused = await marketer.put(path, json={"text": "Ваш код 1234"})
    assert refused.json()["errors"][0]["pointer"] == "/text"
    preview = {"kind": "code", "language": "en", "text": "{code}[{points}]" + "x" * 150}
    shown = done(await marketer.post("/v1/message-templates/preview", json=preview))
    assert (shown["encoding"], shown["units"], shown["segments"]) == ("gsm7", 161, 2)
    async with house.database.transaction() as tx:
        rendered = await house.messages.render(tx, "code", "ru", {"code": "000000", "purpose": "x"})
    assert (rendered.text, rendered.version, rendered.segments) == ("000000 — ваш код.", "1", 1)
    for unknown in ("/v1/message-templates/code/de", "/v1/message-templates/spam/ru"):
        assert (await marketer.get(unknown)).status_code == 404


async def test_settings_are_versions_too(house: House, caller: Caller) -> None:
    marketer = await caller("marketer")
    path = "/v1/message-settings"
    before = done(await marketer.get(path))
    assert before["version"] == 0
    assert before["settings"]["tell"]["accrual"] is False
    body = {"brand": "Fresh", "tell": {"accrual": True}, "quiet_hours": None}
    assert done(await marketer.put(path, json=body))["version"] == 1
    assert done(await marketer.put(path, json=body))["version"] == 1
    assert done(await marketer.get(path))["settings"]["brand"] == "Fresh"
    for wrong in ({"quiet_hours": {"since": "25:00"}}, {"language": "de"}, {"tell": {"x": True}}):
        assert (await marketer.put(path, json=wrong)).status_code == 400


async def test_the_balance_is_asked_for(
    house: House, smsc: Peer, exolve: Peer, twilio: Peer, smsru: Peer
) -> None:
    for peer in (smsc, twilio, smsru):
        await house.add(peer)
    said = {code: await house.providers.balance(code) for code in ("smsc", "twilio", "smsru")}
    assert {code: (f"{b.amount:f}", b.currency) for code, b in said.items()} == {
        "smsc": ("996.50", "RUR"),
        "twilio": ("-1.25", "USD"),
        "smsru": ("4122.56", "RUB"),
    }
