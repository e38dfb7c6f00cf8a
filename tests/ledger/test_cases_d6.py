"""D6: as-of and backdated, as Formance and hordak publish it.

World is `issued`, a user a customer, the bank `redeemed`; a transfer goes through `clearing`.
Of hordak's worked examples, gains, currencies and households are accounts we do not have; its
triggers for unbalanced transactions have nothing to refuse: a posting has two sides by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from ledger.flows import Account
from ledger.listing import list_postings
from ledger.model import Transaction
from ledger.reads import statement
from ledger.selection import Selection
from ledger.service import Ledger
from ledger.totals import trial_balance
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, assert_clean, lot

HOUR = 3600
MONTH = 30 * 24 * HOUR


class Users:
    """Formance's seven transactions, at hours -4 to +2 of an hour 10 at which we know them all."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.u1, self.u2 = Customer(ledger, clock), Customer(ledger, clock)
        self.ledger, self.clock = ledger, clock

    async def deal(self, hours: list[int]) -> None:
        u1, u2 = self.u1, self.u2
        deals: list[Callable[[float], Awaitable[Transaction]]] = [
            lambda at: u1.give(100, at=at),
            lambda at: u2.give(125, at=at),
            lambda at: u1.transfer(u2, 75, at=at),
            lambda at: u1.give(175, at=at),
            lambda at: u2.redeem(50, at=at),
            lambda at: u2.transfer(u1, 100, at=at),
            lambda at: u1.redeem(150, at=at),
        ]
        for hour, deal in zip(hours, deals, strict=True):
            await deal(hour * HOUR)

    async def volumes(self, hour: int) -> dict[str, int]:
        """u1, u2, bank, world and clearing as of an hour, by three ways that must agree."""
        totals = await self._totals(Selection(as_of=self.clock.at(hour * HOUR)))
        users = {"u1": self.u1, "u2": self.u2}
        of = {name: (await one.as_of(hour * HOUR)).available for name, one in users.items()}
        for name, one in users.items():
            own = Selection(as_of=self.clock.at(hour * HOUR), customer_id=one.id)
            assert (await self._totals(own)).get("available", 0) == of[name]
        assert sum(totals.values()) == 0
        assert totals.get("available", 0) == sum(of.values()), "group level 1: u1 + u2"
        return {
            **of,
            "bank": totals.get("redeemed", 0),
            "world": totals.get("issued", 0),
            "clearing": totals.get("clearing", 0),
        }

    async def _totals(self, selection: Selection) -> dict[Account, int]:
        found = await trial_balance(self.ledger, selection)
        return {total.account: total.credit - total.debit for total in found}


ACCOUNTS: tuple[Account | None, ...] = (None, "available", "issued", "clearing")
ALL = {"u1": 150, "u2": 50, "bank": 200, "world": -400, "clearing": 0}
FIRST_THREE = {"u1": 25, "u2": 200, "bank": 0, "world": -225, "clearing": 0}
UP_TO_THE_FIFTH = {"u1": 200, "u2": 150, "bank": 50, "world": -400, "clearing": 0}


@pytest.fixture
def users(ledger: Ledger, clock: Clock) -> Users:
    clock.seconds = 10 * HOUR
    return Users(ledger, clock)


async def test_formance_volumes(users: Users, database: TestDatabase) -> None:
    await users.deal([6, 7, 8, 9, 10, 11, 12])
    assert await users.volumes(12) == ALL
    assert await users.volumes(8) == FIRST_THREE
    assert await users.volumes(10) == UP_TO_THE_FIFTH
    await assert_clean(database)


async def test_backdated_volumes(users: Users, database: TestDatabase) -> None:
    """The same deals, each said to have happened an hour before the one told before it.

    What is known now decides whether points may be spent, so all succeed; as of an hour in which
    the redemption stands before the accrual that paid it, the sum is below zero.
    """
    await users.deal([12, 11, 10, 9, 8, 7, 6])
    assert await users.volumes(12) == ALL
    assert await users.volumes(6) == {"u1": -150, "u2": 0, "bank": 150, "world": 0, "clearing": 0}
    assert await users.volumes(9) == {"u1": 125, "u2": -150, "bank": 200, "world": -175,
                                      "clearing": 0}  # fmt: skip
    await assert_clean(database)


async def test_1709_list_totals_and_aggregate_count_the_same(users: Users) -> None:
    """formance#1709: filtered as of a time, the list, the volumes and the aggregate agree."""
    await users.deal([6, 7, 8, 9, 10, 11, 12])
    for hour in range(5, 14):
        for one in (None, users.u1.id, users.u2.id):
            for account in ACCOUNTS:
                selection = Selection(
                    as_of=users.clock.at(hour * HOUR),
                    customer_id=one,
                    account=account,
                )
                rows = await list_postings(users.ledger, selection, 1000)
                for total in await trial_balance(users.ledger, selection):
                    debits = sum(r["amount"] for r in rows if r["debit"] == total.account)
                    credits = sum(r["amount"] for r in rows if r["credit"] == total.account)
                    assert (total.debit, total.credit) == (debits, credits)
        listed = [
            item
            for one in (users.u1, users.u2)
            for item in await statement(users.ledger, one.id, 100)
            if item.transaction.occurred_at <= users.clock.at(hour * HOUR)
        ]
        volumes = await users.volumes(hour)
        assert sum(item.points for item in listed) == volumes["u1"] + volumes["u2"]


async def test_hordak_prepaid_rent(ledger: Ledger, clock: Clock) -> None:
    """Deferral: 3,000 given, a third becomes spendable each month: 3,000, 2,000, 1,000, 0."""
    one = Customer(ledger, clock)
    await one.accrue(*(lot(1000, active=month * MONTH) for month in (1, 2, 3)))
    now = []
    for month in range(4):
        clock.seconds = month * MONTH
        state = await one.state()
        now.append((state.deferred, state.available))
    assert now == [(3000, 0), (2000, 1000), (1000, 2000), (0, 3000)]
    as_of = [await one.as_of(month * MONTH) for month in range(4)]
    assert [(state.deferred, state.available) for state in as_of] == now


async def test_hordak_accrual_then_pay(ledger: Ledger, clock: Clock) -> None:
    """3 × 100 accrued, then 300 paid: the payable is 0."""
    one = Customer(ledger, clock)
    payable = []
    for month in range(3):
        clock.seconds = month * MONTH
        payable.append((await one.give(100)).after.available)
    payable.append((await one.redeem(300)).after.available)
    assert payable == [100, 200, 300, 0]
