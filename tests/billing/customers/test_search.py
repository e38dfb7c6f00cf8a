"""Finding people by a part of their name, which is kept sealed; and their cards."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest

from billing.common.db import Database
from billing.common.settings import Settings
from billing.customers.names import beginnings, fits, words_of
from billing.customers.search import NameSearch
from billing.customers.vault import Vault
from tests.billing.conftest import Caller
from tests.conftest import TestDatabase

Phone = Callable[[], str]
Unique = Callable[[str], str]
PATH = "/v1/customers"


async def _register(client: httpx.AsyncClient, phone: str, name: str) -> str:
    answer = await client.post(PATH, json={"phone": phone, "name": name})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _find(client: httpx.AsyncClient, name: str, **more: Any) -> list[str]:
    answer = await client.get(PATH, params={"name": name} | more)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


@pytest.mark.parametrize("part", ["жуж", "ЖУЖЕЛИЦЫНА", "Евд жужел", "жуж ев", "Жужелицына-Ё"])
async def test_each_word_is_found_by_its_beginning(
    admin: httpx.AsyncClient, phone: Phone, part: str
) -> None:
    mine = await _register(admin, phone(), "Евдокия Жужелицына-Ёлкина")
    other = await _register(admin, phone(), "Евдокия Жукова")
    found = await _find(admin, part, limit=500)
    assert mine in found
    assert other not in found


async def test_what_is_longer_than_a_token_is_compared_after_opening(
    admin: httpx.AsyncClient, phone: Phone
) -> None:
    one = await _register(admin, phone(), "Константиновский")
    other = await _register(admin, phone(), "Константинопольская")
    assert await _find(admin, "константинополь") == [other]
    assert set(await _find(admin, "константин")) >= {one, other}


async def test_a_changed_name_is_found_and_the_old_one_is_not(
    admin: httpx.AsyncClient, phone: Phone
) -> None:
    mine = await _register(admin, phone(), "Зинаида Цаплина")
    await admin.patch(f"{PATH}/{mine}", json={"name": "Зинаида Журавлёва"})
    assert await _find(admin, "цапли") == []
    assert await _find(admin, "журавлева") == [mine]
    await admin.patch(f"{PATH}/{mine}", json={"name": None})
    assert await _find(admin, "журавлева") == []


async def test_pages_go_on_where_they_ended(admin: httpx.AsyncClient, phone: Phone) -> None:
    mine = [await _register(admin, phone(), f"Фёкла Страницына {i}") for i in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params: dict[str, Any] = {"name": "страниц", "limit": 2} | (
            {"cursor": cursor} if cursor else {}
        )
        answer = (await admin.get(PATH, params=params)).json()
        seen += [one["id"] for one in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == mine


async def test_a_till_sees_ten_without_phones_and_others_who_see_no_persons_see_none(
    admin: httpx.AsyncClient, caller: Caller, phone: Phone
) -> None:
    for _ in range(11):
        await _register(admin, phone(), "Аглая Кассова")
    answer = (await (await caller("pos")).get(PATH, params={"name": "аглая кассова"})).json()
    assert len(answer["items"]) == 10
    assert answer["next_cursor"] is None
    assert all("phone" not in one and one["name"] == "Аглая Кассова" for one in answer["items"])
    assert all(one["phone_masked"].startswith("+7*") for one in answer["items"])
    for role in ("marketer", "finance", "bi"):
        refused = await (await caller(role)).get(PATH, params={"name": "аглая"})
        assert refused.status_code == 403


@pytest.mark.parametrize("part", ["!!", "я", "a b", "  ", "%%", "\u202e\u202e"])
async def test_what_names_nobody_is_refused(admin: httpx.AsyncClient, part: str) -> None:
    answer = await admin.get(PATH, params={"name": part})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/query/name"


async def test_customers_of_before_are_made_findable(
    admin: httpx.AsyncClient, phone: Phone, shared_settings: Settings
) -> None:
    mine = await _register(admin, phone(), "Мефодий Древний")
    database = Database(shared_settings.database_url, size=2)
    await database.fetch("UPDATE billing.customers SET name_tokens = NULL WHERE id = $1", mine)
    assert await _find(admin, "мефодий") == []
    search = NameSearch(database, Vault(shared_settings.secret_key))
    done = await asyncio.gather(search.index(), search.index())
    while await search.index():
        pass
    assert sum(done) >= 1
    assert await _find(admin, "мефодий") == [mine]
    await database.close()


_MANY = """
INSERT INTO billing.customers
    (id, status, phone_masked, name_tokens, data_key, created_at, updated_at)
