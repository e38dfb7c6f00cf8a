"""Runs give once a customer and run, keep within budgets, and stop when they are told."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from billing.campaigns.model import source_of
from billing.campaigns.store import ADVISORY_FAMILY
from billing.events.schemas import CampaignFinished
from ledger.commands import Accrue, Command, Grant
from tests.billing.campaigns.house import Office

BREAK = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the row cannot be written'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE OF seen ON billing.campaign_runs
    FOR EACH ROW EXECUTE FUNCTION refuse()
"""
"""The ledger commits what a chunk gives, and then its run cannot be moved."""
MEND = "DROP TRIGGER refuse ON billing.campaign_runs"


def numbers(run: dict[str, Any]) -> dict[str, Any]:
    names = ("state", "customers", "given", "points", "skipped", "failed")
    return {name: run[name] for name in names}


async def test_a_campaign_gives_its_points_once_to_every_verified_customer_of_its_tag(
    office: Office,
) -> None:
    vips = await office.customers(30, tags=["vip"])
    await office.customers(3, tags=["other"])
    await office.customers(2, "unverified", tags=["vip"])
    await office.customers(1, "blocked", tags=["vip"])
    await office.started("gift", expires={"after": "P30D"}, available={"after": "P2D"})
    assert await office.run(chunk=7) > 4
    assert await office.once(vips, "10.00")
    (run,) = await office.runs("gift")
    assert numbers(run) == {
        "state": "finished",
        "customers": 33,
        "given": 30,
        "points": "300.00",
        "skipped": {"not_verified": 2, "blocked": 1},
        "failed": 0,
    }
    assert (run["seen"], run["total"]) == (36, 36)
    assert await office.state("gift") == "finished"
    lot = await office.superuser.fetchrow("SELECT * FROM ledger.lots LIMIT 1")
    assert lot is not None
    # 2027-03-01 12:00 in Moscow: the third day's midnight, then thirty whole days.
    assert lot["active_from"] == datetime(2027, 3, 2, 21, tzinfo=UTC)
    assert lot["expires_at"] == datetime(2027, 4, 1, 21, tzinfo=UTC)
    assert (lot["bucket"], lot["program"]) == ("promo", "campaign:gift")
    told = await office.superuser.fetchrow("SELECT author, reason FROM ledger.transactions LIMIT 1")
    assert tuple(told or ()) == ("the marketer", "A gift")


async def test_the_end_of_a_run_is_an_event(office: Office) -> None:
    await office.customers(3, tags=["vip"])
    await office.started("gift")
    await office.run()
    (event,) = await office.superuser.fetch("SELECT type, data::text AS data FROM billing.events")
    told = msgspec.json.decode(event["data"], type=CampaignFinished)
    assert event["type"] == "campaign.finished"
    assert (told.campaign, told.state, told.customers, told.points) == ("gift", "done", 3, "30.00")


async def test_conditions_look_at_customers_as_programs_do(office: Office) -> None:
    born = await office.customers(2, birth_date=date(1990, 3, 1))
    await office.customers(2, birth_date=date(1990, 3, 2))
    await office.customers(2)
    when = {"all": [
        {"field": "receipt.days_to_birthday", "op": "=", "value": 0},
        {"field": "customer.age", "op": ">=", "value": 18},
    ]}  # fmt: skip
    await office.started("birthday", audience={"when": when})
    await office.run()
    assert await office.once(born, "10.00")


async def test_who_registers_while_it_runs_is_not_in_it(office: Office) -> None:
    early = await office.customers(3, tags=["vip"])
    await office.started("gift")
    office.chain.now += timedelta(minutes=1)
    runner = office.runner(chunk=2)
    await runner.turn()  # A first chunk only.
    office.chain.now += timedelta(minutes=1)
    await office.customers(2, tags=["vip"])
    await office.run()
    assert await office.once(early, "10.00")


async def test_several_workers_at_once_give_once(office: Office) -> None:
    """DESIGN 6: any number side by side."""
    vips = await office.customers(400, tags=["vip"])
    await office.started("gift")
    runners = [office.runner(chunk=20) for _ in range(3)]
    chunks = await asyncio.gather(*(one.run_all() for one in runners))
    await office.run(chunk=20)
    assert await office.once(vips, "10.00")
    (run,) = await office.runs("gift")
    assert (run["state"], run["given"], run["points"]) == ("finished", 400, "4000.00")
    assert sum(chunks) >= 20


