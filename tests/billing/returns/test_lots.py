"""Whose points they are: lots, expiry, instalments, debts, and the product groups of finance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from billing.common.settings import Settings
from billing.returns.stored import returns_of
from tests.billing.returns.counter import DAY, Counter, opened, problem
from tests.conftest import TestDatabase


@pytest.mark.parametrize(
    ("on_return", "debt", "forgiven"), [("debt", "10.00", "0.00"), ("floor", "0.00", "10.00")]
)
async def test_what_is_spent_is_owed_or_forgiven_as_the_program_says(
    counter: Counter, on_return: str, debt: str, forgiven: str
) -> None:
    await counter.program("p", "10", on_return=on_return)
    sale = await counter.sell("100.00", "100.00")
    spending = counter.sale("10.00") | {"points": "10.00", "mode": "capture"}
    assert (await counter.post("/v1/redemptions", spending)).status_code == 201
    unspent = await counter.take_back(sale, {1: "1"})
    assert (unspent["revoked"], unspent["debt"], unspent["forgiven"]) == ("10.00", "0.00", "0.00")
    spent = await counter.take_back(sale, {2: "1"})
    assert (spent["debt"], spent["forgiven"]) == (debt, forgiven)
    assert (await counter.balance())["debt"] == debt


async def test_a_program_may_refuse_returns_of_spent_points(counter: Counter) -> None:
    await counter.program("p", "10", on_return="refuse")
    sale = await counter.sell("100.00")
    spending = counter.sale("10.00") | {"points": "10.00", "mode": "capture"}
    assert (await counter.post("/v1/redemptions", spending)).status_code == 201
    problem(await counter.refused(sale), 409, "points_already_spent")
    await counter.give("+50.00")
    problem(await counter.refused(sale), 409, "points_already_spent")
    found = await counter.get(f"/v1/receipts/{counter.store}/{sale['receipt_number']}")
    assert found["returns"] == []


async def test_the_version_that_gave_decides_whatever_came_after(counter: Counter) -> None:
    code = await counter.program("p", "10", on_return="floor")
    sale = await counter.sell("100.00", "100.00")
    await counter.sell("20.00", points="20.00")
    counter.clock.now += DAY
    body = {
        "code": code,
        "name": "p",
        "valid_from": "2020-01-01T00:00:00Z",
        "scope": {"channels": [counter.channel]},
        "reward": {"kind": "percent", "value": "50"},
        "on_return": "refuse",
    }
    await counter.publish(body, versions=True)
    assert (await counter.take_back(sale, {1: "1"}))["forgiven"] == "10.00"
    admin = await counter.client("admin")
    assert (await admin.post(f"/v1/programs/{code}/archive")).is_success
    assert (await counter.take_back(sale))["forgiven"] == "10.00"


async def test_restored_points_return_to_their_own_lots_with_their_own_expiry(
    counter: Counter,
) -> None:
    soon, late = ((counter.clock.now + n * DAY).isoformat() for n in (10, 20))
    await counter.give("+5.00", bucket="promo", expires_at=soon)
    await counter.give("+5.00", expires_at=late)
    before = await counter.lots()
    sale = await counter.sell("10.00", points="10.00")
    counter.clock.now += 3 * DAY
    await counter.take_back(sale)
    assert await counter.lots() == before


async def test_c30_points_that_expired_meanwhile_expire_in_their_own_lot(
    counter: Counter,
) -> None:
    await counter.give("+5.00", expires_at=(counter.clock.now + DAY).isoformat())
    await counter.give("+5.00")
    sale = await counter.sell("10.00", points="10.00")
    counter.clock.now += 2 * DAY
    back = await counter.take_back(sale)
    assert (back["restored"], back["reissued"]) == ("10.00", "0.00")
    assert back["balance"]["available"] == await counter.available() == "5.00"


@pytest.fixture
async def graceful(shared_settings: Settings) -> AsyncIterator[Counter]:
    async with opened(replace(shared_settings, return_grace="P7D")) as made:
        yield await made.another()


async def test_a_grace_gives_expired_points_anew_for_a_while(graceful: Counter) -> None:
    counter = graceful
    await counter.give("+5.00", bucket="promo", expires_at=(counter.clock.now + DAY).isoformat())
    await counter.give("+5.00")
    sale = await counter.sell(counter.line(1, "10.00", "2"), points="10.00")
    counter.clock.now += 2 * DAY
    parts = [await counter.take_back(sale, {1: "1"}) for _ in range(2)]
    assert [one["restored"] for one in parts] == ["5.00", "5.00"]
    assert [one["reissued"] for one in parts] == ["0.00", "5.00"]
    balance = await counter.balance()
    assert (balance["base"], balance["promo"]) == ("5.00", "5.00")
    (expiring,) = balance["expiring"]
    assert expiring["at"] == "2027-03-11T00:00:00+03:00"
    found = await counter.get(f"/v1/returns/{counter.store}/{parts[1]['number']}")
    assert (found["restored"], found["reissued"]) == ("5.00", "5.00")
    counter.clock.now += 9 * DAY
    assert await counter.available() == "5.00"


async def test_what_expired_unused_is_owed_by_nobody(counter: Counter) -> None:
    """100 earned, 30 spent, 70 expired: half of the sale would have been enough for the 30."""
    await counter.program("p", "10", expires={"after": "P10D"})
    sale = await counter.sell(counter.line(1, "1000.00", "4"))
    spending = counter.sale("30.00") | {"points": "30.00", "mode": "capture"}
    assert (await counter.post("/v1/redemptions", spending)).status_code == 201
    counter.clock.now += 20 * DAY
    moved = []
    for _ in range(4):
        back = await counter.take_back(sale, {1: "1"})
        moved.append((back["revoked"], back["debt"], back["expired"]))
    assert moved == [
        ("0.00", "0.00", "25.00"),
        ("0.00", "0.00", "25.00"),
        ("5.00", "5.00", "20.00"),
        ("25.00", "25.00", "0.00"),
    ]


async def test_instalments_shrink_together_and_the_used_ones_last(counter: Counter) -> None:
    every = {"after": "P1D", "instalments": {"count": 4, "every": "P1M"}}
    await counter.program("p", "10", available=every)
    sale = await counter.sell(counter.line(1, "400.00", "4"))
    await counter.take_back(sale, {1: "1"})
    assert [lot["deferred"] for lot in await counter.lots()] == ["7.50"] * 4
    counter.clock.now += 40 * DAY
    assert (await counter.balance())["available"] == "15.00"
    spending = counter.sale("15.00") | {"points": "15.00", "mode": "capture"}
    assert (await counter.post("/v1/redemptions", spending)).status_code == 201
    kind = await counter.take_back(sale, {1: "1"})
    assert (kind["revoked"], kind["debt"]) == ("10.00", "0.00")
    assert [lot["deferred"] for lot in await counter.lots()] == ["0.00", "0.00", "2.50", "2.50"]
    last = await counter.take_back(sale)
    assert (last["revoked"], last["debt"]) == ("20.00", "15.00")


async def test_debts_paid_by_the_sale_come_back_with_it(counter: Counter) -> None:
    await counter.program("p", "10", on_return="floor")
    await counter.program("q", "5")
    first = await counter.sell("200.00")
    spending = counter.sale("30.00") | {"points": "30.00", "mode": "capture"}
    assert (await counter.post("/v1/redemptions", spending)).status_code == 201
    await counter.take_back(first)
    assert (await counter.balance())["debt"] == "10.00"
    second = await counter.sell("40.00")
    assert (second["debt_paid"], (await counter.balance())["debt"]) == ("6.00", "4.00")
    back = await counter.take_back(second)
    assert (back["revoked"], back["debt"]) == ("6.00", "6.00")
    assert (await counter.balance())["debt"] == "10.00"


async def test_both_halves_in_either_order(counter: Counter) -> None:
    """Earned by one sale, spent on another: whichever comes back first, nothing remains."""
    await counter.program("p", "10", lines={"groups": [f"a-{counter.number}"]})
    for order in ((0, 1), (1, 0)):
        earning = await counter.sell("100.00")
        spending = await counter.sell(counter.line(1, "10.00", group="b"), points="10.00")
        for which in order:
            await counter.take_back((earning, spending)[which])
        balance = await counter.balance()
        assert (balance["available"], balance["debt"]) == ("0.00", "0.00")


async def test_a_hold_in_the_middle_pays_the_debt_when_it_ends(counter: Counter) -> None:
    await counter.program("p", "10")
    sale = await counter.sell("100.00")
    held = counter.sale("10.00") | {"points": "10.00", "mode": "hold"}
    held_id = (await counter.post("/v1/redemptions", held)).json()["id"]
    assert (await counter.take_back(sale))["debt"] == "10.00"
    assert (await counter.post(f"/v1/redemptions/{held_id}/release", {})).is_success
    balance = await counter.balance()
    assert (balance["available"], balance["debt"]) == ("0.00", "0.00")


async def test_finance_sees_what_a_return_took_by_product_group(counter: Counter) -> None:
    await counter.program("p", "10")
    lines = [counter.line(1, "100.00", group="a"), counter.line(2, "50.00", group="b")]
    sale = await counter.sell(*lines)
    back = await counter.take_back(sale, {2: "1"})
    posted = await counter.get(f"/v1/ledger/transactions/{back['id']}")
    assert posted["kind"] == "return"
    assert posted["corrects"] == sale["id"]
    assert [(p["kind"], p["product_group"], p["points"]) for p in posted["postings"]] == [
        ("revoke", f"b-{counter.number}", "5.00")
    ]


async def test_finance_sees_what_a_return_gave_by_product_group(counter: Counter) -> None:
    await counter.give("+10.00", expires_at=(counter.clock.now + DAY).isoformat())
    await counter.give("+20.00")
    lines = [counter.line(1, "60.00", "3", "a"), counter.line(2, "30.00", group="b")]
    sale = await counter.sell(*lines, points="30.00")
    moved = []
    for number in (1, 2, 1, 1):
        back = await counter.take_back(sale, {number: "1"})
        posted = await counter.get(f"/v1/ledger/transactions/{back['id']}")
        moved.append({(p["product_group"], p["points"]) for p in posted["postings"]})
    a, b = f"a-{counter.number}", f"b-{counter.number}"
    assert moved == [{(a, "6.66")}, {(b, "10.00")}, {(a, "3.34"), (a, "3.33")}, {(a, "6.67")}]
    assert [lot["available"] for lot in await counter.lots()] == ["10.00", "20.00"]


async def test_whole_points_left_by_rounding_are_carried(counter: Counter) -> None:
    """5 whole points of three equal lines: 1, 2, 2; no line gives more than it earned."""
    rounding = {"mode": "down", "step": "1", "per": "receipt"}
    await counter.program("p", "10", rounding=rounding)
    sale = await counter.sell("18.00", "18.00", "18.00")
    earned = {
        line["line"]: sum(float(one["points"]) for one in line["accruals"])
        for line in sale["lines"]
    }
    took = dict.fromkeys(earned, 0.0)
    revoked = []
    for number in (1, 2, 3):
        back = await counter.take_back(sale, {number: "1"})
        revoked.append(back["revoked"])
        for line in back["lines"]:
            took[line["line"]] += sum(float(one["points"]) for one in line["accruals_revoked"])
        for one in back["carried"]:
            assert one["line"] < number
            took[one["line"]] += float(one["points"])
    assert revoked == ["1.00", "2.00", "2.00"]
    assert took == pytest.approx(earned)


async def test_a_sale_of_the_past_with_stated_points(counter: Counter) -> None:
    """Points of another system belong to no program: they come back by value."""
    body = counter.sale("30.00", counter.line(2, "70.00", "2", "b")) | {
        "stated": [{"points": "10.00"}, {"points": "1.01", "bucket": "promo"}]
    }
    sale = (await counter.post("/v1/accruals", body)).json()
    parts = [(await counter.take_back(sale, {2: "1"}))["revoked"] for _ in range(2)]
    assert parts == ["3.85", "3.86"]
    last = await counter.take_back(sale)
    assert (last["revoked"], await counter.available()) == ("3.30", "0.00")
    assert last["lines"][0]["accruals_revoked"] == [{"program": None, "points": "3.30"}]


async def test_no_sale_states_more_points_than_an_adjustment_may_give(counter: Counter) -> None:
    """Without a second person, that is: the limit of adjustments is 100000.00."""
    codes = []
    for points in ("100000.01", "100000.00"):
        body = counter.sale("1.00") | {"stated": [{"points": "0.01"}, {"points": points}]}
        codes.append((await counter.post("/v1/accruals", body)).json().get("code"))
    assert codes == ["approval_needed", None]
    assert await counter.available() == "100000.01"


async def test_time_between_sale_and_return_changes_no_sum(counter: Counter) -> None:
    await counter.program("p", "10", available={"after": "P14D"})
    sale = await counter.sell(counter.line(1, "100.00", "2"))
    assert (await counter.take_back(sale, {1: "1"}))["revoked"] == "5.00"
    counter.clock.now += timedelta(days=30)
    assert (await counter.balance())["available"] == "5.00"
    assert (await counter.take_back(sale, {1: "1"}))["revoked"] == "5.00"


async def test_what_is_given_once_may_come_again_when_the_whole_sale_is_undone(
    counter: Counter,
) -> None:
    """C9: the counter of a first purchase goes back with its sale, not with a part of it."""
    gift = {"type": "scenario", "scenario": {"on": "first_purchase"}}
    code = await counter.program("hello", {"kind": "fixed", "value": "30"}, **gift)
    sale = await counter.sell("20.00", "10.00")
    assert sale["balance"]["available"] == "30.00"
    assert (await counter.take_back(sale, {2: "1"}))["revoked"] == "10.00"
    once = {name for name in await counter.counters() if name.startswith(f"once/{code}/")}
    assert len(once) == 1
    assert (await counter.take_back(sale))["revoked"] == "20.00"
    assert await counter.counters() == {}


async def test_a_program_published_this_very_second_elsewhere(
    counter: Counter, shared_settings: Settings
) -> None:
    """Another process, whose programs are older than the sale, returns by the right policy."""
    async with opened(shared_settings) as elsewhere:
        await elsewhere.sell("1.00")
        await counter.program("p", "10", on_return="floor")
        sale = await counter.sell("100.00")
        spending = counter.sale("10.00") | {"points": "10.00", "mode": "capture"}
        assert (await counter.post("/v1/redemptions", spending)).status_code == 201
        back = await elsewhere.post("/v1/returns", counter.back(sale["receipt_number"]))
    assert back.status_code == 201
    assert (back.json()["forgiven"], back.json()["debt"]) == ("10.00", "0.00")


async def _reward_kind(database: TestDatabase, code: str, kind: str) -> None:
    """Change what was published, as nobody but a superuser could."""
    connection = await asyncpg.connect(database.superuser_url)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "UPDATE billing.program_versions SET definition = jsonb_set(definition,"
            " '{reward,kind}', to_jsonb($2::text)) WHERE code = $1",
            code,
            kind,
        )
    await connection.close()


async def test_a_program_that_this_release_cannot_read_stops_no_return(
    counter: Counter, shared_settings: Settings, shared_database: TestDatabase
) -> None:
    """What it gave comes back, and is owed where it is spent: nobody knows its policy."""
    code = await counter.program("p", "10", on_return="floor", limits={"budget": "50.00"})
    await counter.program("q", "5", on_return="floor")
    sale = await counter.sell(counter.line(1, "100.00", "2"))
    spending = counter.sale("15.00") | {"points": "15.00", "mode": "capture"}
    assert (await counter.post("/v1/redemptions", spending)).status_code == 201
    await _reward_kind(shared_database, code, "lottery")
    try:
        async with opened(shared_settings) as other_release:
            backs = [
                await other_release.post("/v1/returns", counter.back(sale["receipt_number"], lines))
                for lines in ({1: "1"}, None)
            ]
    finally:
        await _reward_kind(shared_database, code, "percent")
    assert [back.status_code for back in backs] == [201, 201]
    told = [{name: back.json()[name] for name in ("debt", "forgiven")} for back in backs]
    assert told == [{"debt": "5.00", "forgiven": "2.50"}] * 2


async def test_the_returns_of_a_receipt_stand_beside_it(counter: Counter) -> None:
    await counter.program("p", "10")
    sale = await counter.sell(counter.line(1, "100.00", "3"))
    backs = [await counter.take_back(sale, {1: "1"}) for _ in range(2)]
    database, zone = counter.services.database, counter.services.zone
    found = await returns_of(database, UUID(counter.customer_id), UUID(sale["id"]), zone)
    assert [one["number"] for one in found] == [back["number"] for back in backs]
    assert [one["lines"] for one in found] == [back["lines"] for back in backs]
    assert [one["revoked"] for one in found] == ["3.33", "3.33"]
