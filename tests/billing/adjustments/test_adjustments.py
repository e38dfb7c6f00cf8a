"""POST /v1/adjustments (spec: Quote, sale, accrual, redemption, return; C36)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from billing.adjustments.schemas import AdjustmentOut
from billing.common.auth import Role
from billing.customers.model import Status
from ledger.commands import PlaceHold
from ledger.ids import uuid7
from tests.billing.balances.house import DAY, START, House

PATH = "/v1/adjustments"


async def adjust(
    house: House, customer: UUID, role: Role = "finance", /, key: str | None = None, **body: Any
) -> httpx.Response:
    body = {
        "customer": {"customer_id": str(customer)},
        "points": "+10.00",
        "reason": "Compensation, claim 4711",
        **body,
    }
    headers = {"idempotency-key": key or str(uuid7())}
    return await (await house.client(role)).post(PATH, json=body, headers=headers)


async def available(house: House, customer: UUID) -> str:
    return str((await house.get(f"/v1/customers/{customer}/balance"))["available"])


async def test_points_are_given_with_a_reason_and_an_author(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 300)

    answer = await adjust(
        house,
        customer,
        bucket="promo",
        available_from=(START + DAY).isoformat(),
        expires_at=(START + 3 * DAY).isoformat(),
    )

    assert answer.status_code == 201
    body = answer.json()
    msgspec.convert(body, AdjustmentOut)
    assert (body["points"], body["bucket"]) == ("10.00", "promo")
    assert body["reason"] == "Compensation, claim 4711"
    assert body["occurred_at"] == "2027-03-01T12:00:00+03:00"
    assert body["balance"] == await house.get(f"/v1/customers/{customer}/balance")
    assert body["balance"]["future_accruals"] == [
        {"at": "2027-03-02T12:00:00+03:00", "points": "10.00", "bucket": "promo", "program": None}
    ]
    posted = await house.get(f"/v1/ledger/transactions/{body['id']}")
    assert (posted["kind"], posted["author"]) == ("adjustment", "the finance")
    assert posted["reason"] == "Compensation, claim 4711"
    (posting,) = posted["postings"]
    assert (posting["debit"], posting["credit"]) == ("adjustment", "deferred")
    house.clock.now = START + DAY
    assert await available(house, customer) == "13.00"
    house.clock.now = START + 3 * DAY
    assert await available(house, customer) == "3.00"


async def test_points_are_taken_from_their_bucket_only_and_never_more_than_there_are(
    house: House,
) -> None:
    customer = await house.customer()
    await house.accrue(customer, 500)
    await house.accrue(customer, 900, "promo")
    await house.do(customer, "hold", PlaceHold(900, START + DAY))

    refused = await adjust(house, customer, points="-5.01")
    promo = await adjust(house, customer, points="-0.01", bucket="promo")
    taken = await adjust(house, customer, points="-5.00")

    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_points")
    assert refused.json()["available"] == "5.00"
    assert (promo.status_code, promo.json()["available"]) == (409, "0.00")
    assert (taken.status_code, taken.json()["points"]) == (201, "-5.00")
    assert taken.json()["balance"]["available"] == "0.00"
    assert taken.json()["balance"]["held"] == "9.00"


@pytest.mark.parametrize("status", ["unverified", "blocked"])
async def test_finance_puts_right_customers_that_may_not_buy(house: House, status: Status) -> None:
    customer = await house.customer(status)

    answer = await adjust(house, customer)

    assert (answer.status_code, answer.json()["balance"]["available"]) == (201, "10.00")


async def test_a_repeated_key_hears_the_first_answer(house: House) -> None:
    customer = await house.customer()

    first = await adjust(house, customer, key="k1")
    again = await adjust(house, customer, key="k1")
    other = await adjust(house, customer, key="k1", points="+20.00")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert "idempotency-hit" not in first.headers
    assert again.headers["idempotency-hit"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await available(house, customer) == "10.00"


async def test_a_refusal_by_the_state_is_kept(house: House) -> None:
    customer = await house.customer()
    stranger = uuid4()

    no = await adjust(house, customer, key="k1", points="-1.00")
    await house.accrue(customer, 500)
    again = await adjust(house, customer, key="k1", points="-1.00")
    unknown = [await adjust(house, stranger, key="k2") for _ in range(2)]

    assert (no.status_code, again.status_code) == (409, 409)
    assert no.json() == again.json()
    assert await available(house, customer) == "5.00"
    assert [one.status_code for one in unknown] == [404, 404]
    assert unknown[1].headers["idempotency-hit"] == "true"
    assert unknown[1].headers["content-type"] == "application/problem+json"


async def test_a_date_that_passed_between_two_attempts_changes_no_answer(house: House) -> None:
    customer = await house.customer()
    soon = (START + DAY).isoformat()

    first = await adjust(house, customer, key="k1", expires_at=soon)
    house.clock.now = START + DAY
    again = await adjust(house, customer, key="k1", expires_at=soon)
    late = await adjust(house, customer, key="k2", expires_at=soon)
    later = await adjust(house, customer, key="k2", expires_at=(START + 2 * DAY).isoformat())

    assert first.status_code == 201
    assert again.json() == first.json()
    assert (late.status_code, late.json()["code"]) == (400, "validation_failed")
    assert late.json()["errors"] == [{"pointer": "/expires_at", "detail": "must be in the future"}]
    assert later.status_code == 201
    assert await available(house, customer) == "10.00"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"points": "0.00"}, "/points"),
        ({"points": "-0"}, "/points"),
        ({"points": 10}, "/points"),
        ({"points": "1e3"}, "/points"),
        ({"points": "NaN"}, "/points"),
        ({"points": "1.001"}, "/points"),
        ({"points": "9" * 20}, "/points"),
        ({"reason": ""}, "/reason"),
        ({"reason": " \u00a0 "}, "/reason"),
        ({"reason": "a\nb"}, "/reason"),
        ({"reason": "a\u202eb"}, "/reason"),
        ({"reason": "x" * 501}, "/reason"),
        ({"reason": None}, "/reason"),
        ({"bucket": "gift"}, "/bucket"),
        ({"customer": {}}, "/customer"),
        ({"customer": {"phone": "12"}}, "/customer/phone"),
        ({"expires_at": "2027-03-02T12:00:00"}, "/expires_at"),
        ({"expires_at": START.isoformat()}, "/expires_at"),
        ({"points": "-1.00", "expires_at": (START + DAY).isoformat()}, "/expires_at"),
        ({"points": "-1.00", "available_from": (START + DAY).isoformat()}, "/available_from"),
        (
            {
                "available_from": (START + DAY).isoformat(),
                "expires_at": (START + DAY).isoformat(),
            },
            "/expires_at",
        ),
        ({"channel": "shop"}, "/channel"),
    ],
)
async def test_what_is_not_an_adjustment_is_named_and_not_kept(
    shared_house: House, change: dict[str, Any], pointer: str
) -> None:
    customer, key = await shared_house.customer(), str(uuid7())

    answer = await adjust(shared_house, customer, key=key, **change)
    good = await adjust(shared_house, customer, key=key, reason="Возврат по жалобе № 4711")

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert good.status_code == 201


async def test_only_finance_and_admin_with_a_key(house: House) -> None:
    customer = await house.customer()
    client = await house.client("finance")

    assert (await adjust(house, customer, "admin")).status_code == 201
    for role in ("pos", "site", "marketer", "support", "bi"):
        assert (await adjust(house, customer, role)).status_code == 403
    keyless = await client.post(PATH, json={})
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_missing")


async def test_an_available_from_that_has_passed_means_now(house: House) -> None:
    customer = await house.customer()

    await adjust(house, customer, available_from=(START - DAY).isoformat())

    (lot,) = await house.pages(f"/v1/customers/{customer}/lots", 10)
    assert (lot["available"], lot["available_from"]) == ("10.00", "2027-03-01T12:00:00+03:00")