async def test_a_worker_that_died_after_giving_is_counted_by_the_next_one(office: Office) -> None:
    """The ledger has committed, the run's row has not: also if the customer left the audience."""
    vips = await office.customers(4, tags=["vip"])
    await office.started("gift")
    runner = office.runner(chunk=10)
    await office.superuser.execute(BREAK)
    await runner.run_all()
    assert await office.once(vips, "10.00")
    await office.superuser.execute(MEND)
    for change in ("tags = '{}'", "status = 'blocked'"):
        await office.superuser.execute(
            f"UPDATE billing.customers SET {change} WHERE id = $1", vips.pop()
        )
    await office.run()
    (run,) = await office.runs("gift")
    assert numbers(run) == {
        "state": "finished", "customers": 4, "given": 4, "points": "40.00", "skipped": {},
        "failed": 0,
    }  # fmt: skip
    assert all(times == 1 for times, _ in (await office.given()).values())


async def test_what_another_worker_gave_meanwhile_is_counted_by_the_one_before(
    office: Office,
) -> None:
    """It had the run for a chunk, and died in it; whom it gave to has left the audience."""
    vips = sorted(await office.customers(6, tags=["vip"]))
    await office.started("gift")
    runner, known = office.runner(chunk=2), dict[Any, Any]()
    await runner.turn(known)
    (run,) = await office.runs("gift")
    async with office.superuser.transaction():
        await office.superuser.execute(
            "SELECT pg_advisory_xact_lock($1, hashtext($2))", ADVISORY_FAMILY, run["id"]
        )
        assert await runner.turn(known) == 0
        await _give(office, run["id"], vips[2])
        await office.superuser.execute(
            "UPDATE billing.customers SET tags = '{}' WHERE id = $1", vips[2]
        )
    while await runner.turn(known):
        pass
    (run,) = await office.runs("gift")
    assert (run["state"], run["given"], run["points"]) == ("finished", 6, "60.00")
    assert await office.once(vips, "10.00")


async def _give(office: Office, run_id: str, customer: UUID) -> None:
    """As a worker that is killed right after the ledger's commit."""
    step = Accrue((Grant("promo", ((None, 1000),)),))
    await office.chain.services.ledger.execute(
        Command(customer_id=customer, kind="accrual", occurred_at=office.chain.now, steps=(step,),
                source=source_of("gift", UUID(run_id), customer))
    )  # fmt: skip


async def test_a_run_that_breaks_again_and_again_fails_and_can_be_resumed(office: Office) -> None:
    vips = await office.customers(4, tags=["vip"])
    await office.started("gift")
    await office.superuser.execute(BREAK)
    for _ in range(5):
        await office.run()
    await office.superuser.execute(MEND)
    failed = await office.get("/gift")
    assert failed["state"] == "failed"
    assert "It broke 5 times" in failed["failure"]
    assert await office.act("gift", "resume") == "running"
    await office.run()
    assert await office.once(vips, "10.00")
    assert [(one["state"], one["given"]) for one in await office.runs("gift")] == [("finished", 4)]


async def test_a_pause_takes_effect_within_a_group_and_resuming_goes_on(office: Office) -> None:
    vips = await office.customers(40, tags=["vip"])
    await office.started("gift")
    runner = office.runner(chunk=10)
    await runner.turn()
    assert await office.act("gift", "pause") == "paused"
    assert await runner.run_all() == 0
    assert len(await office.given()) == 10
    (run,) = await office.runs("gift")
    assert (run["state"], run["seen"], run["given"]) == ("running", 10, 10)
    assert await office.act("gift", "resume") == "running"
    await runner.run_all()
    assert await office.once(vips, "10.00")
    assert await office.state("gift") == "finished"


async def test_a_pause_is_not_held_up_by_the_group_that_is_being_posted(office: Office) -> None:
    await office.customers(3000, tags=["vip"])
    await office.started("gift")
    running = asyncio.create_task(office.run(chunk=500))
    while not await office.given():  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert await office.act("gift", "pause") == "paused"
    await running
    assert len(await office.given()) < 3000
    assert (await office.runs("gift"))[0]["given"] == len(await office.given())


