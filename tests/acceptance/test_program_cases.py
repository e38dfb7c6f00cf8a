"""Cases about programs, quotes and payment, and defects users report elsewhere, over HTTP.

`test_cases.py` has those of the first sales; `tests/billing/returns/test_cases.py` the returns.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.shop import Shop, done, problem
from tests.acceptance.till import SINCE, Till, accrued

TOTAL_500 = {"all": [{"field": "receipt.total", "op": ">=", "value": "500.00"}]}


async def test_t19_a_rule_with_a_code(till: Till) -> None:
    """10 points a receipt with PROMO10: 0 without the code, 10 with it."""
    await till.publishes(
        reward={"kind": "fixed", "value": "10"},
        when={"all": [{"field": "receipt.codes", "op": "has", "value": "PROMO10"}]},
    )
    assert accrued(await till.sell("100.00")) == "0.00"
    body = till.basket("100.00")
    body["receipt"]["codes"] = ["OTHER", "PROMO10"]
    assert accrued(done(await till.shop.post("/v1/receipts", body))) == "10.00"


@pytest.mark.parametrize(
    ("cabinets", "drawers", "balance", "left"),
    [(8, 10, "1000.00", "2605.20"), (8, 10, "200.00", "2994.00"), (1, 0, "1000.00", "294.40")],
)
async def test_t23_a_fifth_of_the_cabinets(
    till: Till, cabinets: int, drawers: int, balance: str, left: str
) -> None:
    """Odoo: cabinets of 320 with 15 % tax (368.00, as a till sells them), two more for nothing,
    drawers of 25.00; 20 % off the cabinets, at most 200 of it."""
    shop = till.shop
    cabinet = f"{shop.group}-cabinets"
    done(await shop.client.put(f"/v1/product-groups/{cabinet}", json={"name": "Cabinets"}))
    await till.publishes(
        type="redemption", lines={"groups": [cabinet]}, redemption={"max_share": "20"}
    )
    await till.adjust(f"+{balance}")
    body = till.basket(f"{368 * cabinets}.00", "0.00", *["25.00"] * drawers)
    whole = {"group": cabinet, "quantity": f"{cabinets}", "price": "368.00"}
    body["receipt"]["lines"][0] |= whole
    body["receipt"]["lines"][1] |= {"group": cabinet, "quantity": "2"}
    quote = done(await shop.client.post("/v1/quotes", json=body | {"redeem": "max"}))
    assert quote["payable"] == left
    sale = done(await shop.post("/v1/receipts", body | {"redeem": {"points": quote["redeem"]}}))
    assert sum(Decimal(line["payable"]) for line in sale["lines"]) == Decimal(left)


@pytest.mark.parametrize(
    ("total", "points", "left"), [("100.00", "30.00", "70.00"), ("1000.00", "100.00", "900.00")]
)
async def test_t33_what_is_left_to_pay(till: Till, total: str, points: str, left: str) -> None:
    await till.adjust("+100.00")
    _, quote = await till.quote(total, redeem=points)
    assert quote["payable"] == left


async def test_c25_t35_t37_the_server_computes_what_is_paid_and_earned(till: Till) -> None:
    """C25, C10. 106 earned, +3, 50 redeemed by one channel: 59. Then 50 on a receipt of 106.00:
    56.00 to pay, 50 less, 56 earned, 65 left (115 was the defect)."""
    await till.earns("100")
    await till.adjust("+59.00")
    body, quote = await till.quote("106.00", redeem="50.00")
    assert quote["payable"] == "56.00"
    sale = done(await till.shop.post("/v1/receipts", body | {"redeem": {"points": "50.00"}}))
    assert (sale["redeemed"], accrued(sale)) == ("50.00", "56.00")
    assert await till.balance() == "65.00"


@pytest.mark.parametrize(("redeem", "payable"), [("10.00", "0.00"), ("33.33", "0.00")])
async def test_t42_a_wallet_pays_what_it_says(till: Till, redeem: str, payable: str) -> None:
    """C26: gross amounts; no round trip over taxes costs a hundredth."""
    await till.adjust(f"+{redeem}")
    _, quote = await till.quote(redeem, redeem="max")
    assert (quote["redeem"], quote["payable"]) == (redeem, payable)


async def test_t43_two_gift_cards_leave_nothing_not_minus_one_hundredth(till: Till) -> None:
    """41.31 + 21 % twice is 49.99 a line; two cards of 50."""
    await till.adjust("+50.00")
    await till.adjust("+50.00")
    _, quote = await till.quote("49.99", "49.99", redeem="max")
    assert (quote["redeem"], quote["payable"]) == ("99.98", "0.00")


async def test_t50_c33_an_offline_till_replays_by_its_own_time(till: Till) -> None:
    """C33. Accruals are posted later, by the till's time and the program of that time; points
    that are not there are refused, not owed."""
    await till.earns("5", valid_to=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    late = till.basket("100.00")
    late["receipt"]["occurred_at"] = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    unpaid = till.basket("100.00", points="20.00")
    operations = [
        {"kind": kind, "idempotency_key": body["receipt"]["number"], "body": body}
        for kind, body in (("accrual", late), ("receipt", unpaid))
    ]
    results = done(await till.shop.client.post("/v1/batches", json={"operations": operations}))
    first, second = results["results"]
    assert (first["status"], accrued(first["body"])) == (201, "5.00")
    assert (second["status"], second["body"]["code"]) == (409, "insufficient_points")


async def test_t50_a_blocked_customer_is_an_error(till: Till) -> None:
    found = done(await till.shop.client.get("/v1/customers", params={"phone": till.shop.phone}))[
        "items"
    ][0]
    blocked = {"status": "blocked"}
    done(await till.shop.client.patch(f"/v1/customers/{found['id']}", json=blocked))
    answer = await till.shop.post("/v1/receipts", till.basket("100.00"))
    problem(answer, 409, "customer_blocked")


@pytest.mark.parametrize(
    ("amount", "accepted"), [("100.00", True), ("99.99", True), ("99.97", False)]
)
async def test_t52_sums_that_miss_by_more_than_the_tolerance(
    till: Till, amount: str, accepted: bool
) -> None:
    body = till.basket("100.00")
    body["receipt"]["lines"][0] |= {"quantity": "2", "price": "50.00", "amount": amount}
    answer = await till.shop.post("/v1/receipts", body)
    assert answer.status_code == (201 if accepted else 400)


async def test_c14_only_closed_receipts_give_points(till: Till) -> None:
    """A quote is a draft, and gives nothing to anybody."""
    await till.earns("5")
    await till.quote("100.00")
    assert (await till.balance(), await till.statement()) == ("0.00", [])


async def test_c15_paying_is_not_buying(till: Till) -> None:
    """A payment with points, held or at once, earns nothing; only the sale does."""
    await till.earns("10")
    await till.adjust("+50.00")
    done(await till.redeem("50.00", "100.00"))
    assert await till.statement() == ["50.00", "-50.00"]


async def test_c16_one_document_earns_once(till: Till) -> None:
    """The order imported again under another key is the same receipt."""
    await till.earns("10")
    body = till.basket("100.00")
    done(await till.shop.post("/v1/receipts", body))
    for path in ("/v1/receipts", "/v1/accruals"):
        problem(await till.shop.post(path, body), 409, "receipt_exists")
    assert await till.balance() == "10.00"


async def test_c17_what_points_pay_is_no_unit_sold(till: Till) -> None:
    """Five units earn five, whether or not points pay a part of them."""
    await till.publishes(reward={"kind": "per_unit", "value": "1"})
    await till.adjust("+10.00")
    body = till.basket("50.00", points="10.00")
    body["receipt"]["lines"][0] |= {"quantity": "5", "price": "10.00"}
    assert accrued(done(await till.shop.post("/v1/receipts", body))) == "5.00"


async def test_c17_a_gift_on_a_line_of_its_own_is_no_unit_sold(till: Till) -> None:
    """odoo#150833: five units and a gift earned six."""
    await till.publishes(reward={"kind": "per_unit", "value": "1"}, base="gross")
    body = till.basket("50.00", "0.00")
    body["receipt"]["lines"][0] |= {"quantity": "5", "price": "10.00"}
    sale = done(await till.shop.post("/v1/receipts", body))
    assert accrued(sale) == "5.00"
    assert [len(line["accruals"]) for line in sale["lines"]] == [1, 0]


