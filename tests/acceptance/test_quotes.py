"""Quotes: they move nothing, they explain, and a sale that names one happens just so (C25, C35)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.acceptance.conftest import Connect
from tests.acceptance.shop import Shop, done, problem
from tests.acceptance.till import SINCE, Till

SAME = ("lines", "accruals")
THREE_MONTHS = {"count": 3, "every": "P1M"}


async def sell_quoted(till: Till, body: dict[str, Any], quote: Any, **other: Any) -> Any:
    """Post the sale that was quoted."""
    redeem = {"redeem": {"points": quote["redeem"]}} if quote["redeem"] != "0.00" else {}
    body = {name: value for name, value in body.items() if name != "redeem"}
    return await till.shop.post(
        "/v1/receipts", body | redeem | {"quote_id": quote["quote_id"]} | other
    )


async def test_a_quote_and_the_sale_that_follows_agree(till: Till) -> None:
    await till.earns("5")
    await till.publishes(
        reward={"kind": "fixed", "value": "10"},
        bucket="promo",
        available={"after": "P14D", "instalments": {"count": 3, "every": "P1M"}},
    )
    await till.adjust("+70.00")
    body, quote = await till.quote("100.00", "33.33", redeem="max")
    assert (quote["max_redeemable"], quote["redeem"]) == ("70.00", "70.00")
    assert (quote["total"], quote["payable"]) == ("133.33", "63.33")
    sale = done(await sell_quoted(till, body, quote))
    assert {name: sale[name] for name in SAME} == {name: quote[name] for name in SAME}
    assert sale["redeemed"] == quote["redeem"]


@pytest.mark.parametrize(
    "life",
    [
        {"available": {"after": "PT36H", "instalments": {"count": 2, "every": "PT12H"}}},
        {"available": {"after": "P1D"}, "expires": {"after": "PT100H"}},
        {"expires": {"after": "PT1H"}},
    ],
)
async def test_a_quote_of_points_that_live_by_the_hour_holds(
    till: Till, life: dict[str, Any]
) -> None:
    await till.earns("5", **life)
    body, quote = await till.quote("100.00")
    sale = done(await sell_quoted(till, body, quote))
    assert sale["accruals"] == quote["accruals"]


async def test_a_quote_moves_nothing(till: Till, contents: Callable[[], Awaitable[Any]]) -> None:
    await till.earns("5")
    await till.adjust("+70.00")
    before = await contents()
    await till.quote("100.00", redeem="max")
    assert await contents() == before


async def test_the_number_and_the_minute_may_change(till: Till) -> None:
    """A till knows the receipt's number only when it is closed, a little later."""
    await till.earns("5")
    body, quote = await till.quote("100.00")
    later = datetime.fromisoformat(body["receipt"]["occurred_at"]) + timedelta(minutes=3)
    receipt = {**body["receipt"], "number": f"closed-{uuid4()}", "occurred_at": later.isoformat()}
    sale = done(await sell_quoted(till, body, quote, receipt=receipt))
    assert sale["accruals"] == quote["accruals"]


async def changed_balance(till: Till, body: dict[str, Any]) -> None:
    await till.adjust("+1.00")


async def changed_program(till: Till, body: dict[str, Any]) -> None:
    await till.earns("7")


async def changed_goods(till: Till, body: dict[str, Any]) -> None:
    body["receipt"]["lines"][0] |= {"amount": "101.00", "price": "101.00"}


async def changed_place(till: Till, body: dict[str, Any]) -> None:
    store = f"{till.shop.store}-b"
    new = {"name": "another store", "channel": till.shop.channel}
    done(await till.shop.client.put(f"/v1/stores/{store}", json=new))
    body["store"] = store


async def changed_payments(till: Till, body: dict[str, Any]) -> None:
    body["receipt"]["payments"] = [{"type": "cash", "amount": "100.00"}]


@pytest.mark.parametrize(
    "change",
    [changed_balance, changed_program, changed_goods, changed_place, changed_payments],
)
async def test_a_quote_is_stale_when_something_changed(
    till: Till, change: Callable[[Till, dict[str, Any]], Awaitable[None]]
) -> None:
    await till.earns("5")
    body, quote = await till.quote("100.00")
    await change(till, body)
    problem(await sell_quoted(till, body, quote), 409, "quote_stale")
    body, quote = await till.quote("100.00")
    done(await sell_quoted(till, body, quote))


