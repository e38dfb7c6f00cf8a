"""A simulation tells what a draft would have cost, and moves nothing (issue 3, 5)."""

from __future__ import annotations

from typing import Any

import asyncpg

from tests.billing.simulations.conftest import Chain, done, three
from tests.conftest import TestDatabase


async def test_a_draft_beside_what_was_earned_by_place_and_goods(chain: Chain) -> None:
    await chain.draft("base", lines={"groups": [chain.code("food")]})
    await chain.publish("base")
    await chain.sell("anna", "100.00")
    await chain.sell("anna", "50.00", "toys", store="south")
    await chain.sell("boris", "200.00", store=None)
    await chain.sell("boris", "999.00", at="2026-04-01T00:00:00Z")
    lines = {"groups": [chain.code("toys")], "exclude_groups": []}
    await chain.version("base", lines=lines, reward={"kind": "percent", "value": "20"})

    result = await chain.simulate("base")

    assert (result["version"], result["receipts"], result["customers"]) == (2, 3, 2)
    assert result["lines"] == 3
    assert result["points"] == result["all_programs"] == three("10.00", "30.00", "-20.00")
    cost = {kind: {row["code"]: row for row in rows} for kind, rows in result["cost"].items()}
    web, house = cost["channel"][chain.code("web")], cost["store_group"][chain.code("house")]
    assert (web["receipts"], web["difference"]) == (3, "-20.00")
    assert (house["receipts"], house["difference"]) == (2, "0.00")
    assert cost["store"].keys() == {chain.code("north"), chain.code("south")}
    south = cost["store"][chain.code("south")]
    assert three("10.00", "0.00", "10.00").items() <= south.items()
    assert cost["product_group"][chain.code("food")]["actual"] == "30.00"
    assert cost["product_group"][chain.code("toys")]["draft"] == "10.00"
    # Anna's ten lost in one store and won in the other make her neither.
    assert result["winners"] == {"customers": 0, "points": "0.00"}
    assert result["losers"] == {"customers": 1, "points": "-20.00"}
    assert south["winners"] == {"customers": 1, "points": "10.00"}
    assert cost["store"][chain.code("north")]["losers"] == {"customers": 1, "points": "-10.00"}
    # In the group of both stores they are neither, and Boris bought in none.
    assert house["winners"] == house["losers"] == {"customers": 0, "points": "0.00"}
    assert web["losers"] == {"customers": 1, "points": "-20.00"}
    # Of food Anna lost ten and Boris twenty; of toys Anna won ten.
    food, toys = (cost["product_group"][chain.code(name)] for name in ("food", "toys"))
    assert food["losers"] == {"customers": 2, "points": "-30.00"}
    assert toys["winners"] == {"customers": 1, "points": "10.00"}
    assert food["winners"] == toys["losers"] == {"customers": 0, "points": "0.00"}


async def test_the_receipts_that_gain_and_lose_most_are_explained(chain: Chain) -> None:
    await chain.draft("base")
    await chain.publish("base")
    sold = [await chain.sell("anna", f"{10 + n}0.00") for n in range(12)]
    lost = await chain.sell("anna", "10.00", "toys")
    lines = {"exclude_groups": [chain.code("toys")]}
    await chain.version("base", lines=lines, reward={"kind": "percent", "value": "15"})

    result = await chain.simulate("base")

    gain, lose = result["examples"]["gain"], result["examples"]["lose"]
    assert [one["number"] for one in gain] == [one["number"] for one in reversed(sold[2:])]
    assert three("31.50", "21.00", "10.50").items() <= gain[0].items()
    assert gain[0]["receipt_id"] == sold[11]["id"]
    assert gain[0]["store"] == chain.code("north")
    assert [one["number"] for one in lose] == [lost["number"]]
    (base,) = lose[0]["programs"]
    assert base == {"program": chain.code("base"), **three("0.00", "1.00", "-1.00")}
    whole = [one for one in lose[0]["explanation"] if "line" not in one]
    assert [one["outcome"] for one in whole] == ["nothing"]
    assert {one["program"] for one in lose[0]["explanation"]} == {chain.code("base")}


async def test_a_draft_stacks_with_the_programs_that_ran(chain: Chain) -> None:
    best = {"group": chain.code("main"), "policy": "max"}
    await chain.draft("base", stacking=best)
    await chain.publish("base")
    await chain.sell("anna", "100.00")
    await chain.draft("rich", stacking=best, reward={"kind": "percent", "value": "25"})

    result = await chain.simulate("rich")

    assert result["points"] == three("25.00", "0.00", "25.00")
    assert result["all_programs"] == three("25.00", "10.00", "15.00")
    (example,) = result["examples"]["gain"]
    by_program = {one.pop("program"): one for one in example["programs"]}
    assert by_program == {
        chain.code("rich"): three("25.00", "0.00", "25.00"),
        chain.code("base"): three("0.00", "10.00", "-10.00"),
    }


