"""Properties of returns: any split, any order, with anything in between (C3 to C9, T51)."""

from __future__ import annotations

import asyncio
from collections import Counter as Sums
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
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
from tests.billing.programs.written import PAYMENTS, Definition, giving, paying
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
    """One house for all examples; each has a shop, programs and customers of its own."""

    loop: asyncio.AbstractEventLoop
    counter: Counter
    opened: AbstractAsyncContextManager[Counter]


@pytest.fixture(scope="module")
def world(shared_settings: Settings) -> Iterator[None]:
    World.loop = asyncio.new_event_loop()
    World.opened = opened(shared_settings)
    World.counter = World.loop.run_until_complete(World.opened.__aenter__())
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
        self.forgiven: Any = Sums()
        """Hundredths by program: the customer has had them, so they stay counted (C2)."""

    def write(self, back: Any, postings: Any) -> None:
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
        for one in postings:
            if (one["kind"], one["credit"]) == ("forgive", "debt"):
                self.forgiven[one["program"]] += int(points(one["points"]) * 100)
        assert points(back["restored"]) == sum(
            points(line["points_restored"]) for line in back["lines"]
        )
        assert all(0 <= self.restored[n] <= self.paid[n] for n in self.restored)
        assert all(0 <= self.revoked[n] <= self.earned[n] for n in self.revoked)

    def counters(self, before: dict[str, int], after_sale: dict[str, int]) -> dict[str, int]:
        """What all counters must be in the end."""
        left = dict(before)
        for name in after_sale:
            kind, program, *_ = name.split("/")
            more = self.forgiven[program]
            left[name] = before.get(name, 0) + (bool(more) if kind in ("once", "times") else more)
        return {name: value for name, value in left.items() if value}


@dataclass
class Story:
    """A sale, how it is paid, and what happens between its returns.

    `share` of what points may pay is paid, by a redemption before the sale or `quoted`; after each
    return the customer waits `pause` days and spends `spend` per cent of what there is. With
    `kept` there was another sale that stays.
    """

    programs: list[Definition]
    rule: Definition | None
    goods: list[tuple[int, int]]
    payments: list[tuple[str, int]]
    share: int
    parts: list[list[int]]
    pause: int
    spend: int
    early: bool
    quoted: bool
    kept: bool


@st.composite
def stories(draw: st.DrawFn) -> Story:
    spend = draw(st.sampled_from([0, 0, 30, 100]))
    kept = draw(st.booleans()) and not spend
    programs = draw(giving())
    for program in programs if kept else ():
        program["limits"]["budget"] = None  # Else what one customer got the other would not.
    return Story(
        programs,
        draw(st.none() | paying()),
        draw(st.lists(st.tuples(st.integers(0, 20_000), quantities), min_size=1, max_size=4)),
        draw(st.lists(st.tuples(st.sampled_from(PAYMENTS), st.integers(0, 99_99)), max_size=2)),
        draw(st.sampled_from([0, 40, 100])),
        draw(splits),
        draw(st.integers(0, 60)),
        spend,
        draw(st.booleans()),
        draw(st.booleans()),
        kept,
    )


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(story=stories())
def test_whatever_comes_back_in_the_end_the_sale_has_not_been(world: None, story: Story) -> None:
    """Under any programs balance, lots and counters are what they would have been; nothing
    exceeds the sale; and a quote and its sale agree."""
    World.loop.run_until_complete(_example(story))