@pytest.mark.parametrize(("base", "earned"), [("gross", "10.00"), ("net_of_points", "5.00")])
async def test_c18_c34_the_base_is_said(till: Till, base: str, earned: str) -> None:
    await till.earns("10", base=base)
    await till.adjust("+50.00")
    assert accrued(await till.sell("100.00", points="50.00")) == earned


@pytest.mark.parametrize(
    ("amounts", "earned"),
    [(["499.99"], "0.00"), (["500.00"], "25.00"), (["250.00", "250.00"], "25.00"),
     (["499.98", "0.01"], "0.00"), (["500.01"], "25.00")],
)  # fmt: skip
async def test_c21_a_minimum_is_kept(till: Till, amounts: list[str], earned: str) -> None:
    await till.publishes(reward={"kind": "percent", "value": "5"}, when=TOTAL_500)
    assert accrued(await till.sell(*amounts)) == earned


async def test_c23_one_payable_total(till: Till) -> None:
    """What a quote says is payable, the lines and their printing all are one sum."""
    await till.adjust("+33.33")
    _, quote = await till.quote("100.00", "0.99", "33.34", redeem="max")
    lines = sum(_hundredths(line["payable"]) for line in quote["lines"])
    printed = sum(_hundredths(part["amount"]) for line in quote["lines"] for part in line["print"])
    assert lines == printed == _hundredths(quote["payable"]) == 134_33 - 33_33


