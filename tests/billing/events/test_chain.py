"""What a running chain does is told: through the API, as subscribers would see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from billing.common.settings import Settings
from tests.billing.events.consumer import Consumer, data_of
from tests.billing.events.test_journal import valid
from tests.billing.scenarios.house import Chain, opened


@pytest.fixture
async def chain(settings: Settings) -> AsyncIterator[Chain]:
    async with opened(settings) as made:
        yield made


async def test_customers_programs_sales_and_returns_are_told(
    chain: Chain, consumer: Consumer
) -> None:
    program = await chain.scenario("verification", "100.00")
    (published,) = await consumer.catch_up()
    assert valid([published]) == ["program.published"]
    assert data_of(published)["program"] == program

    customer = await chain.customer("unverified")
    await chain.change(customer, status="verified")
    told = await consumer.catch_up()
    assert valid(told) == ["customer.registered", "customer.verified", "points.accrued"]
    assert {str(event.customer_id) for event in told} == {customer}
    assert data_of(told[0])["status"] == "unverified"

    body = {"code": "base", "name": "10%", "type": "accrual", "reward": {"kind": "percent"}}
    body |= {
        "valid_from": "2027-01-01T00:00:00+03:00",
        "reward": {"kind": "percent", "value": "10"},
    }
    client = await chain.client()
    assert (await client.post("/v1/programs", json=body | {"bucket": "base"})).is_success
    assert (await client.post("/v1/programs/base/publish", json={})).is_success
    await chain.sell(customer, "0001-7", "2")
    await chain.bring_back("R-1", "0001-7", "1")
    published, accrued, returned = await consumer.catch_up()
    assert valid([published, accrued, returned])[1:] == ["points.accrued", "receipt.returned"]
    assert data_of(accrued)["receipt"] == "0001-7"
    assert data_of(accrued)["store"] == "333"
    data = data_of(returned)
    assert (data["receipt"], data["number"], data["corrects"]) == (
        "0001-7",
        "R-1",
        data_of(accrued)["transaction_id"],
    )
    assert (data["points"]["total"], data["revoked"]["base"], data["owed"]) == (
        "-5.00",
        "5.00",
        "0.00",
    )


async def test_nothing_personal_is_told(chain: Chain, consumer: Consumer) -> None:
    person: dict[str, Any] = {"name": "Anna", "birth_date": "1990-12-31", "seller": "Olga"}
    person |= {"email": "anna@example.org", "cards": ["2900000000024"]}
    await chain.customer(phone="+79167654321", external_ids={"crm": "crm-no-7"}, **person)
    told = b" ".join(event.body() for event in await consumer.catch_up())
    assert b"customer.registered" in told
    secrets = (
        b"Anna",
        b"1990-12",
        b"Olga",
        b"example.org",
        b"2900000000024",
        b"crm-no",
        b"9167654321",
    )
    assert [one for one in secrets if one in told] == []
