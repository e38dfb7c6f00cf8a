"""Properties of returns: any split, any order, with anything in between (C3 to C9, T51)."""

from __future__ import annotations

import asyncio
from collections import Counter as Sums
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.common.settings import Settings
from billing.returns.model import FINE, Earned, Given, Progress, Sold, SoldLine, by_line
from ledger.audit import audit
from tests.billing.returns.counter import START, Counter, done, opened
from tests.conftest import TestDatabase

pieces = st.integers(1, 6).map(lambda n: n * 1_000_000)
weighed = st.integers(1, 3_000_000)
quantities = st.one_of(pieces, weighed)
splits = st.lists(st.lists(st.integers(0, 100), min_size=4, max_size=4), max_size=4)
"""Of what is left of each line, per cent."""


def text(micro: int) -> str:
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}"


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def value(price: int, quantity: int) -> int:
    """What so much of something costs, in 1/100."""
    return (price * quantity + 500_000) // 1_000_000


def points(value: str) -> Decimal:
    return Decimal(value)


class World:
    """One house for all examples; each has a customer of its own."""

    loop: asyncio.AbstractEventLoop
    counter: Counter
    opened: AbstractAsyncContextManager[Counter]


PROGRAMS: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    ("fine", "3.3", {}),
    ("whole", "10", {"rounding": {"mode": "half_up", "step": "1", "per": "receipt"}}),
    (
        "later",
        "5",
        {
            "bucket": "promo",
            "base": "gross",
            "rounding": {"mode": "up", "step": "0.50", "per": "line"},
            "available": {"after": "P10D", "instalments": {"count": 3, "every": "P1M"}},
        },
    ),
    ("units", {"kind": "per_unit", "value": "0.77"}, {"limits": {"per_customer_day": "5.00"}}),
    ("once", {"kind": "fixed", "value": "7"}, {"limits": {"budget": "100000.00"}}),
)


@pytest.fixture(scope="module")
def world(shared_settings: Settings) -> Iterator[None]:
    World.loop = asyncio.new_event_loop()
    World.opened = opened(shared_settings)

    async def start() -> None:
        World.counter = await World.opened.__aenter__()
        for code, reward, more in PROGRAMS:
            await World.counter.program(code, reward, **more)

    World.loop.run_until_complete(start())
    yield
    World.loop.run_until_complete(World.opened.__aexit__(None, None, None))
    World.loop.close()


class Books:
    """What came back so far, beside the sale it must not exceed."""

    def __init__(self, sale: Any) -> None:
        self.paid = {line["line"]: points(line["points_paid"]) for line in sale["lines"]}
        self.earned = Sums(
            {
                (line["line"], one["program"]): points(one["points"])
                for line in sale["lines"]
                for one in line["accruals"]
            }
        )
        self.restored: Any = Sums()
        self.revoked: Any = Sums()

    def write(self, back: Any) -> None:
        moved = Decimal(0)
        for line in back["lines"]:
            self.restored[line["line"]] += points(line["points_restored"])
            for one in line["accruals_revoked"]:
                self.revoked[line["line"], one["program"]] += points(one["points"])
                moved += points(one["points"])
        for one in back["carried"]:
            self.revoked[one["line"], one["program"]] += points(one["points"])
            moved += points(one["points"])
        told = sum(points(back[name]) for name in ("revoked", "forgiven", "expired"))
        assert moved == told
        assert points(back["restored"]) == sum(
            points(line["points_restored"]) for line in back["lines"]
        )
        assert all(0 <= self.restored[n] <= self.paid[n] for n in self.restored)
        assert all(0 <= self.revoked[n] <= self.earned[n] for n in self.revoked)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(
    goods=st.lists(st.tuples(st.integers(0, 20_000), quantities), min_size=1, max_size=4),
    share=st.integers(0, 100),
    parts=splits,
    pause=st.integers(0, 60),
    spend=st.integers(0, 100),
    early=st.booleans(),
)
def test_whatever_comes_back_in_the_end_the_sale_has_not_been(
    world: None,
    goods: list[tuple[int, int]],
    share: int,
    parts: list[list[int]],
    pause: int,
    spend: int,
    early: bool,
) -> None:
    """Balance, lots and counters are what they would have been; nothing exceeds the sale."""
    example = _example(goods, share, parts, pause, spend, early)
    World.loop.run_until_complete(example)