SELECT uuidv7(), 'verified', '*', ARRAY[n % 40, 1000 + n % 4000], '', now(), now()
FROM generate_series(1, 20000) AS n
"""


async def test_the_search_reads_an_index(database: TestDatabase) -> None:
    """A rare name among many customers: a handful of pages, also behind a page."""
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute(_MANY)
    await connection.execute("VACUUM ANALYZE billing.customers")
    rows = await connection.fetch(
        "EXPLAIN (ANALYZE, BUFFERS) SELECT id FROM billing.customers"
        " WHERE name_tokens @> '{7,1007}'::bigint[]"
        " AND id > '00000000-0000-0000-0000-000000000000' ORDER BY id LIMIT 10"
    )
    plan = "\n".join(row[0] for row in rows)
    await connection.close()
    assert "customers_name_tokens_idx" in plan
    (pages,) = re.findall(r"Buffers: shared hit=(\d+)", plan.split("Planning")[0])[:1]
    assert int(pages) < 40


def test_words_are_compared_without_case_accents_and_punctuation() -> None:
    assert words_of("  Ёлкина-Žižková, ANNA_2 ") == ["елкина", "zizkova", "anna", "2"]
    assert beginnings("Ли") == {"ли"}
    assert fits("Анна Ли", ["ли", "а"])
    assert not fits(None, ["а"])


async def test_two_tills_that_add_cards_keep_both(
    caller: Caller, admin: httpx.AsyncClient, phone: Phone, unique: Unique
) -> None:
    till = await caller("pos")
    mine = await _register(admin, phone(), "x")
    cards = [unique("card") for _ in range(6)]
    path = f"{PATH}/{mine}/cards"
    answers = await asyncio.gather(
        *(till.post(path, json={"card": card}) for card in [*cards, *cards])
    )
    assert {answer.status_code for answer in answers} == {200}
    listed = (await till.get(path)).json()["items"]
    assert [one["card"] for one in listed] == sorted(cards)
    other = await _register(admin, phone(), "y")
    taken = await till.post(f"{PATH}/{other}/cards", json={"card": cards[0]})
    assert (taken.status_code, taken.json()["code"]) == (409, "customer_exists")
    assert taken.json()["customer_id"] == mine
    gone = await admin.delete(f"{path}/{cards[0]}")
    assert cards[0] not in [one["card"] for one in gone.json()["items"]]
    assert (await till.post(f"{PATH}/{other}/cards", json={"card": cards[0]})).status_code == 200


async def test_a_blocked_card_stays_blocked_when_the_customer_is_changed(
    caller: Caller, admin: httpx.AsyncClient, phone: Phone, unique: Unique
) -> None:
    mine, card = await _register(admin, phone(), "x"), unique("card")
    till = await caller("pos")
    await till.post(f"{PATH}/{mine}/cards", json={"card": card})
    blocked = await till.patch(f"{PATH}/{mine}/cards/{card}", json={"blocked": True})
    assert blocked.json()["blocked_at"] is not None
    await admin.patch(f"{PATH}/{mine}", json={"cards": [card, unique("card")]})
    listed = (await till.get(f"{PATH}/{mine}/cards")).json()["items"]
    assert {one["card"]: one["blocked_at"] is not None for one in listed}[card]
    missing = await till.patch(f"{PATH}/{mine}/cards/no-such", json={"blocked": True})
    assert missing.status_code == 404
