"""Worked cases of other loyalty systems, and defects their users report, over HTTP.

A point is worth a unit of money here, so a reward that costs points is a payment with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import httpx
import pytest

from tests.acceptance.conftest import Connect
from tests.acceptance.shop import Shop, done, fresh_key, problem
from tests.acceptance.till import Till, accrued


async def test_t9_collected_given_by_hand_and_redeemed(till: Till) -> None:
    """10 × 1,000 at a factor of 1,000 money a point; +75 with a reason; redeem 10: 75 left."""
    await till.earns("0.1")
    assert accrued(await till.sell(*["1000.00"] * 10)) == "10.00"
    await till.adjust("+75.00")
    assert done(await till.redeem("10.00", "100.00"))["points"] == "10.00"
    assert await till.statement() == ["10.00", "75.00", "-10.00"]
    assert await till.balance() == "75.00"


async def test_t10_net_of_what_points_paid(till: Till) -> None:
    """RetailCRM: +347.8, -247, +215.1 at 10 %: balance 315.9 of an orders' sum of 5,629."""
    await till.earns("10")
    first = await till.sell("3478.00")
    second = await till.sell("2398.00", points="247.00")
    assert (accrued(first), second["redeemed"], accrued(second)) == ("347.80", "247.00", "215.10")
    payable = [Decimal(line["payable"]) for sale in (first, second) for line in sale["lines"]]
    assert sum(payable) == Decimal("5629.00")
    assert await till.balance() == "315.90"


async def test_t11_base_before_reward(till: Till) -> None:
    """C18. 265.00 at 0.1 a unit, 100 points paid with: won 26.5, spent 100, to pay 165.00."""
    await till.earns("10", base="gross")
    await till.adjust("+100.00")
    sale = await till.sell("265.00", points="100.00")
    assert (accrued(sale), sale["redeemed"]) == ("26.50", "100.00")
    assert [line["payable"] for line in sale["lines"]] == ["165.00"]
    slip = sale["slip"]
    assert (slip["accrued"], slip["paid_with_points"]) == ("26.50", "100.00")
    assert slip["balance_total"] == await till.balance() == "26.50"


@pytest.mark.parametrize(
    ("base", "points", "expected"),
    [("gross", "50.00", "600.00"), ("net_of_points", "50.00", "300.00"), ("gross", None, "600.00")],
)
async def test_t12_600_percent(till: Till, base: str, points: str | None, expected: str) -> None:
    """C18. 100 × 6 points with a reward claimed: 600 before the reward, 300 after half."""
    await till.earns("600", base=base)
    await till.adjust("+50.00")
    assert accrued(await till.sell("100.00", points=points)) == expected


async def test_t13_the_clients_cost_is_no_price(till: Till) -> None:
    """Card 50, buy 100 at a point a unit, reward of 5; the client says it costs 1: used 5."""
    await till.earns("100", base="gross")
    await till.adjust("+50.00")
    sale = till.basket("100.00", points="5.00")
    for cost in (
        {"redeem": {"points": "5.00", "cost": "1.00"}},
        {"cost": "1.00"},
        {"accruals": [{"points": "999.00"}]},
    ):
        refused = await till.shop.post("/v1/receipts", sale | cost)
        problem(refused, 400, "validation_failed")
    assert await till.balance() == "50.00"
    posted = done(await till.shop.post("/v1/receipts", sale))
    assert (posted["redeemed"], accrued(posted)) == ("5.00", "100.00")
    assert await till.balance() == "145.00"


async def test_t13_points_pay_no_more_than_the_receipt(till: Till) -> None:
    await till.adjust("+50.00")
    refused = await till.shop.post("/v1/receipts", till.basket("20.00", points="20.01"))
    assert problem(refused, 400, "validation_failed")["errors"][0]["pointer"] == "/redeem/points"
    assert (await till.sell("20.00", points="20.00"))["redeemed"] == "20.00"
    assert await till.balance() == "30.00"


