"""Four eyes: what may cost more than a setting says needs a second person with another key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.billing.campaigns.house import Office
from tests.billing.scenarios.house import refused

DAILY = {"rule": "FREQ=DAILY", "at": "09:00"}


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"points": "50000.00"}, "scheduled"),
        ({"points": "50000.01"}, "waiting_approval"),
        ({"points": "1.00", "budget": "100000.01"}, "waiting_approval"),
        ({"points": "1.00", "budget": "100000.00", "recurrence": DAILY}, "scheduled"),
        ({"points": "1.00", "recurrence": DAILY}, "waiting_approval"),
        (
            {"points": "1000.00", "recurrence": DAILY | {"rule": "FREQ=DAILY;COUNT=52"}},
            "waiting_approval",
        ),
    ],
)
async def test_what_may_cost_more_than_the_limit_waits(
    office: Office, body: dict[str, Any], state: str
) -> None:
    """Two customers, and a limit of 100,000.00 points over all runs."""
    await office.customers(2, tags=["vip"])
    await office.draft("gift", **body)
    await office.preview("gift")
    assert await office.act("gift", "submit") == state


@pytest.mark.parametrize("gift", ["points", "program"])
async def test_what_nobody_approved_gives_no_more_though_its_audience_has_grown(
    office: Office, gift: str
) -> None:
    """Previewed for two, then tagged for many: the limit holds over all runs, to the point."""
    body: dict[str, Any] = {"points": "9000.00"}
    if gift == "program":
        body = {"program": await office.chain.scenario("thanks", "9000.00")}
    twice = {"rule": "FREQ=DAILY;COUNT=2", "at": "12:00", "from": "2027-03-02"}
    await office.customers(2, tags=["vip"])
    await office.draft("gift", recurrence=twice, **body)
    await office.preview("gift")
    assert await office.act("gift", "submit") == "scheduled"
    await office.customers(6, tags=["vip"])
    office.chain.now += timedelta(days=3)
    await office.run(chunk=3)
    runs = [(one["given"], one["points"], one["skipped"]) for one in await office.runs("gift")]
    assert runs == [(8, "72000.00", {}), (3, "27000.00", {"approval": 5})]


async def test_what_was_approved_is_for_whoever_is_in_the_audience_then(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("gift", points="60000.00", run_at="2027-03-02T09:00:00Z")
    await office.preview("gift")
    assert await office.act("gift", "submit") == "waiting_approval"
    assert await office.act("gift", "approve", "finance") == "scheduled"
    await office.customers(2, tags=["vip"])
    office.chain.now += timedelta(days=1)
    await office.run()
    assert len(await office.given()) == 4


async def test_nobody_approves_what_they_had_a_hand_in(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("gift", points="90000.00", role="admin")
    await office.preview("gift")
    await office.act("gift", "submit")
    assert await office.run() == 0
    own = await office.post("/gift/approve", role="admin")
    assert "another key" in refused(own, 409, "campaign_own_approval")["detail"]
    refused(await office.post("/gift/approve", role="marketer"), 403, "forbidden")
    assert await office.act("gift", "approve", "finance") == "scheduled"
    told = await office.get("/gift")
    assert (told["author"], told["submitted_by"], told["approved_by"]) == (
        "the admin", "the marketer", "the finance",
    )  # fmt: skip
    await office.run()
    assert len(await office.given()) == 2
    row = await office.superuser.fetchrow("SELECT DISTINCT author FROM ledger.transactions")
    assert tuple(row or ()) == ("the finance",)


async def test_an_editor_cannot_approve_either(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("gift")
    admin = await office.chain.client("admin")
    changed = await admin.patch("/v1/campaigns/gift", json={"points": "90000.00"})
    assert changed.status_code == 200
    await office.preview("gift")
    await office.act("gift", "submit")
    refused(await office.post("/gift/approve", role="admin"), 409, "campaign_own_approval")


async def test_who_would_not_approve_sends_it_back(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("gift", points="90000.00")
    await office.preview("gift")
    await office.act("gift", "submit")
    assert await office.act("gift", "withdraw", "finance") == "draft"
    refused(await office.post("/gift/approve", role="finance"), 409, "campaign_state")
    assert await office.run() == 0


async def test_actions_refuse_what_the_state_does_not_allow(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("gift")
    for action in ("approve", "pause", "resume", "withdraw"):
        answer = await office.post(f"/gift/{action}", role="admin")
        assert refused(answer, 409, "campaign_state")["state"] == "draft"
    await office.preview("gift")
    assert await office.act("gift", "submit") == "scheduled"
    assert await office.act("gift", "withdraw") == "draft"
    await office.act("gift", "submit")
    await office.run()
    for action in ("submit", "pause", "resume", "cancel", "preview", "withdraw"):
        answer = await office.post(f"/gift/{action}", role="admin")
        assert refused(answer, 409, "campaign_state")["state"] == "finished"


async def test_a_time_that_is_over_is_refused_and_a_late_approval_runs_at_once(
    office: Office,
) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("old", run_at="2027-02-01T09:00:00Z")
    await office.preview("old")
    refused(await office.post("/old/submit"), 409, "campaign_too_late")
    await office.draft("gift", points="90000.00", run_at="2027-03-01T08:00:00Z")
    await office.preview("gift")
    await office.act("gift", "submit")
    await office.act("gift", "approve", "finance")
    await office.run()
    assert len(await office.given()) == 2


async def test_points_that_would_be_over_before_they_begin_are_refused(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft(
        "gift", run_at="2027-04-01T09:00:00Z", expires={"at": "2027-04-01T09:00:00Z"}
    )
    answer = await office.post("/gift/preview")
    assert answer.status_code == 202
    with pytest.raises(AssertionError, match="no points would live"):
        await office.preview("gift")
