"""A campaign's approval is one among all approvals, whichever way the decision comes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from billing.common.auth import Principal
from billing.common.errors import Conflict
from tests.billing.campaigns.house import Office
from tests.billing.conftest import client_of
from tests.billing.scenarios.house import refused


async def submitted(office: Office) -> dict[str, Any]:
    """A campaign that waits for a second person, and its approval."""
    await office.customers(2, tags=["vip"])
    await office.draft("gift", points="90000.00")
    await office.preview("gift")
    assert await office.act("gift", "submit") == "waiting_approval"
    (waiting,) = await approvals(office, state="pending")
    assert (waiting["kind"], waiting["subject"]) == ("campaign", "gift")
    assert waiting["content"]["points"] == "180000.00"
    return waiting


async def approvals(office: Office, **query: str) -> list[dict[str, Any]]:
    client = await office.chain.client("finance")
    found: list[dict[str, Any]] = (await client.get("/v1/approvals", params=query)).json()["items"]
    return found


async def test_approved_among_approvals_it_is_scheduled(office: Office) -> None:
    waiting = await submitted(office)
    finance = await office.chain.client("finance")
    done = await finance.post(f"/v1/approvals/{waiting['id']}/approve")
    assert (done.json()["state"], done.json()["decided_by"]) == ("done", "the finance")
    told = await office.get("/gift")
    assert (told["state"], told["approved_by"]) == ("scheduled", "the finance")


async def test_approved_among_campaigns_it_is_done_among_approvals(office: Office) -> None:
    waiting = await submitted(office)
    assert await office.act("gift", "approve", "finance") == "scheduled"
    (done,) = await approvals(office)
    assert (done["id"], done["state"]) == (waiting["id"], "done")
    finance = await office.chain.client("finance")
    answer = await finance.post(f"/v1/approvals/{waiting['id']}/approve")
    refused(answer, 409, "approval_state")


@pytest.mark.parametrize("how", ["reject", "withdraw"])
async def test_turned_down_it_is_a_draft_again(office: Office, how: str) -> None:
    waiting = await submitted(office)
    if how == "reject":
        finance = await office.chain.client("finance")
        await finance.post(f"/v1/approvals/{waiting['id']}/reject", json={"reason": "too much"})
    else:
        await office.act("gift", "withdraw", "finance")
    assert await office.state("gift") == "draft"
    (turned_down,) = await approvals(office)
    assert turned_down["state"] == {"reject": "rejected", "withdraw": "withdrawn"}[how]
    await office.preview("gift")
    assert await office.act("gift", "submit") == "waiting_approval"
    assert len(await approvals(office, state="pending")) == 1


async def test_another_key_of_whoever_had_a_hand_in_it_does_not_approve(office: Office) -> None:
    services, app = office.chain.services, office.chain.app
    _, first = await services.keys.create("admin", "laptop", owner="Anna Petrova")
    _, second = await services.keys.create("finance", "office", owner="ANNA PETROVA")
    await office.customers(2, tags=["vip"])
    await office.draft("gift", points="90000.00")
    async with client_of(app, first) as laptop, client_of(app, second) as desk:
        changed = await laptop.patch("/v1/campaigns/gift", json={"name": "A larger gift"})
        assert changed.status_code == 200
        await office.preview("gift")
        await office.act("gift", "submit")
        (waiting,) = await approvals(office)
        for path in ("/v1/campaigns/gift/approve", f"/v1/approvals/{waiting['id']}/approve"):
            refused(await desk.post(path), 409, "campaign_own_approval")
    assert await office.act("gift", "approve", "finance") == "scheduled"


async def test_an_approval_is_of_what_was_read_and_not_of_what_came_since(office: Office) -> None:
    waiting = await submitted(office)
    await office.act("gift", "withdraw")
    await office.preview("gift")
    await office.act("gift", "submit")
    kind = office.chain.services.approvals.kinds["campaign"]
    stale = await office.chain.services.approvals.read(UUID(waiting["id"]))
    boris = Principal(key_id=UUID(int=9), name="Boris", role="finance")
    with pytest.raises(Conflict, match="decided meanwhile"):
        await kind.approve(stale, boris)
    with pytest.raises(Conflict, match="decided meanwhile"):
        await kind.turned_down(stale, "rejected", boris, "no")
    assert await office.state("gift") == "waiting_approval"


async def test_who_had_a_hand_in_it_does_not_approve_here_either(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("gift", points="90000.00", role="admin")
    await office.preview("gift")
    await office.act("gift", "submit")
    (waiting,) = await approvals(office)
    admin = await office.chain.client("admin")
    answer = await admin.post(f"/v1/approvals/{waiting['id']}/approve")
    refused(answer, 409, "campaign_own_approval")
    assert (await approvals(office))[0]["state"] == "pending"
