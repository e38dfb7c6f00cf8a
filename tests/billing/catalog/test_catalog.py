"""The catalog over HTTP and in memory (B12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest

from billing.catalog.model import MAX_DEPTH, Channel, Product, ProductGroup
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import ValidationFailed
from tests.billing.conftest import Caller
from tests.conftest import TestDatabase

Unique = Callable[[str], str]


@pytest.fixture
async def catalog(shared_database: TestDatabase) -> AsyncIterator[Catalog]:
    """A catalog of another process."""
    database = Database(shared_database.url, size=3)
    made = Catalog(database)
    await made.start()
    yield made
    await made.stop()
    await database.close()


def _fault(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text
    (fault,) = answer.json()["errors"]
    return dict(fault)


async def test_put_creates_changes_and_leaves_alone(
    admin: httpx.AsyncClient, catalog: Catalog, unique: Unique
) -> None:
    channel, shop = unique("channel"), unique("shop")
    assert (await admin.put(f"/v1/channels/{channel}", json={"name": "Shops"})).status_code == 201
    body = {"name": "Tverskaya", "channel": channel, "group": "moscow", "timezone": "Asia/Omsk"}
    made = await admin.put(f"/v1/stores/{shop}", json=body)
    assert (made.status_code, made.json()) == (201, {"code": shop, **body})
    await catalog.refresh()
    before = catalog.current().revision
    assert (await admin.put(f"/v1/stores/{shop}", json=body)).status_code == 200
    await catalog.refresh()
    assert catalog.current().revision == before
    changed = await admin.put(f"/v1/stores/{shop}", json={"name": "New", "channel": channel})
    assert (changed.status_code, changed.json()["group"]) == (200, None)
    assert (await admin.get(f"/v1/stores/{shop}")).json() == changed.json()
    await catalog.refresh()
    assert catalog.current().revision > before
    assert catalog.current().stores[shop].name == "New"


async def test_what_a_thing_refers_to_must_exist(admin: httpx.AsyncClient, unique: Unique) -> None:
    store = await admin.put(f"/v1/stores/{unique('s')}", json={"name": "x", "channel": "none"})
    assert _fault(store) == {
        "pointer": "/channel",
        "detail": "there is no channel 'none'; PUT it first",
    }
    group = await admin.put(f"/v1/product-groups/{unique('g')}", json={"name": "x", "parent": "no"})
    assert _fault(group)["pointer"] == "/parent"
    product = await admin.put(f"/v1/products/{unique('p')}", json={"name": "x", "group": "no"})
    assert _fault(product)["pointer"] == "/group"
    channel = unique("channel")
    await admin.put(f"/v1/channels/{channel}", json={"name": "x"})
    zone = {"name": "x", "channel": channel, "timezone": "Moscow"}
    assert "IANA" in _fault(await admin.put(f"/v1/stores/{unique('s')}", json=zone))["detail"]


@pytest.mark.parametrize("code", ["a%20b", "a%00b", "x" * 65, "a%E2%80%8Bb"])
async def test_codes_in_the_path_are_checked(admin: httpx.AsyncClient, code: str) -> None:
    answer = await admin.put(f"/v1/channels/{code}", json={"name": "x"})
    assert _fault(answer)["pointer"] == "/path/code"


async def test_lists_go_on_after_a_cursor_and_end(admin: httpx.AsyncClient, unique: Unique) -> None:
    codes = [unique("channel") for _ in range(5)]
    for code in codes:
        await admin.put(f"/v1/channels/{code}", json={"name": "x"})
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        listed = (await admin.get("/v1/channels", params=params)).json()
        assert 1 <= len(listed["items"]) <= 2
        seen += [item["code"] for item in listed["items"]]
        cursor = listed["next_cursor"]
        if cursor is None:
            break
    assert set(codes) <= set(seen)
    assert len(set(seen)) == len(seen)
    for params in ({"limit": "0"}, {"limit": "501"}, {"cursor": "x"}):
        _fault(await admin.get("/v1/channels", params=params))


async def test_all_read_and_some_write(caller: Caller, unique: Unique) -> None:
    code = unique("channel")
    for role, status in (("pos", 403), ("bi", 403), ("marketer", 201)):
        client = await caller(role)
        assert (await client.put(f"/v1/channels/{code}", json={"name": "x"})).status_code == status
    for role in ("pos", "site", "marketer", "finance", "support", "bi", "admin"):
        client = await caller(role)
        assert (await client.get(f"/v1/channels/{code}")).status_code == 200
        assert (await client.get("/v1/channels/none")).status_code == 404


async def test_groups_nest_but_never_in_a_circle(
    admin: httpx.AsyncClient, catalog: Catalog, unique: Unique
) -> None:
    food, dairy, cheese = unique("food"), unique("dairy"), unique("cheese")
    for code, parent in ((food, None), (dairy, food), (cheese, dairy)):
        path = f"/v1/product-groups/{code}"
        assert (await admin.put(path, json={"name": "x", "parent": parent})).status_code == 201
    await catalog.refresh()
    assert catalog.current().ancestry(cheese) == (cheese, dairy, food)
    assert catalog.current().ancestry("unheard of") == ("unheard of",)
    for code, parent in ((food, cheese), (dairy, dairy), (unique("self"), None)):
        path = f"/v1/product-groups/{code}"
        answer = await admin.put(path, json={"name": "x", "parent": parent or code})
        assert "would make a circle" in _fault(answer)["detail"]


async def test_two_moves_at_once_make_no_circle(
    admin: httpx.AsyncClient, catalog: Catalog, unique: Unique
) -> None:
    for _ in range(5):
        one, two = unique("one"), unique("two")
        for code in (one, two):
            await admin.put(f"/v1/product-groups/{code}", json={"name": "x"})
        answers = await asyncio.gather(
            admin.put(f"/v1/product-groups/{one}", json={"name": "x", "parent": two}),
            admin.put(f"/v1/product-groups/{two}", json={"name": "x", "parent": one}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]


async def test_legal_goods_are_those_of_a_marked_group_and_of_all_below(
    admin: httpx.AsyncClient, catalog: Catalog, unique: Unique
) -> None:
    """Their price is the law's: points must not pay for them. The nearest mark counts."""
    kiosk, smoke, cigars, spirits = (unique(one) for one in ("kiosk", "smoke", "cigars", "spirits"))
    for code, more in (
        (kiosk, {}),
        (smoke, {"parent": kiosk, "legal": "tobacco"}),
        (cigars, {"parent": smoke}),
        (spirits, {"parent": smoke, "legal": "alcohol"}),
    ):
        answer = await admin.put(f"/v1/product-groups/{code}", json={"name": "x", **more})
        assert answer.json()["legal"] == more.get("legal")
    await catalog.refresh()
    found = [
        catalog.current().legal(code) for code in (kiosk, smoke, cigars, spirits, "unheard of")
    ]
    assert found == [None, "tobacco", "tobacco", "alcohol", None]

    await admin.put(f"/v1/product-groups/{smoke}", json={"name": "x", "parent": kiosk})
    await catalog.refresh()
    assert catalog.current().legal(cigars) is None, "a mark can be taken away"
    other = await admin.put(f"/v1/product-groups/{kiosk}", json={"name": "x", "legal": "medicine"})
    assert _fault(other)["pointer"] == "/legal"


