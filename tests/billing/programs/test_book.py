"""The book of published programs: what old releases stored, and what reading it costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from billing.catalog.model import Product, ProductGroup
from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.settings import Settings
from billing.programs import definition, editions, store
from billing.programs.book import Book, Edition, ProgramBook
from billing.programs.model import Leaf, Scope
from billing.programs.portrait import portrait
from tests.acceptance.shop import Shop, done
from tests.acceptance.till import Till, accrued
from tests.billing.programs.baskets import NOON, percent, program
from tests.conftest import TestDatabase

SINCE = datetime(2020, 1, 1, tzinfo=UTC)
Publish = Callable[..., Any]


def definition_of(**more: Any) -> dict[str, Any]:
    return {"name": "Old", "type": "accrual", "valid_from": SINCE.isoformat(),
            "reward": {"kind": "percent", "value": "5"}, **more}  # fmt: skip


@pytest.fixture
async def publish(shared_database: TestDatabase) -> AsyncIterator[Publish]:
    """`await publish(code, definition)`: as an older release did, with its own checks."""
    connection = await asyncpg.connect(shared_database.superuser_url)

    async def put(code: str, stored: dict[str, Any]) -> None:
        await connection.execute("INSERT INTO billing.programs (code) VALUES ($1)", code)
        await connection.execute(
            "INSERT INTO billing.program_versions (code, version, definition, author,"
            " effective_from, published_at, publisher)"
            " VALUES ($1, 1, $2::jsonb, 'old', $3, $3, 'old')",
            code, json.dumps(stored), SINCE,
        )  # fmt: skip
        await connection.execute(
            "UPDATE billing.catalog_revision SET revision = revision + 1, structure = structure + 1"
        )

    yield put
    await connection.close()


@pytest.fixture
async def catalog(shared_settings: Settings) -> AsyncIterator[Catalog]:
    database = Database(shared_settings.database_url, size=2)
    made = Catalog(database)
    await made.refresh()
    yield made
    await database.close()


async def test_what_older_releases_published_stops_nobody(
    admin: httpx.AsyncClient, publish: Publish, unique: Callable[[str], str]
) -> None:
    """Beyond the bounds of today it counts as ever; what cannot be read at all counts for
    nothing, and says so."""
    till = Till(await Shop(admin).open())
    beyond, broken, group = unique("beyond"), unique("broken"), unique("group")
    here = {"channels": [till.shop.channel]}
    many = {"any": [{"field": "line.amount", "op": ">", "value": f"{n}"} for n in range(150)]}
    await publish(beyond, definition_of(
        scope=here, stacking={"group": group, "priority": 5_000_000}, lines={"when": many},
        name="x" * 300,
    ))  # fmt: skip
    await publish(broken, definition_of(scope=here, reward={"kind": "lottery"}, stacking={
        "group": group, "policy": "priority"}))  # fmt: skip
    await till.publishes(reward={"kind": "percent", "value": "1"}, stacking={"group": group})
    assert accrued(await till.sell("100.00")) == "6.00"
    told = done(await admin.get(f"/v1/programs/{broken}/versions/1"))
    assert told["unreadable"].startswith("/reward/kind: must be one of")
    assert "cannot be read" in told["sentence"]["en"]
    told = done(await admin.get(f"/v1/programs/{beyond}/versions/1"))
    assert told["unreadable"] is None
    assert told["sentence"]["en"].startswith("Gives 5%")


async def test_a_draft_from_before_a_bound_is_refused_with_a_pointer(
    admin: httpx.AsyncClient, shared_database: TestDatabase, unique: Callable[[str], str]
) -> None:
    code = unique("draft")
    done(await admin.post("/v1/programs", json=definition_of(code=code)))
    connection = await asyncpg.connect(shared_database.superuser_url)
    await connection.execute(
        "UPDATE billing.program_versions SET definition = jsonb_set(definition,"
        " '{stacking,priority}', '5000000') WHERE code = $1", code,
    )  # fmt: skip
    await connection.close()
    refused = await admin.post(f"/v1/programs/{code}/publish", json={})
    assert refused.status_code == 400, refused.text
    [fault] = refused.json()["errors"]
    assert fault == {"pointer": "/stacking/priority", "detail": "must be at most 1000000"}


async def test_programs_are_read_once_whatever_products_and_groups_change(
    catalog: Catalog, shared_settings: Settings, unique: Callable[[str], str],
    publish: Publish, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    loads: list[str] = []
    compiled: list[tuple[str, int]] = []
    read, compile_stored = store.read_published, definition.compile_stored

    async def read_counted(database: Database) -> store.Versions:
        loads.append("load")
        return await read(database)

    def compile_counted(code: str, version: int, stored: object) -> Any:
        compiled.append((code, version))
        return compile_stored(code, version, stored)

    monkeypatch.setattr(store, "read_published", read_counted)
    monkeypatch.setattr("billing.programs.editions.compile_stored", compile_counted)
    database = Database(shared_settings.database_url, size=2)
    book = ProgramBook(database, catalog)
    await publish(unique("program"), definition_of(scope={"channels": ["nowhere"]}))
    await catalog.refresh()
    await asyncio.gather(*(book.current() for _ in range(5)))
    assert len(loads) == 1
    group = unique("group")
    await catalog.put(ProductGroup(group, "a group"))
    await book.current()
    before = len(loads), len(compiled)
    await catalog.put(Product(unique("sku"), "a product", group))
    await book.current()
    assert (len(loads), len(compiled)) == before
    code = unique("program")
    await publish(code, definition_of(scope={"channels": ["nowhere"]}))
    await catalog.refresh()
    assert (await book.current()).version(code, 1) is not None
    assert compiled[before[1] :] == [(code, 1)]
    assert len(set(compiled)) == len(compiled)
    await database.close()


async def test_what_cannot_be_read_is_logged_once(
    catalog: Catalog, shared_settings: Settings, publish: Publish,
    unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    told: list[dict[str, Any]] = []

    class Log:
        def error(self, event: str, **more: Any) -> None:
            told.append(more)

    monkeypatch.setattr(editions, "log", Log())
    codes = [unique("broken") for _ in range(2)]
    database = Database(shared_settings.database_url, size=2)
    book = ProgramBook(database, catalog)
    for code in codes:
        await publish(code, definition_of(scope={"channels": ["nowhere"]}, reward={"kind": code}))
        await catalog.refresh()
        assert (await book.current()).version(code, 1) is None
    mine = [one for one in told if one["code"] in codes]
    assert [(one["code"], one["version"]) for one in mine] == [(code, 1) for code in codes]
    assert mine[1]["unreadable"] == mine[0]["unreadable"] + 1
    assert "/reward/kind" in str(mine[0]["exc_info"])
    await database.close()


async def test_publishing_reads_no_program_that_is_over_or_elsewhere(
    admin: httpx.AsyncClient, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a published version is put into words once, a draft each time."""
    till, group = Till(await Shop(admin).open()), unique("group")
    in_group: dict[str, Any] = {
        "reward": {"kind": "percent", "value": "1"}, "stacking": {"group": group},
    }  # fmt: skip
    await till.publishes(**in_group, valid_to="2020-02-01T00:00:00Z")
    archived = await till.publishes(**in_group)
    done(await admin.post(f"/v1/programs/{archived}/archive", json={}))
    await till.publishes(reward=in_group["reward"], stacking={"group": unique("group")})
    running = await till.publishes(**in_group)
    read: list[str] = []

    def counted(code: str, version: int, stored: object) -> Any:
        read.append(code)
        return editions.read_program(code, version, stored)

    monkeypatch.setattr("billing.programs.service.read_program", counted)
    code = unique("program")
    done(await admin.post("/v1/programs", json=definition_of(code=code, **in_group)))
    done(await admin.get(f"/v1/programs/{code}/versions/1"))
    assert read == [code, code]
    done(await admin.post(f"/v1/programs/{code}/publish", json={}))
    done(await admin.get(f"/v1/programs/{code}/versions/1"))
    done(await admin.post(f"/v1/programs/{code}/archive", json={}))
    assert read == [code, code, running, code]