async def test_hands_that_pause_and_resume_all_the_while_lose_and_double_nothing(
    office: Office,
) -> None:
    """Two persons and two workers: each is heard or told why not, nobody waits for ever."""
    vips = await office.customers(300, tags=["vip"])
    await office.started("gift")
    heard: Counter[tuple[str, int]] = Counter()
    pressed = asyncio.Event()

    async def press(chance: Random) -> None:
        for action in ("pause", "resume") * 12:
            heard[action, (await office.post(f"/gift/{action}")).status_code] += 1
            await asyncio.sleep(chance.uniform(0, 0.05))

    async def work() -> None:
        runner = office.runner(chunk=10)
        while not pressed.is_set():
            await runner.run_all()
            await asyncio.sleep(0.01)

    working = [asyncio.create_task(work()) for _ in range(2)]
    await asyncio.gather(press(Random(1)), press(Random(2)))
    pressed.set()
    await asyncio.gather(*working)
    await office.post("/gift/resume")
    await office.run(chunk=10)
    assert await office.once(vips, "10.00")
    (run,) = await office.runs("gift")
    assert (run["state"], run["given"], run["points"]) == ("finished", 300, "3000.00")
    assert min(heard["pause", 200], heard["resume", 200]) > 3
    # A busy machine may be too slow for an answer in time; nothing else is an answer.
    assert {status for _, status in heard} <= {200, 409, 503}


async def test_what_a_cancelled_campaign_gave_is_counted(office: Office) -> None:
    await office.customers(40, tags=["vip"])
    await office.started("gift")
    runner = office.runner(chunk=10)
    await runner.turn()
    assert await office.act("gift", "cancel", "finance") == "cancelled"
    (run,) = await office.runs("gift")
    given = await office.customers(1, tags=["vip"])
    following = await office.superuser.fetchval(
        "SELECT min(c.id::text)::uuid FROM billing.customers c, billing.campaign_runs r"
        ' WHERE c.id > r."cursor"'
    )
    await _give(office, run["id"], following)
    await office.run(chunk=10)
    (run,) = await office.runs("gift")
    assert (run["state"], run["given"], run["points"]) == ("cancelled", 11, "110.00")
    assert not set(given) & set(await office.given())
    assert await office.run() == 0


async def test_a_budget_holds_and_the_last_ones_get_nothing(office: Office) -> None:
    await office.customers(50, tags=["vip"])
    await office.started("gift", budget="105.00")
    chunks = await asyncio.gather(*(office.run(chunk=8) for _ in range(2)))
    await office.run(chunk=8)
    given = await office.given()
    assert len(given) == 10
    assert set(given.values()) == {(1, "10.00")}
    (run,) = await office.runs("gift")
    assert (run["given"], run["points"], run["skipped"]) == (10, "100.00", {"budget": 40})
    assert sum(chunks) >= 7


async def test_a_budget_is_of_all_runs_together(office: Office) -> None:
    await office.customers(6, tags=["vip"])
    recurrence = {"rule": "FREQ=DAILY;COUNT=2", "at": "12:00", "from": "2027-03-02"}
    await office.started("gift", budget="80.00", recurrence=recurrence)
    office.chain.now += timedelta(days=3)
    await office.run()
    first, second = await office.runs("gift")
    assert (first["given"], second["given"], second["skipped"]) == (6, 2, {"budget": 4})
    assert await office.state("gift") == "finished"


async def test_a_program_calculates_for_each_customer_once_a_run(office: Office) -> None:
    near = await office.customers(3, tags=["vip"])
    far = await office.customers(3, tags=["vip"], birth_date=date(2000, 1, 1))
    when = {"field": "customer.age", "op": ">=", "value": 18}
    program = await office.chain.scenario("thanks", "25.00", when=when, expires={"after": "P7D"})
    recurrence = {"rule": "FREQ=WEEKLY;COUNT=2", "at": "12:00", "from": "2027-03-02"}
    await office.started("gift", program=program, recurrence=recurrence)
    office.chain.now += timedelta(days=2)
    await office.run()
    (run,) = await office.runs("gift")
    assert (run["given"], run["points"]) == (3, "75.00")
    assert run["skipped"] == {"condition": 3}
    assert await office.once(far, "25.00")
    office.chain.now += timedelta(days=7)
    await office.run()
    assert set((await office.given()).values()) == {(2, "50.00")}
    assert not set(near) & set(await office.given())


