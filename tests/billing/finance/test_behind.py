"""Every figure leads down: postings, receipt, program version, and who did it (issue: Reports)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import pytest

from ledger.commands import Accrue, Step
from ledger.flows import CUSTOMER_ACCOUNTS, TransactionKind
from ledger.rollups import roll_up
from tests.billing.balances.house import DAY, START, House
from tests.billing.finance.test_reports import (
    AGEING,
    LIABILITY,
    MOVEMENTS,
    POSTINGS,
    PROGRAMS,
    TRIAL,
    ZONE,
    RolledLife,
    cents,
    some_dimensions,
    some_query,
    told,
)

KINDS: Final = {
    "issued": ("accrue",), "revoked": ("revoke",), "redeemed": ("redeem", "capture"),
    "restored": ("restore",), "expired": ("expire",), "transferred": ("transfer",),
}  # fmt: skip
STEPS: Final = ("day", "month", "quarter", "year")


async def follow(house: House, path: str, limit: int = 11, **more: str) -> list[Any]:
    """The postings a link leads to, followed as it is."""
    query = dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))
    return await house.pages(POSTINGS, limit, **query, **more)


def owed(items: list[Any]) -> int:
    """By how much postings change what is owed."""
    return sum(
        cents(one["points"])
        * ((one["credit"] in CUSTOMER_ACCOUNTS) - (one["debit"] in CUSTOMER_ACCOUNTS))
        for one in items
    )


@pytest.mark.parametrize("seed", [31, 32])
async def test_the_ends_of_a_period_lead_down_too(house: House, seed: int) -> None:
    life = await told(house, seed, 90)
    for _ in range(5):
        query, by = some_query(life), some_dimensions(life)
        found = await house.get(LIABILITY, by=",".join(by), **query)
        for row in (*found["rows"], found["totals"]):
            closing = row.get("closing_postings", row["postings"])
            assert owed(await follow(house, closing)) == cents(row["closing"]), (query, row)
            if "opening_postings" in row:
                assert owed(await follow(house, row["opening_postings"])) == cents(row["opening"])
            else:
                assert "from_" not in query
        totals = found["totals"]
        for movement in MOVEMENTS:
            items = await follow(house, totals["postings"], movement=movement)
            assert len({_place(one) for one in items}) == len(items)

        found = await house.get(PROGRAMS, by=",".join(by), **query)
        for row in (*found["rows"], found["totals"]):
            closing = row.get("closing_postings", row["postings"])
            assert owed(await follow(house, closing)) == cents(row["outstanding"])
            items = await follow(house, row["postings"], limit=500)
            for column, kinds in KINDS.items():
                narrowed = [
                    one for kind in kinds for one in await follow(house, row["postings"], kind=kind)
                ]
                assert {_place(one) for one in narrowed} == {
                    _place(one) for one in items if one["kind"] in kinds
                }
                net = owed(narrowed) if column == "transferred" else _sum(narrowed)
                assert net == cents(row[column]), column


@pytest.mark.parametrize("seed", [33, 34])
async def test_a_row_of_the_ageing_leads_to_its_own_expiry(house: House, seed: int) -> None:
    life = await told(house, seed, 90)
    for step in STEPS:
        query, by = some_query(life), some_dimensions(life)
        found = await house.get(AGEING, by=",".join(by), step=step, **query)
        for row in (*found["rows"], found["totals"]):
            items = await follow(house, row["postings"])
            assert owed(items) == cents(row["total"]), (query, row)
            if row is not found["totals"] and row["expires"] is None:
                assert {one["expires_at"] for one in items} <= {None}


async def test_the_totals_of_a_trial_balance_list_all_of_it(house: House) -> None:
    life = await told(house, 35, 60)
    for _ in range(4):
        query = some_query(life)
        for account in (None, "available"):
            totals = (await house.get(TRIAL, account=account, **query))["totals"]
            items = await follow(house, totals["postings"], limit=500)
            if account is None:
                assert _sum(items) == cents(totals["debit"]) == cents(totals["credit"])
            else:
                arrived = sum(cents(one["points"]) for one in items if one["credit"] == account)
                assert arrived == cents(totals["credit"])


class NamedLife(RolledLife):
    """Every dealing has a document, a program version and somebody who did it."""

    made: dict[str, tuple[str, str]]

    async def _deal(self, customer: UUID) -> None:
        real = self.house.do

        async def named(customer: UUID, kind: TransactionKind, *steps: Step, **more: Any) -> Any:
            number = f"0001-{len(self.made)}"
            author = self.random.choice(("till 7", "Anna", "campaigns"))
            if kind == "accrual" and isinstance(steps[0], Accrue):
                more["source"] = f"sale/s/{more.get('store') or 'web'}/{number}"
            done = await real(customer, kind, *steps, author=author, **more)
            self.made[str(done.id)] = (author, number if "source" in more else "")
            return done

        self.house.do = named  # type: ignore[method-assign]
        try:
            await super()._deal(customer)
        finally:
            self.house.do = real  # type: ignore[method-assign]


async def test_from_a_total_to_the_receipt_the_program_version_and_the_person(
    house: House,
) -> None:
    life = NamedLife(house, 36)
    life.made = {}
    await life.live(70)
    seen: set[str] = set()
    for row in (await house.get(LIABILITY, by="program,program_version", from_=START))["rows"]:
        for posting in await follow(house, row["postings"]):
            whole = await house.get(f"/v1/ledger/transactions/{posting['transaction_id']}")
            if whole["id"] not in life.made:
                # What time does by itself, and the other half of a transfer.
                assert whole["kind"] in ("activation", "expiry", "hold_expiry", "transfer_in")
                continue
            author, number = life.made[whole["id"]]
            seen.add(whole["id"])
            assert (posting["author"], whole["author"]) == (author, author)
            assert posting["receipt"] == whole["receipt"] == (number or None)
            assert (posting["program"], posting["program_version"]) == (
                row["program"], row["program_version"],
            )  # fmt: skip
            (own,) = [one for one in whole["postings"] if one["seq"] == posting["seq"]]
            assert own.items() <= posting.items()
    moved = await house.ledger.pool.fetch(
        "SELECT t.id FROM ledger.transactions t WHERE EXISTS (SELECT FROM ledger.postings p"
        " WHERE p.customer_id = t.customer_id AND p.version = t.version)"
    )
    assert seen == life.made.keys() & {str(row[0]) for row in moved}
    assert len(seen) > 40


@pytest.mark.parametrize("seed", [41, 42])
async def test_lists_by_the_roll_ups_are_whole_and_in_the_order_of_commits(
    house: House, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the sums stand, and whatever lies between two stretches of the journal."""
    monkeypatch.setattr("ledger.written.GAP", seed % 2)
    life = await told(house, seed, 110)
    raw = await house.ledger.pool.fetch(
        "SELECT p.customer_id, p.version, p.seq FROM ledger.postings p JOIN ledger.transactions t"
        " USING (customer_id, version) ORDER BY t.xid, p.customer_id, p.version, p.seq"
    )
    order = [(str(row[0]), row[1], row[2]) for row in raw]
    for rolled in range(3):
        for _ in range(8):
            query = some_query(life)
            limit = life.random.choice((1, 7, 500))
            found = [_place(one) for one in await house.pages(POSTINGS, limit, **query)]
            whole = {_place(one) for one in await _by_customer(house, life, query)}
            assert found == [one for one in order if one in whole], query
        while rolled and await roll_up(house.ledger, ZONE, chunk=10):
            pass


