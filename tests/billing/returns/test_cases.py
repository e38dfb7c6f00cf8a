"""Worked cases of returns (T16 to T51), and defects of other systems (C1 to C9)."""

from __future__ import annotations

import pytest

from tests.billing.returns.counter import DAY, START, Counter, done, problem

WHOLE = {"rounding": {"mode": "down", "step": "1", "per": "receipt"}}


async def test_t16_one_of_two_comes_back(counter: Counter) -> None:
    """2 × 50 earned 100; refund 1: -50, balance 50."""
    await counter.program("p", "100")
    sale = await counter.sell(counter.line(1, "100.00", "2"))
    back = await counter.take_back(sale, {1: "1"})
    assert (back["revoked"], back["restored"], back["debt"]) == ("50.00", "0.00", "0.00")
    assert back["balance"]["available"] == await counter.available() == "50.00"


async def test_t17_earned_and_spent_on_one_receipt(counter: Counter) -> None:
    """Start 200, earn 70, spend 150: 120; full refund: -70, +150: 200."""
    await counter.program("p", {"kind": "fixed", "value": "70"})
    await counter.give("+200.00")
    sale = await counter.sell("300.00", points="150.00")
    assert await counter.available() == "120.00"
    back = await counter.take_back(sale)
    assert (back["revoked"], back["restored"], back["debt"]) == ("70.00", "150.00", "0.00")
    assert await counter.available() == "200.00"


async def test_t20_a_card_sold_and_refunded(counter: Counter) -> None:
    """A gift card of 50 is points for what it cost: 50, and 0 after the refund."""
    await counter.program("card", {"kind": "per_unit", "value": "50"})
    sale = await counter.sell("50.00")
    assert await counter.available() == "50.00"
    await counter.take_back(sale)
    assert await counter.available() == "0.00"


async def test_t24_whole_points_and_never_more_than_earned(counter: Counter) -> None:
    """A point for 10: refunds of 1, 5, 10 and 20 take 0, 0, 1 and 2."""
    await counter.program("p", {"kind": "per_amount", "value": "1", "step": "10.00"}, **WHOLE)
    sale = await counter.sell("1.00", "5.00", "10.00", "20.00", "64.00")
    assert sale["balance"]["available"] == "10.00"
    taken = [(await counter.take_back(sale, {n: "1"}))["revoked"] for n in range(1, 5)]
    assert taken == ["0.00", "0.00", "1.00", "2.00"]
    assert (await counter.take_back(sale))["revoked"] == "7.00"
    assert await counter.available() == "0.00"


async def test_t26_a_part_paid_with_points_and_all_returned(counter: Counter) -> None:
    """An order of 100, 15 of it paid with points: the points back, what was earned removed."""
    await counter.program("p", "10")
    await counter.give("+15.00")
    sale = await counter.sell("100.00", points="15.00")
    assert await counter.available() == "8.50"
    back = await counter.take_back(sale)
    assert (back["revoked"], back["restored"]) == ("8.50", "15.00")
    assert await counter.available() == "15.00"


async def test_t27_three_quarters_come_back(counter: Counter) -> None:
    """Spend 100, earn 100; return 75: keep 25."""
    await counter.program("p", "100")
    sale = await counter.sell("25.00", "75.00")
    await counter.take_back(sale, {2: "1"})
    assert await counter.available() == "25.00"


async def test_t28_one_and_then_the_other(counter: Counter) -> None:
    """Two items of 10: 20, 10, 0."""
    await counter.program("p", "100")
    sale = await counter.sell("10.00", "10.00")
    seen = [await counter.available()]
    for number in (1, 2):
        await counter.take_back(sale, {number: "1"})
        seen.append(await counter.available())
    assert seen == ["20.00", "10.00", "0.00"]