async def test_t15_what_a_sale_earns_does_not_pay_it(till: Till) -> None:
    """Balance 3, earns 1, the reward costs 5: refused, and nothing is posted."""
    await till.earns("10")
    await till.adjust("+3.00")
    refused = await till.shop.post("/v1/receipts", till.basket("10.00", points="5.00"))
    assert problem(refused, 409, "insufficient_points")["available"] == "3.00"
    refused = await till.shop.post("/v1/receipts", till.basket("10.00", points="3.50"))
    problem(refused, 409, "insufficient_points")
    assert await till.statement() == ["3.00"]


async def test_t22_two_rewards_of_one_sale(till: Till) -> None:
    """4 points, +1 earned, rewards of 1 and 2: used 3, balance 2."""
    await till.earns("10", base="gross")
    await till.adjust("+4.00")
    sale = await till.sell("3.00", "7.00", points="3.00")
    assert (accrued(sale), sale["redeemed"]) == ("1.00", "3.00")
    assert [line["points_paid"] for line in sale["lines"]] == ["0.90", "2.10"]
    assert await till.balance() == "2.00"


async def racing(count: int, ask: Callable[[int], Awaitable[httpx.Response]]) -> list[int]:
    """The statuses of as many requests at once, sorted; a refusal must say what there was."""
    answers = await asyncio.gather(*(ask(n) for n in range(count)))
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "insufficient_points")
    return sorted(answer.status_code for answer in answers)


async def test_t45_20_parallel_spends_of_the_whole_balance(till: Till) -> None:
    await till.adjust("+100.00")
    assert await racing(20, lambda n: till.redeem("100.00", "100.00")) == [201] + [409] * 19
    assert await till.balance() == "0.00"
    assert await till.statement() == ["100.00", "-100.00"]


async def test_c29_parallel_spends_by_every_way(till: Till) -> None:
    """As a sale, as a redemption, as a hold: 250 points pay two of nine times 100."""
    await till.adjust("+250.00")

    async def spend(n: int) -> httpx.Response:
        if n % 3 == 0:
            basket = till.basket("100.00", points="100.00")
            return await till.shop.post("/v1/receipts", basket)
        mode = {"points": "100.00", "mode": ("capture", "hold")[n % 3 - 1]}
        return await till.shop.post("/v1/redemptions", till.basket("100.00") | mode)

    assert await racing(9, spend) == [201] * 2 + [409] * 7
    assert await till.balance() == "50.00"


