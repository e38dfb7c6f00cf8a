"""Who may ask for a simulation, and for what."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.billing.conftest import Caller
from tests.billing.simulations.conftest import SINCE, Chain, done


def problem(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"to": SINCE}, "/to"),
        ({"to": "2027-05-01T00:00:00Z"}, "/to"),
        ({"channel": "no-such"}, "/channel"),
        ({"store": "no-such"}, "/store"),
        ({"version": 0}, "/version"),
        ({"from": "2026-03-01"}, "/from"),
        ({"programs": []}, "/programs"),
    ],
)
async def test_what_cannot_be_simulated_is_refused_at_its_place(
    chain: Chain, asked: dict[str, Any], pointer: str
) -> None:
    await chain.draft("base")
    errors = problem(await chain.ask("base", **asked), 400)["errors"]
    assert [error["pointer"] for error in errors] == [pointer]


async def test_400_days_are_not_too_many(chain: Chain) -> None:
    await chain.draft("base")
    assert (await chain.ask("base", to="2027-04-05T00:00:00Z")).status_code == 202


async def test_an_unknown_program_or_version_is_not_found(chain: Chain) -> None:
    assert "no program" in problem(await chain.ask("nothing"), 404)["detail"]
    await chain.draft("base")
    assert "no version 2" in problem(await chain.ask("base", version=2), 404)["detail"]


async def test_what_receipts_do_not_earn_by_is_refused(chain: Chain) -> None:
    plain = {"name": "x", "valid_from": SINCE, "scope": {"channels": [chain.code("web")]}}
    scenario = {"type": "scenario", "scenario": {"on": "registration"}}
    gift = plain | scenario | {"reward": {"kind": "fixed", "value": "50.00"}}
    rule = plain | {"type": "redemption", "redemption": {"max_share": "50"}}
    for name, definition in (("gift", gift), ("rule", rule)):
        body = definition | {"code": chain.code(name)}
        done(await chain.client.post("/v1/programs", json=body))
        detail = problem(await chain.ask(name), 400)["detail"]
        assert "cannot be simulated over receipts" in detail


async def test_a_bound_key_simulates_and_reads_its_own_place_only(
    chain: Chain, caller: Caller
) -> None:
    await chain.draft("base")
    here = await caller("marketer", store=chain.code("north"))
    elsewhere = await caller("marketer", store=chain.code("south"))
    path = f"/v1/programs/{chain.code('base')}/simulate"
    month = {"from": SINCE, "to": "2026-04-01T00:00:00Z"}
    queued = done(await here.post(path, json=month))
    assert (queued["channel"], queued["store"]) == (chain.code("web"), chain.code("north"))
    problem(await here.post(path, json=month | {"store": chain.code("south")}), 403)
    job = f"/v1/jobs/{queued['job_id']}"
    done(await here.get(job))
    problem(await elsewhere.get(job), 403)
    problem(await elsewhere.post(f"{job}/cancel"), 403)
    done(await here.post(f"{job}/cancel"))


async def test_an_unknown_job_is_not_found(chain: Chain) -> None:
    problem(await chain.client.get("/v1/jobs/0196f3c8-0000-7000-8000-000000000000"), 404)
    problem(await chain.client.get("/v1/jobs/seven"), 400)
