"""Registering, finding and changing customers (B5, B16, B20; spec: Customers)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from billing.common.db import Database
from tests.billing.conftest import Caller
from tests.conftest import TestDatabase

Unique = Callable[[str], str]
Phone = Callable[[], str]
PATH = "/v1/customers"


@pytest.fixture
async def shop(admin: httpx.AsyncClient, unique: Unique) -> tuple[str, str]:
    """A channel and a store of it."""
    channel, store = unique("channel"), unique("shop")
    await admin.put(f"/v1/channels/{channel}", json={"name": "x"})
    await admin.put(f"/v1/stores/{store}", json={"name": "x", "channel": channel})
    return channel, store


async def _register(client: httpx.AsyncClient, phone: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"phone": phone, **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_customer_is_registered_whole(
    admin: httpx.AsyncClient, phone: Phone, unique: Unique, shop: tuple[str, str]
) -> None:
    number, card = phone(), unique("card")
    body = {
        "name": "Анна", "birth_date": "1990-12-31", "email": "anna@example.org",
        "gender": "female", "store": shop[1], "seller": "Olga", "cards": [card, card],
        "external_ids": {"crm": card}, "tags": ["vip"],
    }  # fmt: skip
    made = await _register(admin, f"8 ({number[2:5]}) {number[5:8]}-{number[8:]}", **body)
    assert made["phone"] == number
    assert made["phone_masked"] == f"+7******{number[-4:]}"
    assert made["status"] == "unverified"
    expected = body | {"channel": shop[0], "cards": [card]}
    assert {name: made[name] for name in expected} == expected
    assert (await admin.get(f"{PATH}/{made['id']}")).json() == made
    for params in ({"phone": number}, {"card": card}, {"external_id": f"crm:{card}"}):
        found = await admin.get(PATH, params=params)
        assert found.json() == {"items": [made], "next_cursor": None}


async def test_what_identifies_one_customer_is_refused_to_another(
    admin: httpx.AsyncClient, phone: Phone, unique: Unique
) -> None:
    number, card, crm = phone(), unique("card"), unique("crm")
    first = await _register(admin, number, cards=[card], external_ids={"crm": crm})
    for body, pointer in (
        ({"phone": number}, "/phone"),
        ({"phone": phone(), "cards": [unique("card"), card]}, "/cards/1"),
        ({"phone": phone(), "external_ids": {"crm": crm}}, "/external_ids/crm"),
    ):
        refused = await admin.post(PATH, json=body)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (409, "customer_exists")
        assert (problem["customer_id"], problem["pointer"]) == (first["id"], pointer)
    other = await _register(admin, phone())
    taken = await admin.patch(f"{PATH}/{other['id']}", json={"cards": [card]})
    assert (taken.status_code, taken.json()["customer_id"]) == (409, first["id"])


@pytest.mark.parametrize("shared", ["phone", "card", "external_id"])
async def test_of_many_registrations_at_once_one_wins(
    admin: httpx.AsyncClient, phone: Phone, unique: Unique, shared: str
) -> None:
    number, code = phone(), unique("code")
    bodies: list[dict[str, Any]] = [
        {
            "phone": number if shared == "phone" else phone(),
            "cards": [code] if shared == "card" else [],
            "external_ids": {"crm": code} if shared == "external_id" else {},
        }
        for _ in range(8)
    ]
    answers = await asyncio.gather(*(admin.post(PATH, json=body) for body in bodies))
    (won,) = [answer for answer in answers if answer.status_code == 201]
    lost = [answer for answer in answers if answer.status_code == 409]
    assert len(lost) == 7
    assert {answer.json()["customer_id"] for answer in lost} == {won.json()["id"]}


async def test_two_customers_swapping_cards_at_once_do_not_hang(
    admin: httpx.AsyncClient, phone: Phone, unique: Unique
) -> None:
    cards = [unique("card"), unique("card")]
    made = [await _register(admin, phone(), cards=[card]) for card in cards]
    answers = await asyncio.gather(
        *(
            admin.patch(f"{PATH}/{customer['id']}", json={"cards": [card]})
            for customer, card in zip(made, reversed(cards), strict=True)
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 409, 503}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("phone", "12", "digits"),
        ("phone", "call me", "must be a phone number"),
        ("phone", "+7916\u202e1234567", "must be a phone number"),
        ("phone", 79161234567, "must be a string"),
        ("birth_date", "1899-12-31", "between 1900-01-01 and today"),
        ("birth_date", "31.12.1990", "must be a date such as"),
        ("email", "anna", "must be an address"),
        ("gender", "x", "must be one of"),
        ("status", "gone", "must be one of"),
        ("name", "", "at least 1 character"),
        ("name", "\0", "NUL"),
        ("store", "no-such", "there is no store"),
        ("channel", "no-such", "there is no channel"),
        ("cards", ["a b"], "visible characters"),
        ("cards", ["x"] * 51, "at most 50 items"),
        ("external_ids", {"crm": 7}, "must be a string"),
    ],
)
async def test_faults_are_named(
    admin: httpx.AsyncClient, phone: Phone, field: str, value: object, words: str
) -> None:
    refused = await admin.post(PATH, json={"phone": phone(), field: value})
    assert refused.status_code == 400
    (error,) = refused.json()["errors"]
    assert error["pointer"].startswith(f"/{field}")
    assert words in error["detail"]


async def test_nobody_is_born_tomorrow(admin: httpx.AsyncClient, phone: Phone) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    refused = await admin.post(PATH, json={"phone": phone(), "birth_date": tomorrow})
    assert refused.json()["errors"][0]["pointer"] == "/birth_date"


async def test_a_bound_till_registers_for_its_own_store(
    caller: Caller, phone: Phone, shop: tuple[str, str]
) -> None:
    till = await caller("pos", store=shop[1])
    made = await _register(till, phone())
    assert (made["channel"], made["store"]) == shop
    refused = await till.post(PATH, json={"phone": phone(), "store": "other"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_only_an_admin_verifies_by_decree(caller: Caller, phone: Phone) -> None:
    admin, till = await caller("admin"), await caller("pos")
    made = await _register(admin, phone(), status="verified")
    assert made["verified_at"] is not None
    for status in ("verified", "blocked"):
        body = {"phone": phone(), "status": status}
        assert (await till.post(PATH, json=body)).status_code == 403
    plain = await _register(till, phone())
    for role, expected in (("pos", 403), ("site", 403), ("support", 403), ("admin", 200)):
        client = await caller(role)
        path = f"{PATH}/{plain['id']}"
        assert (await client.patch(path, json={"status": "verified"})).status_code == expected


async def test_support_blocks_and_gives_back_what_was(caller: Caller, phone: Phone) -> None:
    admin, support = await caller("admin"), await caller("support")
    verified = await _register(admin, phone(), status="verified")
    plain = await _register(support, phone())
    for customer, back in ((verified, "verified"), (plain, "unverified")):
        path = f"{PATH}/{customer['id']}"
        assert (await support.patch(path, json={"status": "blocked"})).status_code == 200
        assert (await support.patch(path, json={"status": back})).json()["status"] == back
    path = f"{PATH}/{plain['id']}"
    await support.patch(path, json={"status": "blocked"})
    assert (await support.patch(path, json={"status": "verified"})).status_code == 403
    assert (
        await (await caller("pos")).patch(path, json={"status": "unverified"})
    ).status_code == 403


async def test_a_new_phone_has_to_be_verified_again(caller: Caller, phone: Phone) -> None:
    support, old, new = await caller("support"), phone(), phone()
    made = await _register(await caller("admin"), old, status="verified")
    path = f"{PATH}/{made['id']}"
    assert (await (await caller("pos")).patch(path, json={"phone": new})).status_code == 403
    changed = (await support.patch(path, json={"phone": new})).json()
    assert (changed["phone"], changed["status"], changed["verified_at"]) == (
        new,
        "unverified",
        None,
    )
    assert (await support.get(PATH, params={"phone": old})).json()["items"] == []
    same = await support.patch(path, json={"phone": new, "name": "Anna"})
    assert same.status_code == 200


async def test_a_change_touches_what_it_names(
    admin: httpx.AsyncClient, phone: Phone, unique: Unique
) -> None:
    code = unique("id")
    made = await _register(
        admin, phone(), name="Anna", email="a@b.ru", tags=["x"], external_ids={"crm": code}
    )
    path = f"{PATH}/{made['id']}"
    body = {"name": None, "tags": ["y"], "external_ids": {"site": code}}
    changed = (await admin.patch(path, json=body)).json()
    assert (changed["name"], changed["email"], changed["tags"]) == (None, "a@b.ru", ["y"])
    assert changed["external_ids"] == {"crm": code, "site": code}
    dropped = (await admin.patch(path, json={"external_ids": {"crm": None}})).json()
    assert dropped["external_ids"] == {"site": code}
    assert (await admin.get(path)).json() == dropped
    assert (await admin.patch(path, json={})).status_code == 200
    assert (await admin.patch(path, json={"phone": None})).status_code == 400


async def test_a_site_adds_cards_and_ids_and_takes_none_away(
    caller: Caller, phone: Phone, unique: Unique
) -> None:
    """In two changes a card could come to another customer, and pay with that one's points."""
    old, new, crm = unique("card"), unique("card"), unique("crm")
    admin, site = await caller("admin"), await caller("site")
    made = await _register(admin, phone(), cards=[old], external_ids={"crm": crm})
    path = f"{PATH}/{made['id']}"
    taking: list[dict[str, Any]] = [
        {"cards": [new]},
        {"cards": []},
        {"external_ids": {"crm": None}},
        {"external_ids": {"crm": new}},
    ]
    for less in taking:
        refused = await site.patch(path, json=less)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "Support and admin may" in refused.json()["detail"]
    assert (await admin.get(path)).json() == made
    body = {"cards": [old, new], "external_ids": {"site": new, "crm": crm}, "name": "Anna"}
    added = (await site.patch(path, json=body)).json()
    assert (added["cards"], added["external_ids"]) == (
        sorted([old, new]),
        {"site": new, "crm": crm},
    )
    support = await caller("support")
    assert (await support.patch(path, json={"cards": [new]})).json()["cards"] == [new]