async def test_t46_the_same_receipt_twice(till: Till) -> None:
    """Same key: the first result again, one entry. Key with another body: a conflict."""
    await till.earns("10")
    sale, key = till.basket("100.00"), fresh_key()
    first = await till.shop.post("/v1/receipts", sale, key=key)
    again = await till.shop.post("/v1/receipts", sale, key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert "idempotency-hit" not in first.headers
    assert again.headers["idempotency-hit"] == "true"
    other = await till.shop.post("/v1/receipts", till.basket("100.00"), key=key)
    problem(other, 422, "idempotency_key_reused")
    assert await till.statement() == ["10.00"]


async def test_c10_one_ledger_for_all_channels(
    till: Till, shop: Shop, admin: httpx.AsyncClient
) -> None:
    """erpnext#59050: earned at one channel (106 + 3), 50 spent at another: deducted there."""
    await till.earns("100")
    await till.sell("106.00")
    await till.sell("3.00")
    elsewhere = await Shop(admin).open()
    sale = elsewhere.sale(elsewhere.line("106.00"), redeem={"points": "50.00"})
    sale["customer"] = {"phone": shop.phone}
    posted = done(await elsewhere.post("/v1/receipts", sale))
    assert (posted["redeemed"], posted["lines"][0]["payable"]) == ("50.00", "56.00")
    assert await till.balance() == "59.00"
    assert await till.statement() == ["106.00", "3.00", "-50.00"]


async def test_c11_an_offline_till_syncs_again_and_again(till: Till) -> None:
    """Its queue is sent one by one and as a batch, in part and in whole: each sale counts once."""
    await till.earns("10")
    queue = [(fresh_key(), till.basket("100.00")) for _ in range(5)]
    batch = {
        "mode": "independent",
        "operations": [
            {"kind": "accrual", "idempotency_key": key, "body": body} for key, body in queue
        ],
    }
    for key, body in queue[:3]:
        done(await till.shop.post("/v1/accruals", body, key=key))
    for _ in range(2):
        results = done(await till.shop.client.post("/v1/batches", json=batch))["results"]
        assert [result["status"] for result in results] == [201] * 5
    for key, body in queue:
        done(await till.shop.post("/v1/accruals", body, key=key))
    assert await till.balance() == "50.00"
    assert await till.statement() == ["10.00"] * 5


async def test_c12_confirmed_twice(till: Till) -> None:
    """The button pressed twice, the line cut between: one answer, one capture, one entry."""
    await till.adjust("+100.00")
    body = till.basket("80.00") | {"points": "max", "mode": "hold"}
    held = done(await till.shop.post("/v1/redemptions", body))
    assert (held["status"], held["points"]) == ("held", "80.00")
    path, key = f"/v1/redemptions/{held['id']}/capture", fresh_key()
    answers = await asyncio.gather(*(till.shop.post(path, {}, key=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-hit" in answer.headers for answer in answers) == 4
    problem(await till.shop.post(path, {}), 409, "hold_not_open")
    assert await till.balance() == "20.00"


async def test_c13_two_tabs_post_one_receipt(till: Till) -> None:
    """Two keys, one receipt number: one sale; the other hears which it is."""
    await till.earns("10")
    sale = till.basket("100.00")
    answers = await asyncio.gather(*(till.shop.post("/v1/receipts", sale) for _ in range(6)))
    posted = [answer for answer in answers if answer.status_code == 201]
    assert len(posted) == 1
    for answer in answers:
        if answer is not posted[0]:
            refused = problem(answer, 409, "receipt_exists")
            assert refused["transaction_id"] == posted[0].json()["id"]
    assert await till.statement() == ["10.00"]


async def test_c19_only_what_was_used_is_burned(till: Till) -> None:
    """30 points, an order of 20: 20 are spent, 10 stay."""
    await till.adjust("+30.00")
    spent = done(await till.redeem("max", "20.00"))
    assert spent["points"] == "20.00"
    assert [line["points_paid"] for line in spent["lines"]] == ["20.00"]
    assert await till.balance() == "10.00"


async def test_c22_100_60_is_paid_in_full(till: Till) -> None:
    """Points have decimals, so nothing is left to pay."""
    await till.adjust("+150.00")
    sale = await till.sell("100.60", points="100.60")
    assert sale["lines"][0]["payable"] == "0.00"
    assert await till.balance() == "49.40"


@pytest.mark.parametrize(
    ("amount", "percent", "points"),
    [("290.00", "10", "29.00"), ("0.29", "100", "0.29"), ("1.13", "100", "1.13"),
     ("4.35", "100", "4.35"), ("1.10", "110", "1.21"), ("1000000.07", "7", "70000.00")],
)  # fmt: skip
async def test_c24_no_float_noise(till: Till, amount: str, percent: str, points: str) -> None:
    """erpnext PR#45817: 290 × 0.1 is 29.00; in floats 0.29 × 100 is 28.999999999999996."""
    await till.earns(percent)
    assert accrued(await till.sell(amount)) == points
    assert await till.balance() == points


async def test_t45_by_several_keys_of_one_store(connect: Connect, till: Till) -> None:
    """Bound tills, each its own connection: the store's second till is told no at once."""
    await till.adjust("+100.00")
    tills = [await connect("pos", till.shop.channel, till.shop.store) for _ in range(4)]

    async def spend(n: int) -> httpx.Response:
        body = till.basket("100.00") | {"points": "100.00", "mode": "capture"}
        del body["channel"], body["store"]
        return await till.shop.post("/v1/redemptions", body, client=tills[n % 4])

    assert await racing(8, spend) == [201] + [409] * 7
    assert await till.balance() == "0.00"