async def test_c31_c32_every_lot_expires_by_its_own_date(till: Till) -> None:
    """Whatever the program, bucket or name; and all of them are listed."""
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    later = (datetime.now(UTC) + timedelta(days=5)).isoformat()
    await till.publishes(
        reward={"kind": "fixed", "value": "7"}, expires={"at": soon}, valid_to=soon
    )
    await till.publishes(
        reward={"kind": "fixed", "value": "9"},
        bucket="promo",
        expires={"at": later},
        valid_to=later,
    )
    await till.sell("100.00")
    balance = await till.read("balance")
    expiring = [(one["points"], one["bucket"]) for one in balance["expiring"]]
    assert expiring == [("7.00", "base"), ("9.00", "promo")]


async def test_c35_a_sale_sent_again_is_not_discounted_again(till: Till) -> None:
    await till.adjust("+50.00")
    body, quote = await till.quote("100.00", redeem="20.00")
    body |= {"redeem": {"points": "20.00"}, "quote_id": quote["quote_id"]}
    first = await till.shop.post("/v1/receipts", body, key=f"sync-{till.shop.store}")
    again = await till.shop.post("/v1/receipts", body, key=f"sync-{till.shop.store}")
    assert (again.json(), again.headers["idempotency-hit"]) == (first.json(), "true")
    assert await till.balance() == "30.00"


async def test_c36_points_by_mistake_are_taken_back_with_a_reason(till: Till) -> None:
    await till.adjust("+50.00")
    await till.adjust("-50.00")
    assert await till.statement() == ["50.00", "-50.00"]
    body: dict[str, Any] = {"customer": {"phone": till.shop.phone}, "points": "-1.00"}
    answer = await till.shop.post("/v1/adjustments", body)
    assert {one["pointer"] for one in problem(answer, 400, "validation_failed")["errors"]} == {
        "/reason"
    }


async def test_a_program_of_one_store_group_and_goods(till: Till) -> None:
    """B12: site, store or group of stores, product or product group, nested."""
    client, shop = till.shop.client, till.shop
    child = f"{shop.group}-child"
    done(await client.put(f"/v1/product-groups/{child}", json={"name": "c", "parent": shop.group}))
    store = {"name": "a store", "channel": shop.channel, "group": f"region-{shop.number}"}
    done(await client.put(f"/v1/stores/{shop.store}", json=store))
    await till.publishes(
        reward={"kind": "percent", "value": "10"},
        scope={"channels": [shop.channel], "store_groups": [f"region-{shop.number}"]},
        lines={"groups": [shop.group]},
    )
    body = till.basket("100.00")
    body["receipt"]["lines"][0] |= {"sku": "unheard-of", "group": child}
    assert accrued(done(await shop.post("/v1/receipts", body))) == "10.00"
    elsewhere = await Shop(client).open()
    other = Till(elsewhere).basket("100.00")
    assert accrued(done(await elsewhere.post("/v1/receipts", other))) == "0.00"


async def test_a_published_version_explains_old_receipts(till: Till) -> None:
    """Retroactive change is refused; a receipt keeps the version it used."""
    code = await till.publishes(reward={"kind": "percent", "value": "10"})
    first = await till.sell("100.00")
    change = {
        "name": "less",
        "valid_from": SINCE,
        "scope": {"channels": [till.shop.channel]},
        "reward": {"kind": "percent", "value": "1"},
    }
    client = till.shop.client
    done(await client.post(f"/v1/programs/{code}/versions", json=change))
    past = {"from": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    answer = await client.post(f"/v1/programs/{code}/publish", json=past)
    assert problem(answer, 400, "validation_failed")["errors"][0]["pointer"] == "/from"
    done(await client.post(f"/v1/programs/{code}/publish", json={}))
    second = await till.sell("100.00")
    assert [sale["accruals"][0]["version"] for sale in (first, second)] == [1, 2]
    assert (accrued(first), accrued(second)) == ("10.00", "1.00")


def _hundredths(amount: str) -> int:
    return int(Decimal(amount) * 100)
