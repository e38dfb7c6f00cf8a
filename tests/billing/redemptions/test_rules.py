"""What points may pay: rules of redemption at the till (spec: Programs, type `redemption`)."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from tests.acceptance.shop import Shop, done, problem
from tests.billing.redemptions.paying import Payer, paid
from tests.conftest import TestDatabase

HOLD = {"mode": "hold"}


async def test_t34_at_most_half_of_the_order(payer: Payer) -> None:
    """r_keeper: 100 points, at most 50 % of the order, order of 120: at most 60."""
    await payer.adjust("+100.00")
    await payer.rule(max_share="50")
    assert await payer.refused("60.01", payer.line("120.00")) == (
        "points may pay at most 60.00 of this receipt. "
        "Points may pay at most 50% of the goods they may pay for"
    )
    spent = await payer.pay("max", payer.line("120.00"))
    assert (spent["points"], await payer.balance()) == ("60.00", "40.00")
    assert [line["payable"] for line in spent["lines"]] == ["60.00"]


async def test_c19_t48_only_what_is_used_is_spent(payer: Payer) -> None:
    """odoo#274951: 30 points, an order of 20: 20 are spent, 10 stay; with a share, fewer."""
    await payer.adjust("+30.00")
    assert (await payer.pay("max", payer.line("20.00")))["points"] == "20.00"
    assert await payer.balance() == "10.00"
    await payer.rule(max_share="25")
    assert (await payer.pay("max", payer.line("20.00")))["points"] == "5.00"
    assert await payer.balance() == "5.00"


async def test_c20_free_goods_cost_no_points(payer: Payer) -> None:
    """odoo PR#128890: a line of nothing takes nothing."""
    await payer.adjust("+30.00")
    free = payer.line("0.00", price="0.00")
    assert paid(await payer.pay("max", free, payer.line("20.00"))) == ["0.00", "20.00"]
    assert await payer.refused("max", free) == "points may pay nothing of this receipt"
    assert await payer.balance() == "10.00"


async def test_legal_goods_are_paid_in_money(payer: Payer) -> None:
    """Tobacco and alcohol, and what is below them in the tree; a rule may allow one of them."""
    await payer.adjust("+500.00")
    wine = await payer.goods("wine", legal="alcohol")
    red = await payer.goods("red", parent=wine)
    smoke = await payer.goods("smoke", legal="tobacco")
    lines = [payer.line("100.00"), *(payer.line("100.00", sku=sku) for sku in (wine, red, smoke))]
    assert paid(await payer.pay("max", *lines)) == ["100.00", "0.00", "0.00", "0.00"]
    assert await payer.refused("100.01", *lines) == (
        "points may pay at most 100.00 of this receipt. "
        "Lines 2, 3: Points may not pay for alcohol. Line 4: Points may not pay for tobacco"
    )
    assert await payer.refused("max", lines[3]) == (
        "points may pay nothing of this receipt. Line 1: Points may not pay for tobacco"
    )
    await payer.rule(legal=["tobacco"])
    assert paid(await payer.pay("max", *lines)) == ["100.00", "100.00", "100.00", "0.00"]


async def test_which_lines_and_how_much_of_them(payer: Payer) -> None:
    await payer.adjust("+500.00")
    gift = await payer.goods("gift")
    await payer.rule(
        lines={"exclude_groups": [gift], "exclude_promo": True},
        min_line_price="1.00",
        min_money="5.00",
    )
    lines = [
        payer.line("30.00", quantity="3", price="10.00"),
        payer.line("10.00", sku=gift),
        payer.line("10.00", promo=True),
    ]
    spent = await payer.pay("max", *lines)
    assert paid(spent) == ["27.00", "0.00", "0.00"]
    assert await payer.refused("28.00", *lines) == (
        "points may pay at most 27.00 of this receipt. "
        "Line 1: A unit must still cost at least 1. "
        "Line 2: Points may not pay for these goods. "
        "Line 3: Points may not pay for goods on promotion"
    )
    assert await payer.refused("28.00", lines[0]) == (
        "points may pay at most 25.00 of this receipt. "
        "Line 1: A unit must still cost at least 1. At least 5 of the receipt must be paid in money"
    )


