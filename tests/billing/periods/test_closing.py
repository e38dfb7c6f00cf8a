"""Nothing is recorded any more that happened in a closed month (issue: period close)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest

from billing.common.settings import Settings
from billing.periods.model import Period
from billing.periods.routes import OPERATIONS as PERIODS
from billing.periods.schemas import ClosedOut, PeriodList, PeriodOut
from ledger import closing
from ledger.commands import Accrue, Answer, Command, Grant, Redeem, Restore
from ledger.errors import Refusal
from ledger.service import Ledger
from ledger.sweep import post_due
from tests.billing.balances.house import DAY, House, opened
from tests.conftest import TestDatabase
from tests.ledger.house import audited

MARCH: Final = datetime(2027, 2, 28, 21, 0, tzinfo=UTC)
"""March begins then in Moscow; the house's clock starts on its first day."""
APRIL: Final = MARCH + 31 * DAY
_PATH: Final = "/v1/ledger/periods/2027-03"


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings, PERIODS) as made:
        yield made


async def post(house: House, path: str, who: str = "finance", **body: Any) -> httpx.Response:
    client = await house.client("finance" if who == "finance" else "admin")
    return await client.post(path, json=body or None)


async def close(house: House, month: str = "2027-03", **body: Any) -> Any:
    client = await house.client()
    answer = await client.post(f"/v1/ledger/periods/{month}/close", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def reopen(house: House, month: str = "2027-03") -> None:
    asked = await post(house, f"/v1/ledger/periods/{month}/reopen", reason="A wrong receipt")
    assert asked.status_code == 200, asked.text
    approved = await post(house, f"/v1/ledger/periods/{month}/reopen/approve", "admin")
    assert approved.status_code == 200, approved.text


async def test_what_happened_in_a_closed_month_is_refused(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1000)
    house.clock.now = APRIL + DAY

    made = await close(house)

    msgspec.convert(made, ClosedOut)
    assert (made["state"], made["not_posted"]) == ("closed", 0)
    for at in (MARCH, APRIL - timedelta(microseconds=1), MARCH - 300 * DAY):
        with pytest.raises(Refusal) as refused:
            await house.accrue(customer, 100, occurred_at=at, key=str(at))
        assert refused.value.code == "period_closed"
    assert (await house.accrue(customer, 100, occurred_at=APRIL)).occurred_at == APRIL


async def test_a_refusal_is_409_period_closed_over_http(house: House) -> None:
    house.clock.now = APRIL + DAY
    customer = await house.customer()
    await close(house)

    def kept(refusal: Refusal) -> Answer:
        return Answer(409, refusal.code.encode())

    command = Command(
        customer_id=customer, kind="accrual", occurred_at=MARCH, key="k", refuse=kept,
        steps=(Accrue((Grant("base", ((None, 5),)),)),),
    )  # fmt: skip
    first = await house.ledger.execute(command)
    await reopen(house)
    again = await house.ledger.execute(command)

    assert (first.answer, first.replayed) == (Answer(409, b"period_closed"), False)
    assert (again.answer, again.replayed) == (Answer(409, b"period_closed"), True)


async def test_late_receipts_are_posted_into_the_open_month_with_a_reference(
    house: House, database: TestDatabase
) -> None:
    customer = await house.customer()
    house.clock.now = APRIL + 40 * DAY
    await close(house, late="post")

    made = await house.accrue(
        customer, 100, occurred_at=MARCH + DAY, lives=5 * DAY, reason="Offline till"
    )

    assert made.occurred_at == house.clock.now
    assert made.reason == (
        "Offline till; late: happened at 2027-03-01T21:00:00+00:00, in a closed period"
    )
    lots = await house.ledger.pool.fetch("SELECT * FROM ledger.lots")
    assert [(one["active_from"], one["occurred_at"], one["expired"]) for one in lots] == [
        (MARCH + DAY, house.clock.now, 100)
    ], "its life is that of the receipt, and it is over"
    assert (await audited(database)).clean


async def test_what_the_house_does_itself_is_always_posted(house: House) -> None:
    """A campaign whose run was planned in a month that was closed meanwhile."""
    customer = await house.customer()
    house.clock.now = APRIL + DAY
    await close(house)
    made = await house.accrue(customer, 100, occurred_at=APRIL - DAY)
    assert (made.occurred_at, made.reason) == (
        house.clock.now,
        "late: happened at 2027-03-30T21:00:00+00:00, in a closed period",
    )


async def test_what_was_due_is_posted_before_and_the_rest_behind(
    house: House, database: TestDatabase
) -> None:
    customer = await house.customer()
    sale = await house.accrue(customer, 1000, after=DAY, lives=10 * DAY)
    house.clock.now += 2 * DAY
    spent = await house.do(customer, "redemption", Redeem(400))
    house.clock.now = APRIL + DAY

    made = await close(house)

    assert made["sealed"]["balances"]["expired"] == "6.00"
    expired = await house.ledger.pool.fetchval(
        "SELECT occurred_at FROM ledger.transactions WHERE kind = 'expiry'"
    )
    assert expired == sale.occurred_at + 10 * DAY
    # Points that come back to a lot that expired in the closed month expire in the open one.
    await house.do(customer, "restoration", Restore(spent.id))
    late = await house.ledger.pool.fetchval(
        "SELECT max(occurred_at) FROM ledger.transactions WHERE kind = 'expiry'"
    )
    assert late >= APRIL
    assert (await audited(database)).clean
    assert (await house.get(_PATH, verify="true"))["sealed"]["agrees"] is True


async def test_due_work_that_nobody_posted_is_dated_into_the_open_month(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1000, after=DAY, lives=10 * DAY)
    house.clock.now = APRIL + DAY
    owner = await asyncpg.connect(house.services.settings.owner_database_url)
    await owner.execute("UPDATE ledger.closing SET closed_until = $1", APRIL)
    await owner.close()

    await post_due(house.ledger)

    rows = await house.ledger.pool.fetch(
        "SELECT kind, occurred_at FROM ledger.transactions ORDER BY version OFFSET 1"
    )
    assert [tuple(row) for row in rows] == [("activation", APRIL), ("expiry", APRIL)]


async def test_the_database_refuses_it_too(house: House) -> None:
    customer = await house.customer()
    made = await house.accrue(customer, 1000)
    house.clock.now = APRIL + DAY
    await close(house)
    owner = await asyncpg.connect(house.services.settings.owner_database_url)
    try:
        with pytest.raises(asyncpg.SerializationError, match="closed period"):
            await owner.execute(
                """INSERT INTO ledger.postings
                   SELECT customer_id, version, 9, kind, debit, credit, amount, lot_id, bucket,
                          active_from, expires_at, program, program_version, channel, store,
                          product_group, occurred_at, recorded_at
                   FROM ledger.postings WHERE customer_id = $1""",
                made.customer_id,
            )
    finally:
        await owner.close()


async def test_months_close_in_order_and_not_before_they_are_over(house: House) -> None:
    house.clock.now = APRIL - timedelta(seconds=1)
    early = await post(house, f"{_PATH}/close", late="refuse")
    house.clock.now = APRIL + 70 * DAY
    await close(house)
    skipped = await post(house, "/v1/ledger/periods/2027-05/close", late="refuse")
    before = await post(house, "/v1/ledger/periods/2027-02/close", late="refuse")
    again = await close(house)
    await close(house, "2027-04")
    first = await post(house, f"{_PATH}/reopen", reason="No")

    assert [one.json()["code"] for one in (early, skipped, before, first)] == [
        "period_not_over",
        "period_not_next",
        "period_closed",
        "period_not_last",
    ]
    assert len(again["events"]) == 1
    listed = await house.get("/v1/ledger/periods")
    msgspec.convert(listed, PeriodList)
    assert [one["period"] for one in listed["items"]] == ["2027-04", "2027-03"]


async def test_a_month_that_was_reopened_is_not_left_behind(house: House) -> None:
    """A later month closed first would close it for good, without totals or a revenue journal."""
    house.clock.now = APRIL + 70 * DAY
    await close(house)
    await reopen(house)
    skipped = await post(house, "/v1/ledger/periods/2027-04/close", late="refuse")
    assert skipped.json()["code"] == "period_not_next"
    assert "2027-03 is the next one" in skipped.json()["detail"]
    assert (await close(house, "2027-02"))["state"] == "closed"
    assert (await close(house))["state"] == "closed"


async def test_reopening_needs_two_people_and_leaves_a_trace(house: House) -> None:
    customer = await house.customer()
    house.clock.now = APRIL + DAY
    await close(house)
    none = await post(house, f"{_PATH}/reopen/approve", "admin")
    await post(house, f"{_PATH}/reopen", reason="A wrong receipt")
    own = await post(house, f"{_PATH}/reopen/approve")
    with pytest.raises(Refusal):
        await house.accrue(customer, 100, occurred_at=MARCH, key="late")
    withdrawn = await post(house, f"{_PATH}/reopen/withdraw", "admin")
    await reopen(house)

    assert [one.json()["code"] for one in (none, own)] == [
        "period_no_request",
        "own_approval",
    ]
    assert withdrawn.json()["state"] == "closed"
    await house.accrue(customer, 100, occurred_at=MARCH)
    await close(house)
    found = await house.get(_PATH)
    msgspec.convert(found, PeriodOut)
    assert [(one["kind"], one["author"]) for one in found["events"]] == [
        ("closed", "the finance"),
        ("reopen_requested", "the finance"),
        ("reopen_withdrawn", "the admin"),
        ("reopen_requested", "the finance"),
        ("reopened", "the admin"),
        ("closed", "the finance"),
    ]
    assert found["events"][0]["digest"] != found["events"][-1]["digest"]


async def test_sealed_totals_never_change(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1000, store="moscow-1", channel="shop")
    house.clock.now = APRIL + DAY
    sealed = (await close(house))["sealed"]
    await house.accrue(customer, 500)
    await house.do(customer, "redemption", Redeem(300))

    found = await house.get(_PATH, verify="true")

    assert found["sealed"] == {**sealed, "agrees": True}
    assert sealed["balances"]["available"] == "10.00"
    (flow,) = sealed["flows"]
    (posting,) = (await (await house.client()).get(flow.pop("listed"))).json()["items"]
    assert (posting["kind"], posting["points"]) == ("accrue", "10.00")
    assert flow == {
        "kind": "accrue", "debit": "issued", "credit": "available", "points": "10.00",
        "postings": 1,
    }  # fmt: skip


async def test_a_change_behind_the_seal_is_seen(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1000)
    house.clock.now = APRIL + DAY
    await close(house)
    superuser = await asyncpg.connect(house.services.settings.owner_database_url)
    await superuser.execute("ALTER TABLE ledger.postings DISABLE TRIGGER postings_append_only")
    await superuser.execute("UPDATE ledger.postings SET product_group = 'meat'")
    await superuser.close()

    assert (await house.get(_PATH, verify="true"))["sealed"]["agrees"] is False


async def test_a_close_waits_for_writers_that_had_not_seen_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race: load before the bound moves, commit after it. Nothing late gets behind the seal."""
    customers = [await house.customer() for _ in range(8)]
    house.clock.now = APRIL - timedelta(seconds=1)
    stop = asyncio.Event()
    told: list[bool] = []
    begun = asyncio.Event()
    codes: set[str] = set()

    async def till(customer: UUID, ledger: Ledger) -> None:
        while not stop.is_set():
            try:
                await ledger.execute(
                    Command(
                        customer_id=customer, kind="accrual", occurred_at=APRIL - DAY,
                        steps=(Accrue((Grant("base", ((None, 1),)),)),),
                        key=f"{customer} {len(told)} {ledger is other}",
                    )
                )  # fmt: skip
            except Refusal as refusal:
                codes.add(refusal.code)
                told.append(False)
                return
            told.append(True)
            if len(told) == 20:
                begun.set()

    url = house.services.settings.database_url
    async with Ledger(url, clock=house.clock) as other:
        tills = [
            asyncio.create_task(till(one, (house.ledger, other)[at % 2]))
            for at, one in enumerate(customers)
        ]
        await begun.wait()
        house.clock.now = APRIL + DAY
        sealed = (await close(house))["sealed"]
        stop.set()
        await asyncio.gather(*tills)

    assert (codes, told.count(False)) == ({"period_closed"}, 8)
    points = sum(told)
    assert sealed["balances"]["available"] == f"{points // 100}.{points % 100:02d}"
    assert (await house.get(_PATH, verify="true"))["sealed"]["agrees"] is True


async def test_a_writer_that_takes_too_long_stops_the_close_and_it_goes_on_later(
    house: House, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.periods.service.WRITERS_S", 0.05)
    house.clock.now = APRIL + DAY
    slow = await asyncpg.connect(database.owner_url)
    await slow.execute("BEGIN; SELECT pg_current_xact_id()")

    held = await post(house, f"{_PATH}/close", late="refuse")
    between = await house.get(_PATH)
    await slow.close()
    made = await close(house)

    assert (held.status_code, between["state"], made["state"]) == (503, "closing", "closed")
    assert await closing.writers_gone(house.ledger, 1, 0)


async def test_a_month_that_is_none_is_refused(house: House) -> None:
    client = await house.client()
    for name in ("2027-13", "2027-3", "march", "1970-01", "9999-12", "2027-03-01"):
        answer = await client.get(f"/v1/ledger/periods/{name}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/path/period")


def test_months_of_a_zone_follow_each_other() -> None:
    from zoneinfo import ZoneInfo

    for key in ("Europe/Moscow", "America/Havana", "Asia/Kolkata", "Africa/Cairo"):
        zone = ZoneInfo(key)
        period = Period.of("2026-12", zone)
        assert period.next(zone).name == "2027-01"
        for _ in range(24):
            following = period.next(zone)
            assert following.starts == period.ends
            assert following.previous(zone) == period
            assert Period.at(period.starts, zone) == period
            period = following