async def test_t51_a_redemption_reversed_in_two_parts(counter: Counter) -> None:
    """To the original lots with their own expiry; the second is capped by what is left."""
    ends = [(counter.clock.now + n * DAY).isoformat() for n in (10, 20)]
    for end in ends:
        await counter.give("+10.00", bucket="promo", expires_at=end)
    sale = await counter.sell(counter.line(1, "20.00", "4"), points="15.00")
    await counter.take_back(sale, {1: "1"})
    assert [lot["available"] for lot in await counter.lots()] == ["0.00", "8.75"]
    exceeded = problem(await counter.refused(sale, {1: "3.000001"}), 409, "return_exceeds_sale")
    assert exceeded["left"] == [{"line": 1, "quantity": "3"}]
    last = await counter.take_back(sale)
    assert last["restored"] == "11.25"
    assert [lot["available"] for lot in await counter.lots()] == ["10.00", "10.00"]
    problem(await counter.refused(sale), 409, "return_exceeds_sale")


async def test_c1_a_small_return_takes_its_part(counter: Counter) -> None:
    """erpnext#32951: of a sale of 1,000 a return of 100 left the points as they were."""
    await counter.program("p", "10")
    sale = await counter.sell(counter.line(1, "1000.00", "10"))
    await counter.take_back(sale, {1: "1"})
    assert await counter.available() == "90.00"


async def test_c2_buying_and_returning_farms_nothing(counter: Counter) -> None:
    await counter.program("p", "10")
    for _ in range(5):
        await counter.take_back(await counter.sell("100.00"))
    balance = await counter.balance()
    assert (balance["available"], balance["deferred"], balance["debt"]) == ("0.00",) * 3


async def test_c2_a_loop_of_spent_and_forgiven_points_ends_at_the_limits(counter: Counter) -> None:
    """Buy, spend, return: a program that forgives gives no more than its limits all the same."""
    limits = {"per_customer_day": "25.00", "budget": "32.00"}
    await counter.program("kind", "10", on_return="floor", limits=limits)
    kept = []
    for day in (0, 0, 0, 0, 1, 1):
        counter.clock.now = START + day * DAY
        sale = await counter.sell("100.00")
        spending = counter.sale("10.00") | {"points": "max", "mode": "capture"}
        await counter.post("/v1/redemptions", spending)
        kept.append((await counter.take_back(sale))["forgiven"])
    assert kept == ["10.00", "10.00", "5.00", "0.00", "7.00", "0.00"]


async def test_c2_times_a_day_go_back_with_the_whole_sale_alone(counter: Counter) -> None:
    code = await counter.program("often", "10", limits={"times_per_customer_day": 1})
    sale = await counter.sell("100.00", "50.00")
    await counter.take_back(sale, {1: "1"})
    assert await counter.counters() == {f"times/{code}/2027-03-01": 1}
    assert (await counter.sell("100.00"))["accruals"] == []
    await counter.take_back(sale)
    assert await counter.counters() == {}
    assert (await counter.sell("100.00"))["accruals"][0]["points"] == "10.00"


async def test_c9_a_store_that_moves_to_another_day_is_given_no_more(counter: Counter) -> None:
    """Its time zone is put right between sale and return: another day's limit is not raised."""
    counter.clock.now = START.replace(hour=22)  # The next day in Moscow, but not in London.
    await counter.program("p", "10", limits={"per_customer_day": "15.00"})
    sale = await counter.sell("100.00")
    admin = await counter.client()
    place = {"name": "S", "channel": counter.channel, "timezone": "Europe/London"}
    done(await admin.put(f"/v1/stores/{counter.store}", json=place))
    await counter.take_back(sale)
    assert (await counter.sell("300.00"))["accruals"][0]["points"] == "15.00"


async def test_c2_what_is_given_once_is_not_given_again_when_it_was_forgiven(
    counter: Counter,
) -> None:
    gift = {"type": "scenario", "scenario": {"on": "first_purchase"}, "on_return": "floor"}
    await counter.program("hello", {"kind": "fixed", "value": "30"}, **gift)
    sale = await counter.sell(counter.line(1, "100.00", "2"))
    spending = counter.sale("20.00") | {"points": "20.00", "mode": "capture"}
    await counter.post("/v1/redemptions", spending)
    forgiven = [(await counter.take_back(sale, {1: "1"}))["forgiven"] for _ in range(2)]
    assert forgiven == ["5.00", "15.00"]
    assert (await counter.sell("100.00"))["accruals"] == []


