"""Events that are sent: birthdays, referrals, and a chain's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from tests.billing.scenarios.house import Chain, refused

DAYS = {"days_before": 3, "days_after": 3, "known_before": 14}


async def test_a_birthday_gives_once_a_year(chain: Chain) -> None:
    program = await chain.scenario("birthday", "50.00", scenario=DAYS)
    customer = await chain.customer(birth_date="1990-04-10")
    chain.now = datetime(2027, 4, 6, 9, tzinfo=UTC)
    early = await chain.send(customer, "birthday")
    assert (early.status_code, early.json()["id"], early.json()["accruals"]) == (201, None, [])
    chain.now += timedelta(days=1)
    first = await chain.send(customer, "birthday")
    assert first.status_code == 201, first.text
    (accrual,) = first.json()["accruals"]
    assert (accrual["program"], accrual["points"], accrual["bucket"]) == (program, "50.00", "promo")
    assert first.json()["balance"]["available"] == "50.00"
    chain.now += timedelta(days=5)
    again = refused(await chain.send(customer, "birthday"), 409, "event_exists")
    assert again["transaction_id"] == first.json()["id"]
    chain.now = datetime(2028, 4, 10, 9, tzinfo=UTC)
    assert (await chain.send(customer, "birthday")).status_code == 201
    assert await chain.balance(customer) == "100.00"


async def test_around_new_year_it_is_one_birthday(chain: Chain) -> None:
    await chain.scenario("birthday", "50.00", scenario=DAYS)
    customer = await chain.customer(birth_date="1990-01-01")
    chain.now = datetime(2027, 12, 30, 9, tzinfo=UTC)
    assert (await chain.send(customer, "birthday")).json()["accruals"]
    chain.now = datetime(2028, 1, 2, 9, tzinfo=UTC)
    refused(await chain.send(customer, "birthday"), 409, "event_exists")
    assert await chain.balance(customer) == "50.00"


async def test_who_enters_the_birthday_late_waits_a_year(chain: Chain) -> None:
    await chain.scenario("birthday", "50.00", scenario=DAYS)
    customer = await chain.customer(birth_date="1990-08-10")
    chain.now = datetime(2027, 4, 9, 9, tzinfo=UTC)
    await chain.change(customer, birth_date="1990-04-10")
    late = (await chain.send(customer, "birthday")).json()
    assert (late["id"], late["accruals"]) == (None, [])
    (why,) = late["explanation"]
    assert why["outcome"] == "nothing"
    assert why["because"] == "The date of birth was entered too late for this birthday."
    chain.now = datetime(2028, 4, 9, 9, tzinfo=UTC)
    assert (await chain.send(customer, "birthday")).json()["accruals"]


async def test_the_29th_of_february_is_kept_on_the_28th(chain: Chain) -> None:
    await chain.scenario("birthday")
    chain.now = datetime(2027, 1, 10, tzinfo=UTC)
    customers = [await chain.customer(birth_date="1992-02-29") for _ in range(3)]
    days = {"2027-02-28": True, "2027-03-01": False, "2028-02-29": True}
    for customer, (day, gives) in zip(customers, days.items(), strict=True):
        chain.now = datetime.fromisoformat(f"{day}T12:00:00+03:00")
        answer = (await chain.send(customer, "birthday")).json()
        assert bool(answer["accruals"]) is gives, (day, answer)


async def test_a_referral_gives_to_both_and_once_a_referred_customer(chain: Chain) -> None:
    await chain.scenario("referral", "70.00")
    await chain.scenario("referral", "20.00", scenario={"to": "referred"})
    anna, boris, vera = [await chain.customer() for _ in range(3)]
    to_boris: dict[str, Any] = {"referred": {"customer_id": boris}}
    first = await chain.send(anna, "referral", key="first", **to_boris)
    assert [one["points"] for one in first.json()["accruals"]] == ["70.00"]
    again = await chain.send(anna, "referral", key="first", **to_boris)
    assert (again.content, again.headers["idempotency-hit"]) == (first.content, "true")
    refused(await chain.send(anna, "referral", **to_boris), 409, "event_exists")
    refused(await chain.send(vera, "referral", **to_boris), 409, "event_exists")
    await chain.send(anna, "referral", referred={"customer_id": vera})
    balances = [await chain.balance(one) for one in (anna, boris, vera)]
    assert balances == ["140.00", "20.00", "20.00"]


async def test_nobody_refers_who_referred_them(chain: Chain) -> None:
    await chain.scenario("referral", "70.00")
    anna, boris, vera = [await chain.customer() for _ in range(3)]
    assert (await chain.send(anna, "referral", referred={"customer_id": boris})).is_success
    circle = await chain.send(boris, "referral", referred={"customer_id": anna})
    refused(circle, 400, "validation_failed")
    assert [fault["pointer"] for fault in circle.json()["errors"]] == ["/referred"]
    assert (await chain.send(boris, "referral", referred={"customer_id": vera})).is_success
    pair = [await chain.customer() for _ in range(2)]
    both = await asyncio.gather(
        *(
            chain.send(one, "referral", referred={"customer_id": other})
            for one, other in (pair, pair[::-1])
        )
    )
    assert sorted(answer.status_code for answer in both) == [201, 400]


async def test_what_a_crash_kept_from_the_referred_comes_with_the_repeat(
    chain: Chain, database: Any
) -> None:
    await chain.scenario("referral", "70.00")
    await chain.scenario("referral", "20.00", scenario={"to": "referred"})
    anna, boris = await chain.customer(), await chain.customer()
    superuser = await asyncpg.connect(database.superuser_url)
    async with superuser.transaction():
        # Nobody has met Boris: his account cannot be opened, Anna's was by her own gift.
        await chain.send(anna, "gift", id="1")
        await superuser.execute("INSERT INTO ledger.balances VALUES ($1, 0, 0, 0, 0, 0, 0)", boris)
        cut = await chain.send(anna, "referral", key="cut", referred={"customer_id": boris})
        refused(cut, 503, "overloaded")
    await superuser.close()
    assert await chain.balance(anna) == "70.00"
    repeat = await chain.send(anna, "referral", key="cut", referred={"customer_id": boris})
    assert repeat.status_code == 201
    assert [await chain.balance(one) for one in (anna, boris)] == ["70.00", "20.00"]


async def test_an_event_of_the_chain_s_own_gives_once_an_occurrence_within_limits(
    chain: Chain,
) -> None:
    await chain.scenario("survey", "40.00", limits={"per_customer_day": "60.00"})
    customer = await chain.customer()
    sums = []
    for number in ("1", "2", "3"):
        given = (await chain.send(customer, "survey", id=number)).json()["accruals"]
        sums.append([one["points"] for one in given])
    assert sums == [["40.00"], ["20.00"], []]
    refused(await chain.send(customer, "survey", id="1"), 409, "event_exists")
    chain.now += timedelta(days=1)
    assert (await chain.send(customer, "survey", id="3")).json()["id"], "nothing was given for it"
    assert await chain.balance(customer) == "100.00"


async def test_an_event_counts_where_it_says_or_where_the_customer_registered(
    chain: Chain,
) -> None:
    await chain.scenario("survey", "5.00", scope={"channels": ["site"]})
    of_site, of_shop = await chain.customer(channel="site"), await chain.customer(channel="shop")
    assert (await chain.send(of_site, "survey", id="1")).json()["accruals"]
    assert not (await chain.send(of_shop, "survey", id="1")).json()["accruals"]
    given = await chain.send(of_shop, "survey", id="2", channel="site")
    assert given.json()["accruals"]
    (transaction,) = await chain.transactions(of_shop)
    assert (transaction["channel"], transaction["receipt"]) == ("site", None)


async def test_the_same_event_of_ten_at_once_gives_once(chain: Chain) -> None:
    """C12, C29."""
    await chain.scenario("survey", "40.00")
    customer = await chain.customer()
    answers = await asyncio.gather(*(chain.send(customer, "survey", id="1") for _ in range(10)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 9
    assert await chain.balance(customer) == "40.00"


async def test_a_budget_is_not_overdrawn_by_many_at_once(chain: Chain) -> None:
    await chain.scenario("survey", "40.00", limits={"budget": "100.00"})
    customers = [await chain.customer() for _ in range(6)]
    await asyncio.gather(*(chain.send(one, "survey", id="1") for one in customers))
    assert sorted([await chain.balance(one) for one in customers]) == [
        *["0.00"] * 3,
        "20.00",
        *["40.00"] * 2,
    ]


async def test_an_event_that_gives_nothing_is_answered_and_not_written(chain: Chain) -> None:
    customer = await chain.customer()
    first = await chain.send(customer, "survey", id="1", key="nothing")
    assert first.status_code == 201
    assert (first.json()["id"], first.json()["explanation"]) == (None, [])
    again = await chain.send(customer, "survey", id="1", key="nothing")
    assert (again.content, again.headers["idempotency-hit"]) == (first.content, "true")
    other = await chain.send(customer, "survey", id="2", key="nothing")
    refused(other, 422, "idempotency_key_reused")
    assert await chain.transactions(customer) == []


async def test_an_event_that_cannot_be_is_refused(chain: Chain) -> None:
    customer = await chain.customer()
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("registration", {"id": "1"}, "/event"),
        ("verification", {"id": "1"}, "/event"),
        ("first_purchase", {"id": "1"}, "/event"),
        ("survey", {}, "/id"),
        ("birthday", {"id": "1"}, "/id"),
        ("referral", {}, "/referred"),
        ("survey", {"id": "1", "referred": {"phone": "+79180000001"}}, "/referred"),
        ("survey", {"id": "1", "occurred_at": "2027-03-03T12:00:00+03:00"}, "/occurred_at"),
        ("survey", {"id": "1", "channel": "moon"}, "/channel"),
    ]
    for event, more, pointer in cases:
        document = refused(await chain.send(customer, event, **more), 400, "validation_failed")
        assert [one["pointer"] for one in document["errors"]] == [pointer], (event, more)


async def test_only_verified_customers_collect_and_only_others_are_referred(chain: Chain) -> None:
    """B20."""
    await chain.scenario("referral", "70.00")
    anna, new = await chain.customer(), await chain.customer("unverified")
    referred: dict[str, Any] = {"referred": {"customer_id": new}}
    refused(await chain.send(new, "survey", id="1"), 409, "customer_not_verified")
    no = refused(
        await chain.send(anna, "referral", key="k", **referred), 409, "customer_not_verified"
    )
    assert no["detail"].startswith("Of the referred: ")
    await chain.change(new, status="verified")
    refused(await chain.send(anna, "referral", key="k", **referred), 409, "customer_not_verified")
    assert (await chain.send(anna, "referral", **referred)).json()["accruals"]
    herself = await chain.send(anna, "referral", referred={"customer_id": anna})
    assert refused(herself, 400, "validation_failed")["errors"][0]["pointer"] == "/referred"
    await chain.change(anna, status="blocked")
    refused(await chain.send(anna, "survey", id="1"), 409, "customer_blocked")
    nobody: dict[str, Any] = {"referred": {"phone": "+79189999999"}}
    refused(await chain.send(new, "referral", **nobody), 404, "not_found")


async def test_a_bound_key_sends_for_its_channel_only(chain: Chain) -> None:
    customer = await chain.customer(channel="shop")
    client = await chain.client("site", "site")
    body = {
        "customer": {"customer_id": customer},
        "event": "survey",
        "id": "1",
        "occurred_at": chain.now.isoformat(),
    }
    headers = {"idempotency-key": "bound"}
    elsewhere = await client.post("/v1/events", json=body | {"channel": "shop"}, headers=headers)
    refused(elsewhere, 403, "forbidden")
    await chain.scenario("survey", "5.00", scope={"channels": ["site"]})
    here = await client.post("/v1/events", json=body, headers=headers)
    assert here.json()["accruals"], here.text
