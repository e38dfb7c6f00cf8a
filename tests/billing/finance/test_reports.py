"""Reports agree with plain SQL over raw postings, with each other and with what they list."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from billing.catalog.model import Channel, ProductGroup, Store
from billing.finance.schemas import AgeingOut, EntryPage, LiabilityOut, ProgramsOut
from ledger.commands import Redeem, Restore, Revoke, Transfer
from ledger.rollups import roll_up
from ledger.sweep import post_due
from tests.billing.balances.house import DAY, START, House
from tests.billing.finance import plain
from tests.billing.finance.plain import without_links
from tests.billing.finance.test_totals import Life

ZONE: Final = ZoneInfo("Europe/Moscow")
MIDNIGHT: Final = START - timedelta(hours=12)
DIMENSIONS: Final = (
    "channel", "store", "store_group", "product_group", "program", "program_version", "bucket",
)  # fmt: skip
TRIAL, LIABILITY, AGEING, PROGRAMS, POSTINGS, ENTRIES = (
    f"/v1/ledger/{name}"
    for name in ("trial-balance", "liability", "ageing", "programs", "postings", "general-ledger")
)
MOVEMENTS: Final = ("accrued", "activated", "redeemed", "expired", "adjusted", "transferred")


class RolledLife(Life):
    """A life during which sums are rolled up now and then, never all of it."""

    async def _deal(self, customer: UUID) -> None:
        if self.random.random() < 0.05:
            other = self.random.choice([one for one in self.customers if one != customer])
            await self.house.do(customer, "transfer_out", Transfer(other, "max"))
            return
        await super()._deal(customer)
        if self.random.random() < 0.03:
            await roll_up(self.house.ledger, ZONE, chunk=self.random.randint(1, 40))


async def told(house: House, seed: int, dealings: int = 140) -> RolledLife:
    catalog = house.services.catalog
    await catalog.put(Channel("shop", "Shops"))
    await catalog.put(Store("moscow-1", "One", "shop", "moscow"))
    await catalog.put(Store("moscow-2", "Two", "shop", "region"))
    for group, parent in (("food", None), ("dairy", "food"), ("bread", "food")):
        await catalog.put(ProductGroup(group, group, parent))
    life = RolledLife(house, seed)
    await life.live(dealings)
    while await post_due(house.ledger):
        pass
    return life


def some_query(life: Life) -> dict[str, Any]:
    """Filters and times, of which some cut days and some do not."""
    pick = life.random
    values: dict[str, list[Any]] = {
        "channel": ["shop", "site", ""],
        "store": ["moscow-1", "moscow-2", ""],
        "store_group": ["moscow", "region", ""],
        "product_group": ["dairy", "bread", ""],
        "product_tree": ["food", "dairy"],
        "program": ["base-5", "gift", ""],
        "bucket": ["base", "promo"],
        "customer_id": life.customers,
        "time": ["recorded_at"],
        "known_at": [some_time(life), some_time(life)],
    }
    query = {name: pick.choice(of) for name, of in values.items() if pick.random() < 0.2}
    first, last = sorted((some_time(life), some_time(life)))
    if pick.random() < 0.7:
        query["from_"] = first
    if pick.random() < 0.7:
        query[pick.choice(("to", "as_of"))] = last
    return query


def some_time(life: Life) -> datetime:
    day = MIDNIGHT + life.random.randint(0, 34) * DAY
    return day + life.random.choice((timedelta(), timedelta(hours=life.random.randint(1, 23))))


def some_dimensions(life: Life) -> tuple[str, ...]:
    return tuple(name for name in DIMENSIONS if life.random.random() < 0.3)


def cents(value: str) -> int:
    return int(Decimal(value) * 100)


@pytest.mark.parametrize("seed", [1, 2, 5])
async def test_reports_are_what_plain_sql_makes_of_raw_postings(house: House, seed: int) -> None:
    life = await told(house, seed)
    for _ in range(25):
        query, by = some_query(life), some_dimensions(life)

        trial = await house.get(TRIAL, by=",".join(by), **query)
        if set(query) & {"to", "as_of"} or query.get("time") or "known_at" not in query:
            assert {
                (row["account"], *(row[name] for name in by)): (
                    cents(row["debit"]),
                    cents(row["credit"]),
                )
                for row in trial["rows"]
            } == await plain.trial_balance(house, query, by)

        found = await house.get(LIABILITY, by=",".join(by), **query)
        assert {
            tuple(row[name] for name in by): tuple(
                cents(row[name]) for name in ("opening", *MOVEMENTS, "closing")
            )
            for row in found["rows"]
        } == await plain.liability(house, query, by)
        for row in (*found["rows"], found["totals"]):
            parts = ("available", "deferred", "held", "debt")
            assert sum(cents(row[part]) for part in parts) == cents(row["closing"])

        aged = await house.get(AGEING, by=",".join(by), **query)
        assert {
            (row["expires"], *(row[name] for name in by)): cents(row["total"])
            for row in aged["rows"]
            if cents(row["total"])
        } == await plain.ageing(house, query, by)


@pytest.mark.parametrize("seed", [3, 6])
async def test_ageing_of_lots_is_that_of_all_postings(house: House, seed: int) -> None:
    """Now it is read from lots, as of a time added up from postings: also of who owes."""
    life = await told(house, seed)
    owed = 0
    for filters in (
        {},
        {"bucket": "promo"},
        {"program": "base-5"},
        {"customer_id": life.customers[0]},
    ):
        for by in ("", "bucket", "program,program_version", "bucket,program"):
            for step in ("day", "month", "year"):
                query: dict[str, Any] = {"by": by, "step": step, **filters}
                later = query | {"as_of": START + 900 * DAY}
                now, posted = [
                    [without_links(row) for row in (await house.get(AGEING, **asked))["rows"]]
                    for asked in (query, later)
                ]
                assert now == posted
                owed += sum(cents(row["debt"]) != 0 for row in now)
    assert owed


@pytest.mark.parametrize("seed", [7, 8])
async def test_every_total_lists_the_postings_it_adds_up(house: House, seed: int) -> None:
    life = await told(house, seed, 90)
    for _ in range(6):
        query, by = some_query(life), some_dimensions(life)
        for row in (await house.get(TRIAL, by=",".join(by), **query))["rows"]:
            items = await behind(house, row["postings"])
            for side in ("debit", "credit"):
                listed = sum(cents(one["points"]) for one in items if one[side] == row["account"])
                assert listed == cents(row[side]), (row, query)
        for row in (await house.get(LIABILITY, by=",".join(by), **query))["rows"]:
            for movement in MOVEMENTS:
                items = await behind(house, row["postings"], movement=movement)
                assert net(items, movement) == cents(row[movement])
        for row in (await house.get(PROGRAMS, by=",".join(by), **query))["rows"]:
            assert len(await behind(house, row["postings"])) == row["postings_count"]


async def behind(house: House, path: str, **more: str) -> list[Any]:
    """The postings a row's link leads to, followed as it is."""
    query = dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))
    return await house.pages(POSTINGS, 7, **query, **more)