async def test_a_program_s_own_budget_and_the_campaign_s_both_hold(office: Office) -> None:
    await office.customers(9, tags=["vip"])
    own = await office.chain.scenario("thanks", "25.00", limits={"budget": "100.00"})
    await office.started("small-program", program=own)
    await office.run()
    (run,) = await office.runs("small-program")
    assert (run["points"], run["skipped"]) == ("100.00", {"program_budget": 5})
    other = await office.chain.scenario("thanks", "25.00")
    await office.started("small-campaign", program=other, budget="60.00")
    await office.run()
    (run,) = await office.runs("small-campaign")
    assert (run["points"], run["skipped"]) == ("50.00", {"budget": 7})


async def test_a_program_that_ended_fails_the_run_until_somebody_mends_it(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    program = await office.chain.scenario("thanks", "25.00")
    await office.started("gift", program=program, run_at="2027-03-02T09:00:00Z")
    await office.superuser.execute("UPDATE billing.programs SET archived_at = $1", office.chain.now)
    office.chain.now += timedelta(days=1)
    await office.run()
    failed = await office.get("/gift")
    assert (failed["state"], failed["failure"]) == (
        "failed", f"/program: {program!r} is archived",
    )  # fmt: skip
    await office.superuser.execute("UPDATE billing.programs SET archived_at = NULL")
    await office.act("gift", "resume")
    await office.run()
    assert len(await office.given()) == 2


async def test_a_poison_customer_is_set_aside_with_its_error_and_the_rest_goes_on(
    office: Office,
) -> None:
    vips = await office.customers(10, tags=["vip"])
    poison = vips.pop(4)
    await office.superuser.execute(
        "INSERT INTO ledger.balances VALUES ($1, 1, 0, 0, $2, 0, 0)", poison, 2**60
    )
    await office.started("gift")
    await office.run()
    assert await office.once(vips, "10.00")
    (run,) = await office.runs("gift")
    assert (run["state"], run["given"], run["failed"]) == ("finished", 9, 1)
    (failure,) = (await office.get(f"/gift/runs/{run['id']}/failures"))["items"]
    assert failure["customer_id"] == str(poison)
    assert failure["error"].startswith("balance_limit: The balance would pass")


async def test_a_busy_customer_is_waited_for_and_holds_up_no_reader_of_the_journal(
    office: Office,
) -> None:
    """A run at work has no transaction id: the stream of events may pass it."""
    vips = await office.customers(10, tags=["vip"])
    await office.started("gift")
    async with office.superuser.transaction():
        await office.superuser.execute(
            "INSERT INTO ledger.balances VALUES ($1, 0, 0, 0, 0, 0, 0)", vips[0]
        )
    async with office.superuser.transaction():
        await office.superuser.execute(
            "SELECT FROM ledger.balances WHERE customer_id = $1 FOR UPDATE", vips[0]
        )
        running = asyncio.create_task(office.run())
        while len(await office.given()) < 9:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        waiting = await office.superuser.fetch(
            "SELECT backend_xid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'bonus-api' AND state = 'idle in transaction'"
        )
        assert [row[0] for row in waiting] == [None]
    await running
    assert await office.once(vips, "10.00")


async def test_instalments_are_lots_of_their_own_in_smaller_groups(office: Office) -> None:
    await office.customers(9, tags=["vip"])
    await office.started("gift", available={"instalments": {"count": 4, "every": "P1M"}})
    assert await office.run(chunk=8) >= 5
    lots = await office.superuser.fetch(
        "SELECT amount, active_from, count(*) AS n FROM ledger.lots GROUP BY 1, 2 ORDER BY 2"
    )
    assert [(lot["amount"], lot["n"]) for lot in lots] == [(250, 9)] * 4
    assert lots[1]["active_from"] == datetime(2027, 3, 31, 21, tzinfo=UTC)