async def _example(story: Story) -> None:
    counter = World.counter
    counter.clock.now = START
    counter = await counter.another()
    await _publish(counter, story)
    other = await _with_gifts(counter, story)
    await _with_gifts(counter, story)
    before = await counter.counters()
    sale = await _sell(counter, story)
    counted = await counter.counters()
    books = Books(sale)
    left = {n: quantity for n, (_, quantity) in enumerate(story.goods, 1)}
    spent = Decimal(0)
    for part in [*story.parts, [100] * 4]:
        some = {n: left[n] * part[n - 1] // 100 for n in left}
        some = {n: quantity for n, quantity in some.items() if quantity}
        if not some:
            continue
        left = {n: quantity - some.get(n, 0) for n, quantity in left.items()}
        back = await _take_back(counter, sale, {n: text(q) for n, q in some.items()}, spent)
        if back is None:
            return
        stored = await counter.get(f"/v1/returns/{counter.store}/{back['number']}")
        books.write(back, stored["postings"])
        counter.clock.now += timedelta(days=story.pause)
        spent += await _spend(counter, story.spend)
    assert +books.restored == +Sums(books.paid)
    assert +books.revoked == +books.earned
    refused = await counter.refused(sale)
    assert (refused.status_code, refused.json()["code"]) == (409, "return_exceeds_sale")
    assert await counter.counters() == books.counters(before, counted)
    after, lots = await _picture(counter)
    counter.customer_id = other
    would_be, lots_would_be = await _picture(counter)
    assert _net(after) == _net(would_be) - spent + books.forgiven.total() / Decimal(100)
    if not spent:
        assert (after, lots) == (would_be, lots_would_be)


async def _publish(counter: Counter, story: Story) -> None:
    """The programs of the story, of this shop alone."""
    own = f"-{counter.number}"
    for number, program in enumerate(story.programs):
        lines, reward, stacking = program["lines"], program["reward"], program["stacking"]
        if "programs" in reward:
            reward |= {"programs": [f"{code}{own}" for code in reward["programs"]]}
        stacking |= {"group": stacking["group"] + own}
        lines |= {name: [f"{one}{own}" for one in lines[name]] for name in _GOODS}
        await counter.program(f"p{number}", **program)
    if story.rule is not None:
        lines = story.rule["lines"]
        lines |= {name: [f"{one}{own}" for one in lines[name]] for name in _GOODS}
        await counter.program("pays", None, **story.rule)


_GOODS = ("groups", "exclude_groups")


def _basket(counter: Counter, story: Story) -> dict[str, Any]:
    lines = [
        counter.line(n, money(value(price, quantity)), text(quantity), "abc"[n % 3])
        | {"price": money(price), "promo": n % 4 == 3}
        for n, (price, quantity) in enumerate(story.goods, 1)
    ]
    body = counter.sale(*lines)
    body["receipt"]["payments"] = [
        {"type": kind, "amount": money(amount)} for kind, amount in story.payments
    ]
    return body


async def _sell(counter: Counter, story: Story) -> Any:
    body = _basket(counter, story)
    client = await counter.client()
    quote = done(await client.post("/v1/quotes", json=body | {"redeem": "max"}))
    pays = money(int(points(quote["max_redeemable"]) * story.share))
    if pays != "0.00" and story.early:
        redeeming = body | {"mode": "capture", "points": pays}
        paid = done(await counter.post("/v1/redemptions", redeeming))
        return done(
            await counter.post("/v1/receipts", body | {"redeem": {"redemption_id": paid["id"]}})
        )
    redeem = {"redeem": {"points": pays}} if pays != "0.00" else {}
    if not story.quoted:
        return done(await counter.post("/v1/receipts", body | redeem))
    quote = done(await client.post("/v1/quotes", json=body | {"redeem": pays}))
    named = body | redeem | {"quote_id": quote["quote_id"]}
    sale = done(await counter.post("/v1/receipts", named))
    assert (sale["lines"], sale["accruals"]) == (quote["lines"], quote["accruals"])
    assert sale["redeemed"] == quote["redeem"] == pays
    return sale


async def _take_back(counter: Counter, sale: Any, lines: dict[int, str], spent: Decimal) -> Any:
    """The return; None when a program refuses it, for what it gave is spent: nothing happens."""
    before = await _picture(counter), await counter.counters()
    answer = await counter.refused(sale, lines)
    if answer.status_code == 201:
        return answer.json()
    assert (answer.status_code, answer.json()["code"]) == (409, "points_already_spent")
    assert spent
    assert (await _picture(counter), await counter.counters()) == before
    return None


async def _with_gifts(counter: Counter, story: Story) -> str:
    """A new customer with three lots, and perhaps a sale that stays."""
    await counter.newcomer()
    for days in (20, 200, None):
        end = START + timedelta(days=days) if days and not story.spend else None
        await counter.give("+20.00", expires_at=end and end.isoformat())
    if story.kept:
        done(await counter.post("/v1/receipts", _basket(counter, story)))
    return counter.customer_id


async def _spend(counter: Counter, share: int) -> Decimal:
    """Spend some of what there is elsewhere, on something that is not returned."""
    spendable = points((await counter.balance())["spendable"]) * share / 100
    wanted = f"{spendable:.2f}" if spendable >= Decimal("0.01") else "0.00"
    if wanted == "0.00":
        return Decimal(0)
    body = World.counter.sale(wanted) | {"customer": counter.customer}
    done(await counter.post("/v1/redemptions", body | {"points": wanted, "mode": "capture"}))
    return points(wanted)


async def _picture(counter: Counter) -> tuple[dict[str, str], list[Any]]:
    """The sums, and every lot that holds anything."""
    balance = await counter.balance()
    sums = {name: balance[name] for name in ("available", "promo", "held", "deferred", "debt")}
    lots = [
        {**lot, "id": None}
        for lot in await counter.lots()
        if {lot["available"], lot["deferred"], lot["held"]} != {"0.00"}
    ]
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