def net(items: list[Any], movement: str) -> int:
    if movement == "activated":
        return sum(cents(one["points"]) for one in items)
    house_side = {
        "accrued": "issued",
        "redeemed": "redeemed",
        "expired": "expired",
        "adjusted": "adjustment",
        "transferred": "clearing",
    }[movement]
    arrived = sum(cents(one["points"]) for one in items if one["credit"] == house_side)
    left = sum(cents(one["points"]) for one in items if one["debit"] == house_side)
    return arrived - left if movement in ("redeemed", "expired") else left - arrived


async def test_a_listed_posting_names_its_receipt_program_version_and_author(
    house: House,
) -> None:
    customer = await house.customer()
    made = await house.accrue(
        customer, 500, program="base-5", source="sale/s/moscow-1/0001-7", author="till 7"
    )

    (row,) = (await house.get(PROGRAMS))["rows"]
    (posting,) = await behind(house, row["postings"])

    assert (posting["receipt"], posting["program"], posting["program_version"]) == (
        "0001-7",
        "base-5",
        1,
    )
    assert (posting["author"], posting["transaction_id"]) == ("till 7", str(made.id))


async def test_a_page_goes_on_with_a_balance_of_its_own_filter_only(house: House) -> None:
    """A balance of all, carried on in one account or by the key of one store, would be wrong."""
    customer = await house.customer()
    for _ in range(3):
        await house.accrue(customer, 500, program="base-5", channel="shop", store="moscow-1")
    cursor = (await house.get(ENTRIES, limit=1))["next_cursor"]
    everything = await house.client()
    await house.services.catalog.put(Channel("shop", "Shops"))
    bound = await house.client(channel="shop")
    for client, filters in (
        (everything, {"account": "debt"}),
        (everything, {"time": "recorded_at"}),
        (everything, {"store": "moscow-1"}),
        (bound, {}),
    ):
        answer = await client.get(ENTRIES, params={"cursor": cursor, **filters})
        assert answer.status_code == 400, filters
        assert answer.json()["errors"][0]["pointer"] == "/query/cursor"
    assert (await house.get(ENTRIES, limit=1, cursor=cursor))["opening"] == "5.00"