async def _by_customer(house: House, life: RolledLife, query: dict[str, Any]) -> list[Any]:
    """The same list one customer at a time: that way no roll-ups are asked."""
    wanted = [query["customer_id"]] if "customer_id" in query else life.customers
    return [
        item
        for one in wanted
        for item in await house.pages(POSTINGS, 500, **{**query, "customer_id": one})
    ]


async def test_sums_of_an_older_service_are_made_anew_before_they_lead_anywhere(
    house: House,
) -> None:
    """While services are exchanged, one that does not know where cells lie adds to them."""
    life = await told(house, 43, 40)
    while await roll_up(house.ledger, ZONE):
        pass
    before = await house.pages(POSTINGS, 7, store="moscow-1")
    await house.accrue(life.customers[0], 100, store="moscow-1", channel="shop")
    connection = await asyncpg.connect(house.services.settings.owner_database_url)
    await connection.execute("UPDATE ledger.rollup_state SET xid = ledger.horizon() + 1")
    found = await house.pages(POSTINGS, 7, store="moscow-1")
    assert (found[:-1], found[-1]["points"]) == (before, "1.00")
    while await roll_up(house.ledger, ZONE, chunk=50):
        pass
    cells = await connection.fetchrow("SELECT sum(count), max(last_xid) FROM ledger.rollups")
    raw = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM ledger.postings), (SELECT max(xid) FROM ledger.transactions)"
    )
    await connection.close()
    assert tuple(cells or ()) == tuple(raw or ())
    assert await house.pages(POSTINGS, 7, store="moscow-1") == found


def _place(item: Any) -> tuple[str, int, int]:
    return (item["customer_id"], item["version"], item["seq"])


def _sum(items: list[Any]) -> int:
    return sum(cents(one["points"]) for one in items)


async def test_a_side_of_an_account_leads_down(house: House) -> None:
    await told(house, 44, 50)
    flows = await house.get(TRIAL, as_of=START + 60 * DAY)
    assert flows["rows"]
    for row in flows["rows"]:
        for side in ("debit", "credit"):
            items = await follow(house, flows["totals"]["postings"], **{side: row["account"]})
            assert _sum(items) == cents(row[side])