async def test_groups_nest_only_so_deep(catalog: Catalog, unique: Unique) -> None:
    chain = [unique("level") for _ in range(MAX_DEPTH + 1)]
    for code, parent in zip(chain[:-1], [None, *chain], strict=False):
        await catalog.put(ProductGroup(code, "x", parent))
    with pytest.raises(ValidationFailed, match="16 deep, not 17"):
        await catalog.put(ProductGroup(chain[-1], "x", chain[-2]))
    # Nor by hanging a tree below another.
    top = unique("top")
    await catalog.put(ProductGroup(top, "x"))
    with pytest.raises(ValidationFailed, match="16 deep, not 17"):
        await catalog.put(ProductGroup(chain[0], "x", top))
    assert len(catalog.current().ancestry(chain[-2])) == MAX_DEPTH


async def test_products_come_from_memory_until_the_catalog_moves(
    admin: httpx.AsyncClient, catalog: Catalog, unique: Unique
) -> None:
    group, milk = unique("dairy"), unique("milk")
    await admin.put(f"/v1/product-groups/{group}", json={"name": "x"})
    assert await catalog.products([milk]) == {}
    await admin.put(f"/v1/products/{milk}", json={"name": "Milk", "group": group})
    await catalog.refresh()
    assert await catalog.products([milk, "none"]) == {milk: Product(milk, "Milk", group)}
    body = {"name": "Milk", "group": group, "excluded": True}
    await admin.put(f"/v1/products/{milk}", json=body)
    await catalog.refresh()
    assert (await catalog.products([milk]))[milk].excluded


async def test_another_process_is_seen_within_seconds(
    admin: httpx.AsyncClient, catalog: Catalog, unique: Unique
) -> None:
    code = unique("channel")
    await admin.put(f"/v1/channels/{code}", json={"name": "x"})
    async with asyncio.timeout(5):
        while code not in catalog.current().channels:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)
    mine = unique("channel")
    await catalog.put(Channel(mine, "x"))
    assert mine in catalog.current().channels, "own changes are seen at once"


async def test_a_place_is_checked_as_a_whole(
    catalog: Catalog, admin: httpx.AsyncClient, unique: Unique
) -> None:
    one, two, shop = unique("channel"), unique("channel"), unique("shop")
    for code in (one, two):
        await admin.put(f"/v1/channels/{code}", json={"name": "x"})
    await admin.put(f"/v1/stores/{shop}", json={"name": "x", "channel": one})
    # `catalog` has not seen them yet: it looks again before it refuses.
    assert await catalog.place(None, shop) == (one, shop)
    assert await catalog.place(two, None) == (two, None)
    assert await catalog.place(None, None) == (None, None)
    for channel, store in ((two, shop), ("none", None), (None, "none")):
        with pytest.raises(ValidationFailed):
            await catalog.place(channel, store)


async def test_an_import_is_all_or_nothing(
    admin: httpx.AsyncClient, caller: Caller, unique: Unique
) -> None:
    group, prefix = unique("group"), unique("sku")
    await admin.put(f"/v1/product-groups/{group}", json={"name": "x"})
    products = [{"sku": f"{prefix}-{n}", "name": "x", "group": group} for n in range(2000)]
    path = "/v1/products/import"
    bad = await admin.post(path, json=[*products, {"sku": "y", "name": "x", "group": "none"}])
    assert _fault(bad)["pointer"] == "/2000/group"
    assert (await admin.get(f"/v1/products/{prefix}-0")).status_code == 404
    lines = b"\n".join(msgspec.json.encode(product) for product in products)
    headers = {"content-type": "application/x-ndjson"}
    made = await admin.post(path, content=lines + b"\n", headers=headers)
    assert made.json() == {"created": 2000, "changed": 0, "unchanged": 0}
    products[0]["name"] = "new"
    again = await admin.post(path, json=products)
    assert again.json() == {"created": 0, "changed": 1, "unchanged": 1999}
    assert "twice" in _fault(await admin.post(path, json=products[:1] * 2))["detail"]
    assert "10000 items" in _fault(await admin.post(path, json=[{}] * 10_001))["detail"]
    assert (await (await caller("marketer")).post(path, json=products)).status_code == 403