@pytest.mark.parametrize("seed", [11, 12])
async def test_a_general_ledger_runs_from_its_opening_to_its_closing(
    house: House, seed: int
) -> None:
    life = await told(house, seed, 90)
    for _ in range(8):
        query = some_query(life)
        account = life.random.choice((None, "available", "deferred", "issued", "debt"))
        items: list[Any] = []
        cursor, balance = None, None
        while True:
            page = await house.get(ENTRIES, limit=9, account=account, cursor=cursor, **query)
            assert balance in (None, page["opening"])
            balance = page["opening"]
            for item in page["items"]:
                change = cents(item["credit"]) - cents(item["debit"])
                assert cents(item["balance"]) == cents(balance) + change
                balance = item["balance"]
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        times = [item[query.get("time", "occurred_at")] for item in items]
        assert times == sorted(times)
        until = {name: value for name, value in query.items() if name != "from_"}
        if account is None:
            (row,) = (await house.get(LIABILITY, **until))["rows"] or [{"closing": "0.00"}]
            assert balance == row["closing"]
        elif set(until) & {"to", "as_of"} or "known_at" not in until:
            rows = (await house.get(TRIAL, account=account, **until))["rows"]
            assert balance == (rows[0]["balance"] if rows else "0.00")


async def test_a_statement_is_the_general_ledger_of_one_customer(house: House) -> None:
    life = await told(house, 13, 60)
    for customer in life.customers:
        page = await house.get(ENTRIES, customer_id=customer, limit=500)
        msgspec.convert(page, EntryPage)
        shown = await house.get(f"/v1/customers/{customer}/balance")
        owed = sum(cents(shown[name]) for name in ("available", "deferred", "held"))
        last = page["items"][-1]["balance"] if page["items"] else "0.00"
        assert cents(last) == owed - cents(shown["debt"])


async def test_programs_show_what_they_gave_and_cost(house: House) -> None:
    customer = await house.customer()
    given = await house.accrue(customer, 10_000, program="base-5")
    spent = await house.do(customer, "redemption", Redeem(4_000))
    await house.do(customer, "restoration", Restore(spent.id, 1_000))
    await house.do(
        customer, "revocation", Revoke(given.id, ((given.postings[0].lot_id, None, 500),))
    )

    found = await house.get(PROGRAMS, point_value="0.50", from_=START)

    msgspec.convert(found, ProgramsOut)
    (row,) = found["rows"]
    assert without_links(row) == {
        "program": "base-5", "issued": "100.00", "revoked": "5.00", "redeemed": "40.00",
        "restored": "10.00", "expired": "0.00", "adjusted": "0.00", "transferred": "0.00",
        "outstanding": "65.00", "cost": "15.00", "outstanding_value": "32.50",
        "redemption_rate": "0.3158", "postings_count": 4,
    }  # fmt: skip


async def test_roll_ups_are_the_raw_sum_wherever_they_stand(house: House) -> None:
    life = await told(house, 17, 60)
    by = ",".join(DIMENSIONS)

    before = [await house.get(path, by=by) for path in (TRIAL, LIABILITY)]
    while await roll_up(house.ledger, ZONE, chunk=3):
        pass
    cells = await house.ledger.pool.fetchrow("SELECT sum(amount), sum(count) FROM ledger.rollups")
    raw = await house.ledger.pool.fetchrow("SELECT sum(amount), count(*) FROM ledger.postings")
    assert cells is not None
    assert raw is not None
    assert tuple(cells) == tuple(raw)
    assert [await house.get(path, by=by) for path in (TRIAL, LIABILITY)] == before

    # Another time zone makes other days; they are summed up anew.
    while await roll_up(house.ledger, ZoneInfo("Asia/Vladivostok"), chunk=30):
        pass
    assert [await house.get(path, by=by) for path in (TRIAL, LIABILITY)] == before
    assert life.customers


async def test_answers_have_their_shape(shared_house: House) -> None:
    msgspec.convert(await shared_house.get(LIABILITY, by="store_group"), LiabilityOut)
    msgspec.convert(await shared_house.get(AGEING, by="bucket", step="quarter"), AgeingOut)


async def test_contradictory_times_are_refused(shared_house: House) -> None:
    client = await shared_house.client()
    for query in (
        {"to": START.isoformat(), "as_of": START.isoformat()},
        {"from": (START + DAY).isoformat(), "to": START.isoformat()},
    ):
        answer = await client.get(LIABILITY, params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