async def test_c3_a_refund_never_redeems_again(counter: Counter) -> None:
    """odoo PR#212922: on a partial refund the spent points went a second time."""
    await counter.give("+100.00")
    sale = await counter.sell("60.00", "40.00", points="50.00")
    assert await counter.available() == "50.00"
    assert (await counter.take_back(sale, {1: "1"}))["restored"] == "30.00"
    assert await counter.available() == "80.00"
    assert (await counter.take_back(sale, {2: "1"}))["restored"] == "20.00"
    assert await counter.available() == "100.00"


@pytest.mark.parametrize(("base", "revoked"), [("net_of_points", "4.00"), ("gross", "5.00")])
async def test_c4_one_basis_for_what_was_earned(counter: Counter, base: str, revoked: str) -> None:
    """The share paid with points is not subtracted a second time: half is half."""
    await counter.program("p", "10", base=base)
    await counter.give("+20.00")
    sale = await counter.sell(counter.line(1, "100.00", "2"), points="20.00")
    back = await counter.take_back(sale, {1: "1"})
    assert (back["revoked"], back["restored"]) == (revoked, "10.00")


async def test_c5_half_a_return_restores_half(counter: Counter) -> None:
    await counter.give("+40.00")
    sale = await counter.sell("50.00", "50.00", points="40.00")
    assert (await counter.take_back(sale, {1: "1"}))["restored"] == "20.00"


async def test_c6_spent_points_become_a_debt(counter: Counter) -> None:
    """ERPNext refused a return whose points were spent meanwhile."""
    await counter.program("p", "10")
    sale = await counter.sell("100.00")
    await counter.sell("20.00", points="10.00")
    back = await counter.take_back(sale)
    assert (back["revoked"], back["debt"]) == ("10.00", "10.00")
    balance = await counter.balance()
    assert (balance["available"], balance["debt"]) == ("1.00", "10.00")


@pytest.mark.parametrize("earn", [True, False])
@pytest.mark.parametrize("spend", [True, False])
@pytest.mark.parametrize("parts", [1, 2, 3])
async def test_c7_earn_by_spend_by_parts(
    counter: Counter, earn: bool, spend: bool, parts: int
) -> None:
    """Whatever a sale did, returned whole it has not been."""
    if earn:
        await counter.program("p", "7")
    await counter.give("+33.33")
    sale = await counter.sell(
        counter.line(1, "10.00", "3"), counter.line(2, "99.99", "1"), points="33.33" * spend or None
    )
    sizes = {1: [{1: "3", 2: "1"}], 2: [{1: "2"}, {1: "1", 2: "1"}], 3: [{1: "1"}] * 3}[parts]
    for lines in sizes:
        await counter.take_back(sale, lines)
    if parts == 3:
        await counter.take_back(sale)
    assert await counter.available() == "33.33"


async def test_c8_lines_come_back_one_by_one(counter: Counter) -> None:
    """The same sku on two lines: each line is returned for itself."""
    await counter.program("p", "10")
    first, second = counter.line(1, "100.00", "2"), counter.line(2, "30.00", "1")
    second["sku"] = first["sku"]
    sale = await counter.sell(first, second)
    back = await counter.take_back(sale, {2: "1"})
    assert [one["line"] for one in back["lines"]] == [2]
    assert back["revoked"] == "3.00"
    problem(await counter.refused(sale, {2: "1"}), 409, "return_exceeds_sale")


async def test_c9_counters_and_budgets_go_back(counter: Counter) -> None:
    """Open Loyalty: a return did not revert limits and counters."""
    limits = {"per_customer_day": "15.00", "budget": "25.00"}
    await counter.program("p", "10", limits=limits)
    first = await counter.sell("100.00")
    second = await counter.sell("100.00")
    assert await counter.available() == "15.00"
    await counter.take_back(first)
    assert sum((await counter.counters()).values()) == 2 * 500
    counter.clock.now += DAY
    # A day later, but it was the day of the sale that had its points.
    await counter.take_back(second)
    assert await counter.counters() == {}
    assert (await counter.sell("300.00"))["accruals"][0]["points"] == "15.00"