@pytest.mark.parametrize("change", ["publish", "archive"])
async def test_a_quote_does_not_outlive_what_was_published(till: Till, change: str) -> None:
    """A later version, or the end of a program, is not undone by a quote of before."""
    code = await till.publishes(reward={"kind": "percent", "value": "5"})
    body, quote = await till.quote("100.00")
    path, client = f"/v1/programs/{code}", till.shop.client
    if change == "archive":
        done(await client.post(f"{path}/archive"))
    else:
        one = {"name": "1%", "valid_from": SINCE, "reward": {"kind": "percent", "value": "1"}}
        scope = {"scope": {"channels": [till.shop.channel]}}
        done(await client.post(f"{path}/versions", json=one | scope))
        done(await client.post(f"{path}/publish", json={}))
    now = {"occurred_at": datetime.now(UTC).isoformat()}
    receipt = {"receipt": body["receipt"] | now}
    problem(await sell_quoted(till, body, quote, **receipt), 409, "quote_stale")
    # A receipt of before earns by what counted then, quoted or not.
    assert done(await sell_quoted(till, body, quote))["accruals"] == quote["accruals"]


async def test_what_happens_at_other_places_makes_no_quote_stale(till: Till) -> None:
    await till.earns("5")
    other = Till(await Shop(till.shop.client).open())
    elsewhere = await other.publishes(reward={"kind": "percent", "value": "5"})
    body, quote = await till.quote("100.00")
    done(await till.shop.client.post(f"/v1/programs/{elsewhere}/archive"))
    receipt = body["receipt"] | {"occurred_at": datetime.now(UTC).isoformat()}
    done(await sell_quoted(till, body, quote, receipt=receipt))


async def test_points_that_expired_since_the_quote_make_it_stale(till: Till) -> None:
    end = datetime.now(UTC) + timedelta(seconds=5)
    await till.earns("5", expires={"at": end.isoformat()}, valid_to=end.isoformat())
    body, quote = await till.quote("100.00")
    later = {"occurred_at": (end + timedelta(seconds=1)).isoformat()}
    answer = await sell_quoted(till, body, quote, receipt=body["receipt"] | later)
    problem(answer, 409, "quote_stale")


async def test_a_quote_is_of_one_day(till: Till) -> None:
    """What a day's limit leaves, and whose birthday it is, changes at midnight in the store."""
    await till.earns("5")
    body, quote = await till.quote("100.00")
    day_before = datetime.fromisoformat(body["receipt"]["occurred_at"]) - timedelta(days=1)
    earlier = body["receipt"] | {"occurred_at": day_before.isoformat()}
    problem(await sell_quoted(till, body, quote, receipt=earlier), 409, "quote_stale")


async def test_of_very_many_lines_a_quote_explains_the_whole(till: Till) -> None:
    for _ in range(3):
        await till.earns("5", lines={"groups": [till.shop.group]})
    body = till.basket(*["10.00"] * 700)
    told = done(await till.shop.client.post("/v1/quotes", json=body))["explanation"]
    assert [one["outcome"] for one in told] == ["gave"] * 3 + ["omitted"]
    assert "line" not in told[0]
    body["receipt"]["lines"] = body["receipt"]["lines"][:600]
    told = done(await till.shop.client.post("/v1/quotes", json=body))["explanation"]
    assert len(told) == 3 + 3 * 600


async def test_other_points_than_quoted_are_stale(till: Till) -> None:
    await till.adjust("+70.00")
    body, quote = await till.quote("100.00", redeem="50.00")
    answer = await sell_quoted(till, body, quote, redeem={"points": "49.00"})
    problem(answer, 409, "quote_stale")


async def test_another_customers_quote_is_stale(till: Till, connect: Connect) -> None:
    await till.earns("5")
    body, quote = await till.quote("100.00")
    other = await Shop(till.shop.client).open()
    answer = await sell_quoted(till, body, quote, customer={"phone": other.phone})
    problem(answer, 409, "quote_stale")


@pytest.mark.parametrize(
    "quote_id",
    [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "0197f3a2-0000-7000-8000-000000000000",
    ],
)
async def test_an_invented_quote_is_stale(till: Till, quote_id: str) -> None:
    body = till.basket("100.00") | {"quote_id": quote_id}
    problem(await till.shop.post("/v1/receipts", body), 409, "quote_stale")


async def test_a_changed_bit_of_a_quotes_id_is_stale(till: Till) -> None:
    body, quote = await till.quote("100.00")
    for bit in (0, 30, 61, 64, 75):
        forged = UUID(int=UUID(quote["quote_id"]).int ^ (1 << bit))
        answer = await sell_quoted(till, body, quote, quote_id=str(forged))
        problem(answer, 409, "quote_stale")


