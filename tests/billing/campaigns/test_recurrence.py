"""Recurring campaigns: each run once, by the chain's clocks, missed ones caught up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from tests.billing.campaigns.house import Office

DAILY = {"rule": "FREQ=DAILY", "at": "09:00", "from": "2027-03-02"}


async def test_each_run_happens_once_and_the_next_one_is_waited_for(office: Office) -> None:
    vips = await office.customers(2, tags=["vip"])
    await office.started("daily", recurrence=DAILY, budget="1000.00")
    assert await office.run() == 0
    office.chain.now = datetime(2027, 3, 2, 6, 0, tzinfo=UTC)  # 09:00 in Moscow.
    await office.run()
    await office.run()
    assert await office.once(vips, "10.00")
    told = await office.get("/daily")
    assert (told["state"], told["next_run_at"]) == ("scheduled", "2027-03-03T06:00:00Z")


async def test_missed_runs_are_caught_up_each_for_its_own_day(office: Office) -> None:
    """A birthday run that comes late is still for those whose birthday it was."""
    for day in (2, 3, 4, 5):
        await office.customers(day, birth_date=date(1990, 3, day))
    audience = {"when": {"field": "receipt.days_to_birthday", "op": "=", "value": 0}}
    await office.started(
        "birthdays", audience=audience, recurrence=DAILY, budget="1000.00",
        expires={"after": "P1D"},
    )  # fmt: skip
    office.chain.now = datetime(2027, 3, 4, 18, 0, tzinfo=UTC)
    await office.run()
    assert [run["given"] for run in await office.runs("birthdays")] == [2, 3, 4]
    # Their points live as long as those given in time: counted from when they were given.
    ends = await office.superuser.fetch("SELECT DISTINCT expires_at FROM ledger.lots")
    assert [row[0] for row in ends] == [datetime(2027, 3, 5, 21, tzinfo=UTC)]


async def test_what_was_missed_for_too_long_is_skipped_and_said_so(office: Office) -> None:
    await office.customers(1, tags=["vip"])
    await office.started("daily", recurrence=DAILY, budget="1000.00")
    office.chain.now = datetime(2027, 3, 20, 18, 0, tzinfo=UTC)
    await office.run(catch_up_days=3)
    skipped, *caught_up = await office.runs("daily")
    assert skipped["state"] == "skipped"
    assert "no worker ran for more than 3 days" in skipped["error"]
    assert [run["scheduled_at"][:10] for run in caught_up] == [
        "2027-03-18", "2027-03-19", "2027-03-20",
    ]  # fmt: skip


async def test_a_campaign_of_one_run_that_was_missed_for_too_long_fails(office: Office) -> None:
    await office.customers(1, tags=["vip"])
    await office.started("once", run_at="2027-03-02T09:00:00Z")
    office.chain.now += timedelta(days=9)
    await office.run()
    told = await office.get("/once")
    assert told["state"] == "failed"
    assert "no worker ran for more than 7 days" in told["failure"]
    assert await office.given() == {}
    answer = await office.post("/once/resume")
    assert (answer.status_code, answer.json()["code"]) == (409, "campaign_too_late")


async def test_what_falls_into_a_pause_is_not_made_up_for(office: Office) -> None:
    vips = await office.customers(1, tags=["vip"])
    await office.started("daily", recurrence=DAILY, budget="1000.00")
    await office.act("daily", "pause")
    office.chain.now = datetime(2027, 3, 5, 18, 0, tzinfo=UTC)
    assert await office.run() == 0
    assert await office.act("daily", "resume") == "scheduled"
    assert await office.run() == 0
    office.chain.now = datetime(2027, 3, 6, 6, 0, tzinfo=UTC)
    await office.run()
    assert await office.once(vips, "10.00")


async def test_a_rule_that_ends_finishes_its_campaign(office: Office) -> None:
    vips = await office.customers(1, tags=["vip"])
    rule = DAILY | {"rule": "FREQ=DAILY;UNTIL=20270303"}
    await office.started("short", recurrence=rule)
    office.chain.now = datetime(2027, 3, 6, tzinfo=UTC)
    await office.run()
    assert await office.given() == {vips[0]: (2, "20.00")}
    assert await office.state("short") == "finished"
