"""How sales and redemptions are told: times of the place, titles of refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from billing.common.errors import CONFLICTS


@pytest.fixture
async def shop(
    admin: httpx.AsyncClient, unique: Callable[[str], str], phone: Callable[[], str]
) -> dict[str, Any]:
    """A sale's body, in a store of Vladivostok with a program of its own."""
    channel, store, group, code = (unique(word) for word in ("shop", "store", "group", "prog"))
    at_vladivostok = {"name": "V", "channel": channel, "timezone": "Asia/Vladivostok"}
    made = [
        await admin.put(f"/v1/channels/{channel}", json={"name": "V"}),
        await admin.put(f"/v1/stores/{store}", json=at_vladivostok),
        await admin.put(f"/v1/product-groups/{group}", json={"name": "G"}),
        await admin.post(
            "/v1/programs",
            json={
                "code": code,
                "name": "Ten",
                "valid_from": "2026-01-01T00:00:00Z",
                "scope": {"channels": [channel]},
                "reward": {"kind": "percent", "value": "10"},
                "expires": {"after": "P600M"},
            },
        ),
        await admin.post(f"/v1/programs/{code}/publish", json={"from": "2026-01-01T00:00:00Z"}),
    ]
    number = phone()
    made.append(await admin.post("/v1/customers", json={"phone": number, "status": "verified"}))
    assert all(answer.is_success for answer in made), [answer.text for answer in made]
    line = {"line": 1, "sku": "x", "group": group, "quantity": "1", "price": "100.00"}
    return {
        "customer": {"phone": number},
        "channel": channel,
        "store": store,
        "receipt": {
            "number": "1",
            "occurred_at": "2026-03-01T12:00:00Z",
            "lines": [line | {"amount": "100.00"}],
        },
    }


async def _post(
    admin: httpx.AsyncClient, path: str, key: str, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    answer = await admin.post(f"/v1/{path}", json=body, headers={"idempotency-key": key})
    return answer.status_code, answer.json()


async def test_all_times_of_an_answer_are_of_the_place(
    admin: httpx.AsyncClient, shop: dict[str, Any], unique: Callable[[str], str]
) -> None:
    _, sale = await _post(admin, "receipts", unique("answer"), shop)
    (accrual,) = sale["accruals"]
    assert accrual["available_from"] == "2026-03-01T22:00:00+10:00"
    assert accrual["expires_at"] == "2076-03-02T00:00:00+10:00"
    assert sale["balance"]["as_of"].endswith("+10:00")
    kept = (await admin.get(f"/v1/receipts/{shop['store']}/1")).json()
    assert kept["occurred_at"] == "2026-03-01T22:00:00+10:00"
    assert kept["recorded_at"].endswith("+10:00")

    receipt = shop["receipt"] | {"number": "2"}
    hold = shop | {"receipt": receipt, "points": "4.00", "mode": "hold"}
    _, held = await _post(admin, "redemptions", unique("answer"), hold)
    read = (await admin.get(f"/v1/redemptions/{held['id']}")).json()
    path = f"redemptions/{held['id']}/capture"
    _, captured = await _post(admin, path, unique("answer"), {})
    for redemption in (held, read, captured):
        assert redemption["hold_expires_at"].endswith("+10:00")
        assert [part["expires_at"] for part in redemption["parts"]] == ["2076-03-02T00:00:00+10:00"]


async def test_a_conflict_is_titled_by_its_code_when_it_is_kept_too(
    admin: httpx.AsyncClient, shop: dict[str, Any], unique: Callable[[str], str]
) -> None:
    key, wanting = unique("answer"), shop | {"points": "90.00"}
    for _ in range(2):
        status, poor = await _post(admin, "redemptions", key, wanting)
        assert (status, poor["code"]) == (409, "insufficient_points")
        assert poor["title"] == CONFLICTS["insufficient_points"]
    stranger = shop["customer"]["phone"]
    taken = await admin.post("/v1/customers", json={"phone": stranger})
    assert (taken.status_code, taken.json()["title"]) == (409, CONFLICTS["customer_exists"])
