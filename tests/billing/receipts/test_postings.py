"""Receipts of very many product groups and instalments: few enough postings, all of them back."""

from __future__ import annotations

import httpx
import pytest

from billing.receipts.sale import MAX_POSTINGS
from tests.acceptance.shop import Shop, done
from tests.acceptance.till import Till

GROUPS = 230


@pytest.fixture
async def till(admin: httpx.AsyncClient) -> Till:
    return Till(await Shop(admin).open())


async def test_very_many_postings_are_made_without_product_groups(till: Till) -> None:
    client = till.shop.client
    for number in range(GROUPS):
        path = f"/v1/product-groups/{till.shop.group}-{number}"
        done(await client.put(path, json={"name": "a group"}))
    body = till.basket(*["10.00"] * GROUPS)
    for number, line in enumerate(body["receipt"]["lines"]):
        line["group"] = f"{till.shop.group}-{number}"
    parts = {"instalments": {"count": 24, "every": "P1M"}}
    assert GROUPS * 24 > MAX_POSTINGS
    await till.publishes(reward={"kind": "percent", "value": "100"}, available=parts)
    sale = done(await till.shop.post("/v1/receipts", body))
    read = done(await client.get(f"/v1/receipts/{till.shop.store}/{sale['receipt_number']}"))
    assert [posting["product_group"] for posting in read["postings"]] == [None] * 24
    for lines in ([{"line": 7, "quantity": "1"}], None):
        back = {"channel": till.shop.channel, "store": till.shop.store, "lines": lines}
        back |= {"number": f"back-{len(lines or ())}", "receipt_number": sale["receipt_number"]}
        back |= {"occurred_at": body["receipt"]["occurred_at"]}
        back = {name: value for name, value in back.items() if value is not None}
        revoked = done(await till.shop.post("/v1/returns", back))["revoked"]
        assert revoked == ("10.00" if lines else f"{(GROUPS - 1) * 10}.00")
    assert (await till.read("balance"))["deferred"] == "0.00"
