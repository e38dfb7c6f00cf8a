"""What is kept of a person, and forgetting it while the ledger stands (issue; 152-FZ)."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from billing.messages.tables import messages
from ledger.audit import audit
from tests.billing.merges.test_merges import balance, give, merged
from tests.billing.verifications.house import House, refused
from tests.conftest import TestDatabase

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
NAME, MAIL = "Анна Сергеевна Облепихина", "anna.oblepikhina@example.org"


async def person(house: House, **more: Any) -> dict[str, Any]:
    """A verified customer with everything that can be known of one."""
    customer = await house.verified(
        name=NAME, email=MAIL, birth_date="1990-12-31", seller="Olga", tags=["knits"],
        cards=["4600000000017"], external_ids={"bitrix24": "contact-7788"}, **more,
    )  # fmt: skip
    await give(house, customer["id"], "+70.00", bucket="base")
    return customer


async def export(house: House, customer: str) -> dict[str, Any]:
    answer = await (await house.client("support")).get(f"/v1/customers/{customer}/export")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def erase(house: House, customer: str) -> Any:
    client = await house.client("support")
    body = {"reason": "request 117"}
    return await client.post(f"/v1/customers/{customer}/erase", json=body)


async def everything(database: TestDatabase) -> str:
    """All rows of all tables, as text."""
    connection = await asyncpg.connect(database.superuser_url)
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname IN ('ledger', 'billing')"
    )
    found = []
    for table in tables:
        rows = await connection.fetch(f"SELECT t::text AS row FROM {table['name']} t")
        found += [row["row"] for row in rows]
    await connection.close()
    return "\n".join(found)


async def test_the_export_has_all_there_is(house: House) -> None:
    customer = await person(house)
    told = await export(house, customer["id"])
    assert (told["customer"]["name"], told["customer"]["email"]) == (NAME, MAIL)
    assert told["customer"]["cards"] == ["4600000000017"]
    (consent,) = told["consents"]
    assert "соглашаетесь на обработку" in consent["text"]
    assert [one["state"] for one in told["verifications"]] == ["confirmed"]
    assert (told["balance"]["available"], told["statement_complete"]) == ("70.00", True)
    assert [one["points"] for one in told["statement"]] == ["70.00"]


async def test_the_export_has_messages_and_what_a_duplicate_was(house: House) -> None:
    duplicate, survivor = await house.verified(name="Ольга"), await person(house)
    await give(house, duplicate["id"], "+5.00")
    await merged(house, duplicate["id"], survivor["id"])
    told = await export(house, survivor["id"])
    (other,) = told["duplicates"]
    assert (other["customer"]["id"], other["customer"]["name"]) == (duplicate["id"], "Ольга")
    assert [one["points"] for one in other["statement"]] == ["-5.00", "5.00"]
    assert {one["customer_id"] for one in told["consents"]} == {duplicate["id"], survivor["id"]}
    assert len(told["verifications"]) == 2
    assert [one["purpose"] for one in told["messages"]] == ["verification"] * 2
    assert {one["phone_masked"] for one in told["messages"]} == {
        duplicate["phone_masked"], survivor["phone_masked"],
    }  # fmt: skip
    assert told["written"] == []


async def test_nothing_tells_who_it_was_and_the_ledger_stands(
    house: House, database: TestDatabase
) -> None:
    customer = await person(house)
    keys = (customer["phone"], customer["phone"][1:], customer["phone_masked"])
    house.later(minutes=5)
    await house.started(customer["id"], "redemption")
    assert (await erase(house, customer["id"])).status_code == 200
    again = await erase(house, customer["id"])
    assert again.json()["erased_at"] == (await erase(house, customer["id"])).json()["erased_at"]
    kept = await everything(database)
    for trace in (*keys, NAME, "Облепихина", MAIL, "4600000000017", "contact-7788", "knits"):
        assert trace not in kept
    connection = await asyncpg.connect(database.superuser_url)
    keyless = await connection.fetchrow(
        "SELECT data_key, phone_hash, name_tokens, birth_date FROM billing.customers WHERE id = $1",
        customer["id"],
    )
    assert keyless is not None
    assert set(keyless.values()) == {None}
    waiting = f"SELECT count(*) FROM {messages} WHERE text_encrypted IS NOT NULL"
    assert await connection.fetchval(waiting) == 0
    assert (await audit(connection)).findings == []
    await connection.close()
    shown = (await (await house.client()).get(f"/v1/customers/{customer['id']}")).json()
    assert (shown["status"], shown["phone"], shown["phone_masked"]) == ("blocked", None, "***")
    assert (await balance(house, customer["id"]))["available"] == "70.00"
    told = await export(house, customer["id"])
    assert [(one["action"], one["method"], one["text"]) for one in told["consents"]] == [
        ("withdrawn", "erasure", None), ("given", "code", None),
    ]  # fmt: skip


async def test_who_is_erased_is_found_no_more_and_may_come_again_as_another(house: House) -> None:
    customer = await person(house)
    house.later(minutes=5)
    open_ = await house.started(customer["id"], "redemption", method="sms_reply")
    await erase(house, customer["id"])
    client = await house.client()
    for params in ({"phone": customer["phone"]}, {"card": "4600000000017"}, {"name": "Облеп"}):
        assert (await client.get("/v1/customers", params=params)).json()["items"] == []
    assert (await house.look(open_["id"]))["state"] == "superseded"
    assert await house.services.verifications.confirm_by_reply(customer["phone"], "да") == (
        "not_open"
    )
    path = f"/v1/customers/{customer['id']}"
    refused(await client.patch(path, json={"name": "x"}), 409, "customer_erased")
    refused(await client.patch(path, json={"status": "verified"}), 409, "customer_erased")
    refused(await house.start(customer["id"]), 409, "customer_erased")
    anew = await client.post("/v1/customers", json={"phone": customer["phone"]})
    assert anew.status_code == 201
    assert anew.json()["id"] != customer["id"]


async def test_duplicates_are_erased_with_the_one_they_became(house: House) -> None:
    duplicate, survivor = await house.customer("verified", name="Ольга"), await person(house)
    await merged(house, duplicate["id"], survivor["id"])
    refused(await erase(house, duplicate["id"]), 409, "customer_merged")
    await erase(house, survivor["id"])
    for one in (duplicate, survivor):
        shown = (await (await house.client()).get(f"/v1/customers/{one['id']}")).json()
        assert (shown["phone"], shown["name"]) == (None, None)


async def test_who_is_merged_while_an_erasure_waits_is_erased_too(
    house: House, database: TestDatabase
) -> None:
    """The rows of a person are locked in one order, and looked for again once they are."""
    duplicate, survivor = await house.customer("verified", name="Ольга"), await person(house)
    other = await asyncpg.connect(database.superuser_url)
    merging = other.transaction()
    await merging.start()
    await other.execute("SELECT FROM billing.customers WHERE id = $1 FOR UPDATE", survivor["id"])
    erasing = asyncio.create_task(erase(house, survivor["id"]))
    async with asyncio.timeout(5):
        while not await other.fetchval(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await other.execute(
        "UPDATE billing.customers SET merged_into = $1 WHERE id = $2",
        survivor["id"], duplicate["id"],
    )  # fmt: skip
    await merging.commit()
    await other.close()
    assert (await erasing).status_code == 200
    for one in (duplicate, survivor):
        shown = (await (await house.client()).get(f"/v1/customers/{one['id']}")).json()
        assert (shown["phone"], shown["name"]) == (None, None)