async def test_the_rule_of_the_place_and_the_customer_counts(payer: Payer) -> None:
    """B12: the highest priority among those that are for this place, and whose `when` holds."""
    await payer.adjust("+500.00")
    vip = {"field": "customer.tags", "op": "has", "value": "vip"}
    await payer.rule(max_share="10")
    await payer.rule(max_share="90", priority=5, when=vip)
    elsewhere = {"channels": [payer.shop.channel], "exclude_stores": [payer.shop.store]}
    await payer.rule(max_share="80", priority=9, scope=elsewhere)
    assert (await payer.pay("max", payer.line("100.00")))["points"] == "10.00"

    client = payer.shop.client
    found = done(await client.get("/v1/customers", params={"phone": payer.shop.phone}))
    customer = found["items"][0]["id"]
    done(await client.patch(f"/v1/customers/{customer}", json={"tags": ["vip"]}))
    assert (await payer.pay("max", payer.line("100.00")))["points"] == "90.00"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, ["promo 40.00 2080", "base 20.00 2090"]),
        ("base_first", ["base 50.00 2090", "promo 10.00 2080"]),
        ("promo_first", ["promo 40.00 2080", "promo 20.00 never"]),
        ("oldest", ["base 50.00 2090", "promo 10.00 never"]),
    ],
)
async def test_points_are_spent_in_the_order_of_the_rule(
    payer: Payer, order: str | None, expected: list[str]
) -> None:
    """Base that lives for a while, promo that never ends, promo that ends first."""
    lots = [
        ("base", "50.00", "2090-01-01T00:00:00Z"),
        ("promo", "40.00", None),
        ("promo", "40.00", "2080-01-01T00:00:00Z"),
    ]
    for bucket, points, expires_at in lots:
        body = {"customer": {"phone": payer.shop.phone}, "points": f"+{points}", "bucket": bucket}
        body |= {"reason": "a gift", **({"expires_at": expires_at} if expires_at else {})}
        done(await payer.shop.post("/v1/adjustments", body))
    if order is not None:
        await payer.rule(order=order)
    for mode in ("hold", "capture"):
        spent = await payer.pay("60.00", payer.line("60.00"), mode=mode)
        assert [
            f"{part['bucket']} {part['points']} {(part['expires_at'] or 'never')[:5].rstrip('-')}"
            for part in spent["parts"]
        ] == expected
        if mode == "hold":
            done(await payer.shop.post(f"/v1/redemptions/{spent['id']}/release", {}))


@pytest.mark.parametrize("points", [None, "30.00"])
async def test_a_hold_is_captured_as_it_was_allowed(payer: Payer, points: str | None) -> None:
    """A rule that changed meanwhile changes neither the sum nor what it pays of each line."""
    await payer.adjust("+500.00")
    code = await payer.rule(min_line_price="90.00")
    lines = [payer.line("100.00"), payer.line("300.00")]
    held = await payer.pay("max", *lines, mode="hold")
    assert paid(held) == ["10.00", "210.00"]
    await payer.rule(code, max_share="1")
    assert (await payer.pay("max", *lines, mode="hold"))["points"] == "4.00"
    path = f"/v1/redemptions/{held['id']}"
    body = {} if points is None else {"points": points}
    captured = done(await payer.shop.post(f"{path}/capture", body))
    expected = ["10.00", "210.00"] if points is None else ["7.50", "22.50"]
    read = done(await payer.shop.client.get(path))
    assert paid(captured) == paid(read) == expected
    assert read["lines"] == captured["lines"]


async def test_lines_are_told_as_a_fiscal_receipt_prints_them(payer: Payer) -> None:
    """54-FZ: 6 pieces for 120.69; weighed goods; what points do not touch needs no printing."""
    await payer.adjust("+500.00")
    gift = await payer.goods("gift")
    await payer.rule(lines={"exclude_groups": [gift]})
    lines = [
        payer.line("150.00", quantity="6", price="25.00"),
        payer.line("50.00", quantity="0.357", price="140.06"),
        payer.line("10.00", sku=gift),
    ]
    spent = await payer.pay("39.08", *lines)
    assert [line["payable"] for line in spent["lines"]] == ["120.69", "40.23", "10.00"]
    assert [line["print"] for line in spent["lines"]] == [
        [
            {"quantity": "3", "price": "20.12", "amount": "60.36"},
            {"quantity": "3", "price": "20.11", "amount": "60.33"},
        ],
        [{"quantity": "0.357", "price": "112.68", "amount": "40.23"}],
        [],
    ]