async def test_two_tills_cannot_both_use_one_promise_of_points(till: Till) -> None:
    """C29: the second sale finds another balance, so its quote is stale."""
    await till.adjust("+100.00")
    quotes = [await till.quote("100.00", redeem="max") for _ in range(5)]
    answers = await asyncio.gather(*(sell_quoted(till, body, quote) for body, quote in quotes))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await till.balance() == "0.00"


async def test_points_held_after_the_quote_do_not_make_it_stale(till: Till) -> None:
    """A website quotes, holds, and posts the sale with the hold."""
    await till.adjust("+70.00")
    await till.earns("5")
    body, quote = await till.quote("100.00", redeem="70.00")
    hold = {key: body[key] for key in ("customer", "channel", "store", "receipt")}
    held = done(await till.shop.post("/v1/redemptions", hold | {"points": "70.00", "mode": "hold"}))
    sale = done(await sell_quoted(till, body, quote, redeem={"redemption_id": held["id"]}))
    assert (sale["redeemed"], sale["accruals"]) == ("70.00", quote["accruals"])


async def test_more_points_than_there_are_or_may_pay(till: Till) -> None:
    await till.adjust("+70.00")
    body = till.basket("100.00") | {"redeem": "80.00"}
    refused = problem(
        await till.shop.client.post("/v1/quotes", json=body), 409, "insufficient_points"
    )
    assert refused["available"] == "70.00"
    body = till.basket("50.00") | {"redeem": "60.00"}
    refused = problem(
        await till.shop.client.post("/v1/quotes", json=body), 400, "validation_failed"
    )
    assert refused["errors"][0]["pointer"] == "/redeem"


@pytest.mark.parametrize(
    ("language", "gave", "why_not"),
    [
        ("en", "5 points", "500"),
        ("ru", "5 бонусов", "500"),
    ],
)
async def test_each_program_says_why(till: Till, language: str, gave: str, why_not: str) -> None:
    gives = await till.publishes(reward={"kind": "percent", "value": "5"})
    waits = await till.publishes(
        reward={"kind": "percent", "value": "5"},
        when={"all": [{"field": "receipt.total", "op": ">=", "value": "500.00"}]},
    )
    answer = await till.shop.client.post(
        "/v1/quotes", json=till.basket("100.00"), headers={"accept-language": language}
    )
    told = {(one.get("program"), one.get("line")): one for one in done(answer)["explanation"]}
    for one in told.values():
        one["because"] = one["because"].replace("\xa0", " ")
    assert told[gives, None]["outcome"] == "gave"
    assert gave in told[gives, None]["because"]
    assert told[waits, None]["outcome"] == "nothing"
    assert why_not in told[waits, None]["because"]


REWARDS: tuple[dict[str, Any], ...] = (
    {"kind": "percent", "value": "7.5"},
    {"kind": "fixed", "value": "13.37"},
    {"kind": "per_amount", "value": "1", "step": "9.99"},
    {"kind": "per_unit", "value": "0.77"},
    {"kind": "brackets", "brackets": [{"from": "0", "value": "1"}, {"from": "90", "value": "3"}]},
)


@pytest.mark.parametrize("seed", range(8))
async def test_any_quote_and_its_sale_agree(till: Till, seed: int) -> None:
    """Random programs with limits, instalments and stacking, random baskets and payments."""
    chance = random.Random(seed)
    policy = chance.choice(("sum", "max", "priority"))
    for number in range(chance.randint(1, 4)):
        await till.publishes(
            reward=chance.choice(REWARDS),
            base=chance.choice(("gross", "net_of_points")),
            rounding={"step": chance.choice(("0.01", "0.5")), "per": "receipt"},
            stacking={"group": f"g-{till.shop.number}", "policy": policy, "priority": number},
            limits=chance.choice(({}, {"per_customer_day": "20.00"}, {"budget": "30.00"})),
            available=chance.choice((None, {"after": "P3D"}, {"instalments": THREE_MONTHS})),
        )
    if chance.random() < 0.5:
        await till.publishes(type="redemption", redemption={"max_share": "40"})
    await till.adjust("+60.00")
    for _ in range(3):
        amounts = [f"{chance.randint(1, 9999) / 100:.2f}" for _ in range(chance.randint(1, 5))]
        body, quote = await till.quote(*amounts, redeem=chance.choice((None, "max")))
        sale = done(await sell_quoted(till, body, quote))
        assert {name: sale[name] for name in SAME} == {name: quote[name] for name in SAME}
        assert sale["redeemed"] == quote["redeem"]
