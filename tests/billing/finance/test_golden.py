"""A pinned company: a grocer's year of receipts, its reports checked in (issue: Proof).

BONUS_GOLDEN=write writes the files anew; look at the difference before you keep it.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec
import pytest

from billing.catalog.model import Channel, Store
from billing.common.settings import Settings
from ledger.commands import Accrue, Command, Grant, Redeem
from ledger.group import Result
from ledger.rollups import roll_up
from ledger.sweep import post_due
from tests.billing.balances.house import DAY, House, opened
from tests.billing.finance.plain import without_links
from tests.conftest import TestDatabase
from tests.ledger.house import audited

GOLDEN: Final = Path(__file__).parent / "golden"
MONTHS: Final = [datetime(2017 + at // 12, at % 12 + 1, 1, tzinfo=UTC) for at in range(14)]
LIFE: Final = timedelta(days=120)
WEEK: Final = 7 * DAY


class Sale(msgspec.Struct):
    """A basket: money by department, in 1/100."""

    at: datetime
    customer: UUID
    store: str
    number: str
    groups: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.groups.values())

    def command(self) -> Command:
        """Five per cent by department; three in ten pay up to half of it with points."""
        shares = tuple((group, money // 20) for group, money in sorted(self.groups.items()))
        steps: list[Any] = []
        if sha256(self.number.encode()).digest()[0] % 10 < 3:
            steps.append(Redeem("max", self.total // 2))
        steps.append(Accrue((Grant("base", shares, None, self.at + LIFE, "base-5", 1),)))
        return Command(
            customer_id=self.customer,
            kind="receipt",
            occurred_at=self.at,
            steps=tuple(steps),
            source=f"sale/s/{self.store}/{self.number}",
            channel="shop",
            store=self.store,
        )


def sales(folder: Path) -> list[Sale]:
    departments: dict[str, str] = {}
    for row in _rows(folder / "products.csv.gz"):
        departments[row["product_id"]] = row["department"].replace(" ", "-").lower() or "other"
    baskets: dict[str, Sale] = {}
    for row in _rows(folder / "receipt_lines.csv.gz"):
        money = int(Decimal(row["sales_value"]) * 100)
        sale = baskets.setdefault(
            row["basket_id"],
            Sale(
                datetime.fromisoformat(row["transaction_timestamp"]).replace(tzinfo=UTC),
                uuid5(NAMESPACE_OID, row["household_id"]),
                row["store_id"],
                row["basket_id"],
                defaultdict(int),
            ),
        )
        sale.groups[departments.get(row["product_id"], "other")] += money
    made = [sale for sale in baskets.values() if all(one >= 20 for one in sale.groups.values())]
    return sorted(made, key=lambda sale: (sale.at, sale.number))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings) as made:
        yield made


async def live_a_year(house: House, made: list[Sale]) -> None:
    """Week by week, recorded at its end."""
    for week, some in groupby(made, key=lambda sale: (sale.at - MONTHS[0]) // WEEK):
        house.clock.now = MONTHS[0] + (week + 1) * WEEK
        results = await house.ledger.execute_many([sale.command() for sale in some])
        assert all(isinstance(one, Result) for one in results)
        while await post_due(house.ledger):
            pass
        await roll_up(house.ledger, house.services.zone)
    house.clock.now = MONTHS[-1]
    while await post_due(house.ledger):
        pass


async def test_the_year_of_a_grocer(
    house: House, database: TestDatabase, shared_data: Path
) -> None:
    made = sales(shared_data)
    catalog = house.services.catalog
    await catalog.put(Channel("shop", "Shops"))
    for store in {sale.store for sale in made}:
        await catalog.put(Store(store, store, "shop", "north" if int(store) % 2 else "south"))
    await live_a_year(house, made)

    found = {
        "trial-balance-by-store-group.csv": await report(
            house, "trial-balance", by="store_group", as_of=MONTHS[12]
        ),
        "ageing.csv": await report(house, "ageing", as_of=MONTHS[11]),
        "programs-by-department.csv": await report(house, "programs", by="product_group"),
        "liability-by-store.csv": await report(
            house, "liability", by="store", from_=MONTHS[5], to=MONTHS[6]
        ),
    }
    months = [
        await house.get("/v1/ledger/liability", from_=first, to=last)
        for first, last in pairwise(MONTHS)
    ]
    found["liability-by-month.csv"] = _table(months)

    # What can be told without the service: all that was given, and that all of it ran out.
    given = sum(money // 20 for sale in made for money in sale.groups.values())
    assert sum(_cents(one["totals"]["accrued"]) for one in months) == given
    spent = sum(_cents(one["totals"]["redeemed"]) for one in months)
    gone = sum(_cents(one["totals"]["expired"]) for one in months)
    left = _cents(months[-1]["totals"]["closing"])
    assert given == spent + gone + left
    assert (await audited(database)).clean

    for name, content in found.items():
        path = GOLDEN / name
        if os.environ.get("BONUS_GOLDEN") == "write":
            path.write_text(content, encoding="utf-8", newline="")
        assert content == path.read_bytes().decode(), name


async def report(house: House, name: str, **query: Any) -> str:
    client = await house.client()
    params = {
        key.rstrip("_"): value.isoformat() if isinstance(value, datetime) else value
        for key, value in query.items()
    }
    answer = await client.get(f"/v1/ledger/{name}", params={**params, "format": "csv"})
    assert answer.status_code == 200, answer.text
    return answer.text


def _table(months: list[Any]) -> str:
    totals = [without_links(one["totals"]) for one in months]
    lines = [",".join(["month", *totals[0]])]
    lines += [
        ",".join([one["from"][:7], *total.values()])
        for one, total in zip(months, totals, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _cents(value: str) -> int:
    return int(Decimal(value) * 100)