async def test_below_a_sum_points_may_be_forbidden(payer: Payer) -> None:
    """Where no rule's `when` holds it is as without a rule: a last one of share 0 closes it."""
    await payer.adjust("+500.00")
    at_least = {"field": "receipt.total", "op": ">=", "value": "50.00"}
    await payer.rule(max_share="30", priority=1, when=at_least)
    assert (await payer.pay("max", payer.line("49.00")))["points"] == "49.00"
    await payer.rule(max_share="0")
    assert await payer.refused("max", payer.line("49.00")) == (
        "points may pay nothing of this receipt. The rule lets points pay nothing"
    )
    assert (await payer.pay("max", payer.line("50.00")))["points"] == "15.00"


async def test_no_points_are_no_payment(payer: Payer) -> None:
    await payer.adjust("+10.00")
    assert await payer.refused("0.00", payer.line("10.00")) == "must be more than zero"


async def test_redemptions_of_the_time_before_rules_can_still_be_captured(
    payer: Payer, shared_database: TestDatabase
) -> None:
    """Their lines have neither caps nor quantities."""
    await payer.adjust("+100.00")
    held = await payer.pay("15.00", payer.line("10.00"), payer.line("20.00"), mode="hold")
    connection = await asyncpg.connect(shared_database.superuser_url)
    old = [
        [n, "a", "b", amount, False, excluded]
        for n, amount, excluded in ((1, 10_00, False), (2, 20_00, False), (3, 5_00, True))
    ]
    query = "UPDATE billing.redemptions SET lines = $2::jsonb WHERE id = $1"
    await connection.execute(query, held["id"], json.dumps(old))
    await connection.close()
    captured = done(await payer.shop.post(f"/v1/redemptions/{held['id']}/capture", {}))
    assert paid(captured) == ["5.00", "10.00", "0.00"]
    assert [line["print"] for line in captured["lines"]] == [[], [], []]


async def test_a_receipt_is_paid_with_points_once(payer: Payer) -> None:
    """C3, C10: by a redemption of its own, or by its sale: the second of the two is refused."""
    await payer.adjust("+100.00")
    first = payer.basket("50.00")
    done(await payer.shop.post("/v1/redemptions", first | {"points": "20.00"}))
    again = await payer.shop.post("/v1/receipts", first | {"redeem": {"points": "20.00"}})
    assert "paid with points already" in problem(again, 409, "receipt_exists")["detail"]
    second = payer.basket("50.00", points="20.00")
    done(await payer.shop.post("/v1/receipts", second))
    del second["redeem"]
    again = await payer.shop.post("/v1/redemptions", second | {"points": "20.00"})
    assert "paid with points already" in problem(again, 409, "receipt_exists")["detail"]
    assert await payer.balance() == "60.00"


@pytest.mark.parametrize("other", [{"group": "tobacco"}, {"promo": True}, {"quantity": "2"}])
async def test_a_hold_keeps_its_terms_for_its_own_goods_alone(
    payer: Payer, other: dict[str, Any]
) -> None:
    """Nobody holds for bread and pays for tobacco, or for what is on promotion."""
    await payer.adjust("+500.00")
    await payer.rule(lines={"exclude_promo": True}, min_line_price="10.00")
    if "group" in other:
        other = {"group": await payer.goods("smoke", legal="tobacco")}
    sold = payer.line("100.00") | other | ({"price": "50.00"} if "quantity" in other else {})
    receipt = payer.basket("100.00")
    held = done(await payer.shop.post("/v1/redemptions", receipt | {"points": "90.00", **HOLD}))
    named = receipt | {"redeem": {"redemption_id": held["id"]}}
    swapped = named | {"receipt": receipt["receipt"] | {"lines": [sold]}}
    refused = problem(await payer.shop.post("/v1/receipts", swapped), 400, "validation_failed")
    assert refused["errors"][0]["pointer"] == "/redeem/redemption_id"
    assert done(await payer.shop.post("/v1/receipts", named))["redeemed"] == "90.00"


async def test_a_hold_pays_elsewhere_by_the_rules_there(payer: Payer) -> None:
    await payer.adjust("+500.00")
    other = Payer(await Shop(payer.shop.client).open())
    await other.rule(max_share="50")
    receipt = payer.basket("100.00")
    held = done(await payer.shop.post("/v1/redemptions", receipt | {"points": "90.00", **HOLD}))
    moved = receipt | {"channel": other.shop.channel, "store": other.shop.store}
    moved |= {"redeem": {"redemption_id": held["id"]}}
    refused = problem(await payer.shop.post("/v1/receipts", moved), 400, "validation_failed")
    assert "at most 50% of the goods" in refused["errors"][0]["detail"]