async def test_others_get_a_turn_while_long_programs_are_read(
    catalog: Catalog, shared_settings: Settings, publish: Publish, unique: Callable[[str], str]
) -> None:
    for _ in range(10):
        skus = [f"s{n}" for n in range(2_000)]
        await publish(unique("long"), definition_of(
            lines={"products": skus}, scope={"channels": ["nowhere"]}))  # fmt: skip
    await catalog.refresh()
    database = Database(shared_settings.database_url, size=2)
    loading = asyncio.create_task(ProgramBook(database, catalog).current())
    turns = 0
    while not loading.done():
        turns += 1
        await asyncio.sleep(0)
    assert len((await loading).accruals("nowhere", None, None, NOON)) >= 10
    assert turns >= 10
    await database.close()


def test_only_where_a_program_asks_is_the_first_purchase_looked_for() -> None:
    asking = program(
        "first", percent(5), scope=Scope(channels=frozenset(("site",))),
        valid_to=NOON + timedelta(days=1), asks=frozenset(("receipt.first_purchase",)),
        when=Leaf("receipt.first_purchase", "=", True),
    )  # fmt: skip
    plain = program("plain", percent(5))
    book = Book([Edition(one, one.valid_from, None) for one in (asking, plain)])
    assert book.asks_first_purchase("site", None, None, NOON)
    assert not book.asks_first_purchase("shop", "m1", None, NOON)
    assert not book.asks_first_purchase("site", None, None, NOON + timedelta(days=1))
    assert book.needs_first_purchase, "a simulation looks at every time and place"


def test_a_long_list_of_goods_is_cut_in_the_sentence() -> None:
    made = program("long", percent(5), only=[f"s{n:04}" for n in range(1000)])
    assert "s0049 and 950 more." in portrait(made, "en")
    assert "s0049 и ещё 950." in portrait(made, "ru")
