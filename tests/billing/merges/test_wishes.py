"""Who wants no messages wants none after a merge either (issue: consent, merge of duplicates)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.billing.merges.test_merges import merged, undo
from tests.billing.verifications.house import House


async def willing(house: House, customer: str) -> bool:
    one = UUID(customer)
    async with house.services.database.transaction() as tx:
        return await house.services.consents.willing(tx, [one]) == {one}


async def stop(house: House, phone: str) -> None:
    """What СТОП by SMS does."""
    async with house.services.database.transaction() as tx:
        await house.services.messages.opt_out(tx, phone, "sms")
    await house.services.consents.withdraw_messages(phone)


async def say(house: House, customer: str, action: str) -> None:
    body = {"kind": "messages", "action": action}
    answer = await (await house.client()).post(f"/v1/customers/{customer}/consents", json=body)
    assert answer.is_success, answer.text


async def consents(house: House, customer: str) -> list[Any]:
    answer = await (await house.client()).get(f"/v1/customers/{customer}/consents")
    return list(answer.json()["items"])


@pytest.fixture
def pair(house: House) -> Any:
    async def make() -> tuple[dict[str, Any], dict[str, Any]]:
        return await house.customer("verified"), await house.customer("verified")

    return make


async def test_a_stop_survives_merges_and_goes_back_with_an_undo(house: House, pair: Any) -> None:
    duplicate, survivor = await pair()
    await stop(house, duplicate["phone"])
    assert await willing(house, survivor["id"])
    merge = await merged(house, duplicate["id"], survivor["id"])
    assert not await willing(house, survivor["id"])
    (shown,) = await consents(house, survivor["id"])
    assert (shown["customer_id"], shown["action"], shown["method"]) == (
        duplicate["id"], "withdrawn", "inbound",
    )  # fmt: skip
    third = await house.customer("verified")
    further = await merged(house, survivor["id"], third["id"])
    assert not await willing(house, third["id"])
    assert (await undo(house, further["id"])).status_code == 200
    assert await willing(house, third["id"])
    assert (await undo(house, merge["id"])).status_code == 200
    assert await willing(house, survivor["id"])
    assert not await willing(house, duplicate["id"])


async def test_a_stop_counts_whichever_of_the_phones_says_it(house: House, pair: Any) -> None:
    duplicate, survivor = await pair()
    await merged(house, duplicate["id"], survivor["id"])
    await stop(house, duplicate["phone"])
    assert not await willing(house, survivor["id"])
    assert not await willing(house, duplicate["id"]), "what waits under the old name, too"
    assert await house.services.consents.withdraw_messages(survivor["phone"]) is False
    await say(house, survivor["id"], "given")
    assert await willing(house, survivor["id"])


async def test_a_phone_that_said_stop_before_it_was_anybodys(house: House, pair: Any) -> None:
    """It is no consent of a customer's, and yet it is the person's word."""
    duplicate, survivor = await pair()
    async with house.services.database.transaction() as tx:
        await house.services.messages.opt_out(tx, duplicate["phone"], "sms")
    await merged(house, duplicate["id"], survivor["id"])
    assert not await willing(house, survivor["id"])
    await say(house, survivor["id"], "given")
    assert await willing(house, survivor["id"])


async def test_the_last_word_of_a_person_counts(house: House, pair: Any) -> None:
    duplicate, survivor = await pair()
    await say(house, duplicate["id"], "withdrawn")
    house.later(days=1)
    await say(house, survivor["id"], "given")
    await merged(house, duplicate["id"], survivor["id"])
    assert await willing(house, survivor["id"])