async def _example(
    goods: list[tuple[int, int]],
    share: int,
    parts: list[list[int]],
    pause: int,
    spend: int,
    early: bool,
) -> None:
    counter = World.counter
    counter.clock.now = START
    other = await _with_gifts(counter, expire=not spend)
    await _with_gifts(counter, expire=not spend)
    lines = [
        counter.line(n, money(value(price, quantity)), text(quantity), "abc"[n % 3])
        | {"price": money(price)}
        for n, (price, quantity) in enumerate(goods, 1)
    ]
    pays = min(6000, sum(value(*one) for one in goods)) * share // 100
    body = counter.sale(*lines)
    if pays and early:
        redeeming = body | {"mode": "capture", "points": money(pays)}
        paid = done(await counter.post("/v1/redemptions", redeeming))
        body["redeem"] = {"redemption_id": paid["id"]}
    elif pays:
        body["redeem"] = {"points": money(pays)}
    sale = done(await counter.post("/v1/receipts", body))
    books = Books(sale)
    left = {n: quantity for n, (_, quantity) in enumerate(goods, 1)}
    spent = Decimal(0)
    for part in parts:
        some = {n: left[n] * part[n - 1] // 100 for n in left}
        some = {n: quantity for n, quantity in some.items() if quantity}
        if not some:
            continue
        left = {n: quantity - some.get(n, 0) for n, quantity in left.items()}
        back = await counter.take_back(sale, {n: text(q) for n, q in some.items()})
        books.write(back)
        counter.clock.now += timedelta(days=pause)
        spent += await _spend(counter, spend)
    if any(left.values()):
        books.write(await counter.take_back(sale))
    assert +books.restored == +Sums(books.paid)
    assert +books.revoked == +books.earned
    refused = await counter.refused(sale)
    assert (refused.status_code, refused.json()["code"]) == (409, "return_exceeds_sale")
    assert await counter.counters() == {}
    after, lots = await _picture(counter)
    counter.customer_id = other
    would_be, lots_would_be = await _picture(counter)
    assert _net(after) == _net(would_be) - spent
    if not spent:
        assert (after, lots) == (would_be, lots_would_be)


async def _with_gifts(counter: Counter, *, expire: bool) -> str:
    """A new customer with three lots."""
    await counter.newcomer()
    for days in (20, 200, None):
        end = START + timedelta(days=days) if days and expire else None
        await counter.give("+20.00", expires_at=end and end.isoformat())
    return counter.customer_id


async def _spend(counter: Counter, share: int) -> Decimal:
    """Spend some of what there is, on something that is not returned."""
    spendable = points((await counter.balance())["spendable"]) * share / 100
    wanted = f"{spendable:.2f}" if spendable >= Decimal("0.01") else "0.00"
    if wanted == "0.00":
        return Decimal(0)
    body = counter.sale(wanted) | {"points": wanted, "mode": "capture"}
    done(await counter.post("/v1/redemptions", body))
    return points(wanted)


async def _picture(counter: Counter) -> tuple[dict[str, str], list[Any]]:
    """The sums, and the lots that the gifts made."""
    balance = await counter.balance()
    sums = {name: balance[name] for name in ("available", "promo", "held", "deferred", "debt")}
    lots = [{**lot, "id": None} for lot in await counter.lots() if lot["program"] is None]
    return sums, lots


def _net(balance: dict[str, str]) -> Decimal:
    owned = sum(points(balance[name]) for name in ("available", "deferred", "held"))
    return owned - points(balance["debt"])


@given(
    amounts=st.lists(st.tuples(quantities, st.integers(0, 5000)), min_size=1, max_size=6),
    step=st.sampled_from([1, 7, 50, 100]),
    parts=st.lists(st.lists(st.integers(0, 100), min_size=6, max_size=6), max_size=6),
)
def test_parts_add_up_and_never_shrink(
    amounts: list[tuple[int, int]], step: int, parts: list[list[int]]
) -> None:
    """Every return takes whole steps, none less than nothing, no line more than it earned."""
    sold = Sold(tuple(SoldLine(n, "a", q, e) for n, (q, e) in enumerate(amounts, 1)), ())
    earned = Earned("p", 1, {n: e for n, (_, e) in enumerate(amounts, 1) if e}, step)
    back: Sums[int] = Sums()
    took: Sums[tuple[str | None, int]] = Sums()
    before = Progress(sold, back, 0)
    for count, part in enumerate([*parts, [100] * 6], 1):
        left = before.left()
        now = {n: left[n] * part[n - 1] // 100 for n in left}
        back.update(now)
        after = Progress(sold, dict(back), count)
        taken = after.revoked(earned) - before.revoked(earned)
        assert taken >= 0
        assert taken % step == 0 or after.revoked(earned) == earned.points
        exact = sum(e * back[n] * FINE // q for n, (q, e) in enumerate(amounts, 1))
        assert after.revoked(earned) * FINE <= exact + len(amounts) * 2
        given = Given(count - 1, back, took, Sums(), Sums())
        lines = by_line(earned, taken, after, given, now)
        assert sum(lines.values()) == taken
        took.update({("p", n): value for n, value in lines.items()})
        assert all(took["p", n] <= e for n, (_, e) in enumerate(amounts, 1))
        assert all(after.restored(n) - before.restored(n) >= 0 for n in left)
        before = after
    assert before.whole
    assert before.revoked(earned) == earned.points
    assert all(before.restored(n) == e for n, (_, e) in enumerate(amounts, 1))


async def test_the_ledger_stands_after_all_that(world: None, shared_database: TestDatabase) -> None:
    owner = await asyncpg.connect(shared_database.owner_url)
    found = (await audit(owner)).findings
    await owner.close()
    assert found == []