async def test_who_does_not_serve_customers_sees_no_person(
    caller: Caller, phone: Phone, unique: Unique
) -> None:
    number = phone()
    body = {"name": "Anna", "email": "a@b.ru", "birth_date": "1990-12-31", "cards": [unique("c")]}
    made = await _register(await caller("admin"), number, **body)
    for role in ("finance", "marketer", "bi"):
        client = await caller(role)
        seen = await client.get(f"{PATH}/{made['id']}")
        hidden = {"phone", "name", "email", "birth_date", "gender", "cards", "external_ids"}
        assert hidden.isdisjoint(seen.json())
        assert number not in seen.text
        assert (await client.get(PATH, params={"phone": number})).json()["items"] == [seen.json()]
        assert (await client.post(PATH, json={"phone": phone()})).status_code == 403
        assert (await client.patch(f"{PATH}/{made['id']}", json={})).status_code == 403


async def test_the_database_knows_no_person(
    admin: httpx.AsyncClient, phone: Phone, shared_database: TestDatabase
) -> None:
    number = phone()
    made = await _register(admin, number, name="Zinaida", email="zina@example.org")
    database = Database(shared_database.url, size=1)
    query = "SELECT c::text FROM billing.customers c WHERE id = $1"
    ((row,),) = await database.fetch(query, made["id"])
    await database.close()
    for secret in (number, "Zinaida", "zina@example.org"):
        assert secret not in row
        assert secret.encode().hex() not in row


async def test_look_ups_that_name_nobody(admin: httpx.AsyncClient, phone: Phone) -> None:
    assert (await admin.get(PATH, params={"phone": phone()})).json()["items"] == []
    assert (await admin.get(f"{PATH}/01890000-0000-7000-8000-000000000000")).status_code == 404
    for params in ({}, {"phone": "1", "card": "2"}, {"external_id": "x"}, {"phone": "x"}):
        assert (await admin.get(PATH, params=params)).status_code == 400
    for method, path in (("GET", f"{PATH}/x"), ("PATCH", f"{PATH}/x")):
        answer = await admin.request(method, path, json={} if method == "PATCH" else None)
        assert answer.json()["errors"][0]["pointer"] == "/path/id"