async def test_limits_are_counted_in_the_order_receipts_happened(chain: Chain) -> None:
    """The receipt that came in last happened first: it takes the day's points."""
    for hour, amount in ((12, "100.00"), (15, "100.00"), (9, "40.00")):
        await chain.sell("anna", amount, at=f"2026-03-10T{hour:02d}:00:00Z")
    await chain.sell("anna", "100.00", at="2026-03-11T12:00:00Z")
    await chain.sell("boris", "100.00", at="2026-03-11T13:00:00Z")
    limits = {"per_customer_day": "6.00", "budget": "15.00"}
    await chain.draft("capped", limits=limits)

    result = await chain.simulate("capped")

    by_number = {one["number"]: one["draft"] for one in result["examples"]["gain"]}
    assert list(by_number.values()) == ["6.00", "4.00", "3.00", "2.00"]
    assert result["points"]["draft"] == "15.00"


async def test_a_draft_counts_as_valid_throughout(chain: Chain) -> None:
    """A draft for next year is asked what it would have cost last March."""
    await chain.sell("anna", "100.00")
    await chain.draft("later", valid_from="2027-01-01T00:00:00Z")
    assert (await chain.simulate("later"))["points"]["draft"] == "10.00"
    empty = await chain.simulate("later", to="2026-03-02T00:00:00Z")
    assert (empty["receipts"], empty["points"]) == (0, three("0.00", "0.00", "0.00"))


async def test_points_that_paid_and_stated_points_are_what_they_were(chain: Chain) -> None:
    await chain.sell("anna", "100.00", stated=[{"points": "30.00"}])
    await chain.sell("anna", "100.00", redeem={"points": "20.00"})
    await chain.draft("net")

    result = await chain.simulate("net")

    assert result["points"] == three("18.00", "0.00", "18.00")
    assert result["all_programs"] == three("18.00", "30.00", "-12.00")


async def test_a_first_purchase_is_the_first_that_was_ever_recorded(chain: Chain) -> None:
    await chain.sell("anna", "100.00", at="2026-02-20T12:00:00Z")
    await chain.sell("anna", "100.00")
    await chain.sell("boris", "70.00")
    await chain.sell("boris", "70.00")
    first = {"field": "receipt.first_purchase", "op": "=", "value": True}
    await chain.draft("welcome", when=first)

    result = await chain.simulate("welcome")

    assert result["points"]["draft"] == "7.00"
    assert result["winners"] == {"customers": 1, "points": "7.00"}


async def test_nothing_is_written_but_the_job(chain: Chain, shared_database: TestDatabase) -> None:
    """And that an operator asked for it."""
    await chain.sell("anna", "100.00")
    await chain.draft("base", limits={"budget": "5.00"})
    connection = await asyncpg.connect(shared_database.superuser_url)

    async def contents() -> list[Any]:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname IN ('ledger', 'billing') AND tablename <> 'jobs'"
            " AND tablename NOT LIKE 'operator\\_%' ORDER BY 1"
        )
        return [
            await connection.fetchrow(
                f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {t['name']} t"
            )
            for t in tables
        ]

    before = await contents()
    assert (await chain.simulate("base"))["points"]["draft"] == "5.00"
    assert await contents() == before
    await connection.close()


async def test_an_older_version_can_be_simulated(chain: Chain) -> None:
    await chain.sell("anna", "100.00")
    await chain.draft("base")
    await chain.version("base", reward={"kind": "percent", "value": "20"})
    assert (await chain.simulate("base"))["points"]["draft"] == "20.00"
    assert (await chain.simulate("base", version=1))["points"]["draft"] == "10.00"


async def test_the_job_says_where_and_what_it_is(chain: Chain) -> None:
    await chain.draft("base")
    answer = await chain.ask("base", store=chain.code("north"))
    queued = done(answer)
    assert (answer.status_code, queued["state"], queued["version"]) == (202, "queued", 1)
    path = answer.headers["location"]
    job = done(await chain.client.get(path))
    assert (job["id"], job["kind"]) == (queued["job_id"], "simulation")
    assert job["parameters"]["store"] == chain.code("north")
    assert done(await chain.client.post(f"{path}/cancel"))["state"] == "cancelled"
    await chain.runner.run_all()
    assert done(await chain.client.get(path))["state"] == "cancelled"


async def test_a_draft_that_gives_more_than_an_amount_can_be_is_named(chain: Chain) -> None:
    """Each part is an amount; together no sale would be posted by them."""
    sold = await chain.sell("anna", "100.00")
    most = {"kind": "fixed", "value": "1000000000000.00"}
    await chain.draft("other", reward=most)
    await chain.publish("other")
    await chain.draft("huge", reward=most)
    queued = done(await chain.ask("huge"))
    await chain.runner.run_all()
    job = done(await chain.client.get(f"/v1/jobs/{queued['job_id']}"))
    assert job["state"] == "failed"
    assert f"Of receipt {sold['number']}: " in job["error"]
