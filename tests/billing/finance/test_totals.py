"""Lists, totals and balances go through one ledger, and agree (DESIGN: two times)."""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, get_args
from uuid import UUID

import pytest

from ledger.commands import (
    Accrue,
    Adjust,
    Capture,
    Grant,
    PlaceHold,
    Redeem,
    Release,
    Restore,
    Revoke,
    Step,
)
from ledger.errors import Refusal
from ledger.flows import Account, Bucket, TransactionKind
from ledger.model import Transaction
from ledger.sweep import post_due
from tests.billing.balances.house import DAY, START, House

DIMENSIONS: Final = ("channel", "store", "product_group", "program", "bucket")
STORES: Final = {"moscow-1": "shop", "moscow-2": "shop", None: "site"}


class Life:
    """Random dealings of a few customers over some weeks, some of them recorded late."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.random = random.Random(seed)
        self.customers: list[UUID] = []
        self.known: dict[UUID, list[Transaction]] = {}

    async def live(self, dealings: int) -> None:
        self.customers = [await self.house.customer() for _ in range(4)]
        for _ in range(dealings):
            self.house.clock.now += timedelta(hours=self.random.randint(1, 9))
            with suppress(Refusal):
                await self._deal(self.random.choice(self.customers))

    async def _deal(self, customer: UUID) -> None:
        now = self.house.clock()
        store = self.random.choice(list(STORES))
        late = timedelta(hours=self.random.choice((0, 0, 0, 20)))
        kind, step = self._step(customer, now)
        made = await self.house.do(
            customer,
            kind,
            step,
            occurred_at=max(now - late, START),
            channel=STORES[store],
            store=store,
        )
        self.known.setdefault(customer, []).append(made)

    def _step(self, customer: UUID, now: datetime) -> tuple[TransactionKind, Step]:
        chance, points = self.random.random(), self.random.randint(1, 900)
        past = self.random.choice(self.known.get(customer) or [None])
        if past is None or chance < 0.4:
            return "accrual", Accrue((self._grant(now), self._grant(now)))
        if chance < 0.6:
            spread = (("dairy", points // 2), ("bread", points - points // 2))
            return "redemption", Redeem(points, None, lambda _: spread)
        if chance < 0.7:
            return "hold", PlaceHold(points, now + self.random.choice((DAY / 24, 2 * DAY)))
        if past.kind == "hold":
            return self.random.choice(
                (("capture", Capture(past.id)), ("release", Release(past.id)))
            )
        if past.kind == "accrual":
            return "revocation", Revoke(past.id)
        if past.kind == "redemption":
            return "restoration", Restore(past.id)
        return "adjustment", Adjust(self.random.choice((points, -points)), "base")

    def _grant(self, now: datetime) -> Grant:
        bucket: Bucket = self.random.choice(get_args(Bucket))
        return Grant(
            bucket,
            (("dairy", self.random.randint(1, 900)), (None, self.random.randint(1, 900))),
            self.random.choice((None, now + DAY)),
            self.random.choice((None, now + 3 * DAY)),
            self.random.choice((None, "base-5", "gift")),
        )


def decimals(rows: list[Any], name: str) -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


def sums_of(items: list[Any], by: tuple[str, ...]) -> dict[Any, tuple[Decimal, Decimal]]:
    debits: defaultdict[Any, Decimal] = defaultdict(Decimal)
    credits: defaultdict[Any, Decimal] = defaultdict(Decimal)
    for item in items:
        key = tuple(item[name] for name in by)
        debits[item["debit"], *key] += Decimal(item["points"])
        credits[item["credit"], *key] += Decimal(item["points"])
    return {key: (debits[key], credits[key]) for key in {*debits, *credits}}


@pytest.mark.parametrize("seed", [3, 4, 6])
async def test_lists_totals_and_balances_agree_over_random_postings(
    house: House, seed: int
) -> None:
    life = Life(house, seed)
    await life.live(120)
    while await post_due(house.ledger):
        pass
    end = house.clock()

    for _ in range(12):
        filters: dict[str, Any] = {
            name: life.random.choice(values)
            for name, values in {
                "channel": ["shop", "site"],
                "store": ["moscow-1", "moscow-2"],
                "product_group": ["dairy", "bread"],
                "program": ["base-5", "gift"],
                "bucket": list(get_args(Bucket)),
                "customer_id": life.customers,
                "from_": [START + 3 * DAY],
                "known_at": [START + 5 * DAY, START + 20 * DAY],
            }.items()
            if life.random.random() < 0.3
        }
        by = tuple(name for name in DIMENSIONS if life.random.random() < 0.4)
        until = START + life.random.randint(2, 40) * DAY
        items = await house.pages(
            "/v1/ledger/postings",
            life.random.randint(20, 500),
            to=until + timedelta(microseconds=1),
            **filters,
        )
        trial = await house.get("/v1/ledger/trial-balance", by=",".join(by), as_of=until, **filters)
        rows = trial["rows"]
        totals = {
            (row["account"], *(row[name] for name in by)): (
                Decimal(row["debit"]),
                Decimal(row["credit"]),
            )
            for row in rows
        }
        assert totals == sums_of(items, by)
        assert decimals(rows, "balance") == 0
        assert Decimal(trial["totals"]["debit"]) == decimals(items, "points")
        assert Decimal(trial["totals"]["credit"]) == decimals(items, "points")

    for moment in (None, end, START + 9 * DAY):
        for customer in life.customers:
            shown = await house.get(f"/v1/customers/{customer}/balance", as_of=moment)
            trial = await house.get("/v1/ledger/trial-balance", customer_id=customer, as_of=moment)
            balance = {row["account"]: row["balance"] for row in trial["rows"]}
            for account in ("available", "deferred", "held"):
                assert shown[account] == balance.get(account, "0.00"), (account, moment)
            assert Decimal(shown["debt"]) == -Decimal(balance.get("debt", 0))
            assert decimals(shown["future_accruals"], "points") == Decimal(shown["deferred"])
            assert decimals(shown["holds"], "points") == Decimal(shown["held"])

    for customer in life.customers:
        path = f"/v1/customers/{customer}"
        now = await house.get(f"{path}/balance")
        assert now == {
            **await house.get(f"{path}/balance", as_of=end),
            "as_of": now["as_of"],
        }
        whole = Decimal(now["available"]) + Decimal(now["deferred"]) + Decimal(now["held"])
        lots = await house.pages(f"{path}/lots", 7)
        for account in ("available", "deferred", "held"):
            assert decimals(lots, account) == Decimal(now[account])
        statement = await house.pages(f"{path}/statement", 7)
        assert decimals(statement, "points") == whole - Decimal(now["debt"])


@pytest.mark.parametrize("limit", [1, 5, 11, 500])
async def test_pages_of_postings_have_neither_gaps_nor_repeats(house: House, limit: int) -> None:
    life = Life(house, 5)
    await life.live(12)

    whole = await house.pages("/v1/ledger/postings", 500)
    found = await house.pages("/v1/ledger/postings", limit)

    assert found == whole
    places = [(one["customer_id"], one["version"], one["seq"]) for one in found]
    assert len(places) == len(set(places)) > 11
    assert [one["recorded_at"] for one in found] == sorted(one["recorded_at"] for one in found)
    owned = [
        await house.pages("/v1/ledger/postings", limit, customer_id=one) for one in life.customers
    ]
    assert sum(map(len, owned)) == len(whole)


async def test_every_account_has_a_name_finance_can_ask_for(house: House) -> None:
    await Life(house, 6).live(40)
    for account in get_args(Account):
        items = await house.pages("/v1/ledger/postings", 500, account=account)
        assert all(account in (one["debit"], one["credit"]) for one in items)
        trial = await house.get("/v1/ledger/trial-balance", account=account)
        assert {row["account"] for row in trial["rows"]} <= {account}
        net = sum(
            Decimal(one["points"]) * ((one["credit"] == account) - (one["debit"] == account))
            for one in items
        )
        assert decimals(trial["rows"], "balance") == net
