"""D7: split and rounding, as Numscript and Blnk publish it.

Numscript gives what is left over to the first shares in turn; we give it to the largest remainder
(C27), ties to the first. Both add up; where the parts differ the case says so. Its overdraft case
(5 from the account, 5 from the world) does not apply: nobody spends points he has not.
"""

from __future__ import annotations

import random

import pytest

from billing.common.money import format_amount, parse_amount, split
from billing.programs.model import UNIT, Percent, Rounding
from billing.programs.rewards import Taken, points_of
from ledger import commands as c
from ledger.errors import Refusal
from ledger.service import Ledger
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, taken


@pytest.mark.parametrize(
    ("total", "weights", "ours"),
    [
        # 12, 1.2, 1.8: the one left over is the third's. Published: 13/1/1.
        pytest.param(15, [80, 8, 12], [12, 1, 2], id="15 by 80/8/12 %"),
        pytest.param(15, [1, 1, 0], [8, 7, 0], id="15 by half, half, rest"),
        pytest.param(99, [50, 50], [50, 49], id="99 by 50/50"),
        pytest.param(99, [1] * 5, [20, 20, 20, 20, 19], id="99 by five fifths"),
        # 60, 35.5, 4.5: a tie, so the first of those with a remainder. Published: 61/35/4.
        pytest.param(100, [600, 355, 45], [60, 36, 4], id="100 by 60/35.5/4.5 %"),
    ],
)
async def test_numscript_split(
    ledger: Ledger, clock: Clock, total: int, weights: list[int], ours: list[int]
) -> None:
    """Over product groups of one redemption, as the ledger posts it."""
    assert split(total, weights) == ours
    one = Customer(ledger, clock)
    await one.give(total)
    names = [f"group {n}" for n in range(len(weights))]
    spread = c.Redeem(total, None, lambda n: tuple(zip(names, split(n, weights), strict=True)))
    spent = await one.do("redemption", spread)
    assert [(p.product_group, p.amount) for p in spent.postings] == [
        (name, part) for name, part in zip(names, ours, strict=True) if part
    ]


async def test_numscript_send_all(ledger: Ledger, clock: Clock) -> None:
    """19 and 22 in two lots: everything is taken from both."""
    one = Customer(ledger, clock)
    lots = [await one.give(19), await one.give(22)]
    assert taken(await one.redeem("max"), *lots) == [19, 22]
    assert await one.available() == 0


async def test_numscript_overdraft_double_spend(ledger: Ledger, clock: Clock) -> None:
    """5 in the account, asked for twice: the second 5 come from nowhere, so they are refused."""
    one = Customer(ledger, clock)
    await one.give(5)
    await one.redeem(5)
    with pytest.raises(Refusal, match="5 were asked for"):
        await one.redeem(5)


@pytest.mark.parametrize(
    ("text", "hundredths"), [("19.99", 1999), ("0.29", 29), ("1.13", 113), ("4.35", 435)]
)
async def test_blnk_times_100(ledger: Ledger, clock: Clock, text: str, hundredths: int) -> None:
    """As floats these are 1998.9999…, 28.9999…, 112.9999… and 434.9999…"""
    assert parse_amount(text) == hundredths
    one = Customer(ledger, clock)
    await one.give(parse_amount(text))
    assert format_amount(await one.available()) == text


@pytest.mark.parametrize(
    ("rate", "bases", "per", "mode", "expected"),
    [
        # C24: 290 × 0.1 is 29.00 (an erpnext test says 29.90).
        ("10", [29_000], "receipt", "down", [2900]),
        ("5", [1, 1, 1], "receipt", "down", [0, 0, 0]),
        ("5", [10, 10, 10], "receipt", "half_up", [1, 1, 0]),
        ("5", [10, 10, 10], "line", "half_up", [1, 1, 1]),
        ("5", [10, 30, 50], "line", "half_even", [0, 2, 2]),
        ("5", [1, 1, 1], "receipt", "up", [1, 0, 0]),
        ("33.3333", [10_000, 10_000, 10_000], "receipt", "down", [3333, 3333, 3333]),
    ],
)
def test_percent_rounds_then_splits_by_largest_remainder(
    rate: str, bases: list[int], per: str, mode: str, expected: list[int]
) -> None:
    whole, _, fraction = rate.partition(".")
    reward = Percent(int(whole) * 10_000 + int(fraction.ljust(4, "0") or 0))
    rounding = Rounding(mode, 1, per)  # type: ignore[arg-type]
    assert points_of(reward, Taken(bases, [UNIT] * len(bases), sum(bases)), rounding) == expected


def test_parts_add_up_and_miss_their_share_by_less_than_one() -> None:
    """C27, C28: Σ parts = total, for any weights."""
    chance = random.Random(7)
    for _ in range(2000):
        weights = [chance.randint(0, 10**6) for _ in range(chance.randint(1, 20))]
        weights[0] += 1
        total = chance.randint(0, 10**9)
        parts = split(total, weights)
        assert sum(parts) == total
        whole = sum(weights)
        assert all(
            abs(part * whole - total * weight) < whole
            for part, weight in zip(parts, weights, strict=True)
        )
