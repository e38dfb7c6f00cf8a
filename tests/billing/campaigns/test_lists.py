"""Lists: uploaded in parts, with a report of every row that is not as it should be."""

from __future__ import annotations

from uuid import uuid4

import msgspec

from tests.billing.campaigns.house import Office
from tests.billing.scenarios.house import refused

LISTED = {"list": "uploaded"}


async def test_phones_cards_and_ids_become_a_list_and_the_rest_is_reported(office: Office) -> None:
    chain = office.chain
    by_phone = await chain.customer(phone="+79167770001")
    by_card = await chain.customer(cards=["card-1"])
    by_id = await chain.customer()
    await chain.customer("unverified", phone="+79167770002")
    blocked = await chain.customer(phone="+79167770003")
    await chain.change(blocked, status="blocked")
    await office.draft("gift", audience=LISTED)
    rows = [
        {"phone": "8 916 777-00-01"},
        {"card": "card-1"},
        {"customer_id": by_id},
        {"phone": "+79167770002"},
        {"phone": "+79167770003"},
        {"customer_id": by_phone},
        {"phone": "+79160000000"},
        {"card": "card-2"},
        {"customer_id": str(uuid4())},
        {"phone": "none"},
    ]
    lines = b"\n".join(map(msgspec.json.encode, rows))
    client = await chain.client("marketer")
    answer = await client.post(
        "/v1/campaigns/gift/audience",
        content=lines,
        headers={"content-type": "application/x-ndjson"},
    )
    told = answer.json()
    (wrong,) = told.pop("wrong")
    assert (wrong["row"], "must be a phone number" in wrong["detail"]) == (10, True)
    assert told == {
        "added": 5, "in_list": 5, "doubled": [6], "unknown": [7, 8, 9], "unverified": [4],
        "blocked": [5],
    }  # fmt: skip
    again = (await office.post("/gift/audience", rows[:3])).json()
    assert (again["added"], again["in_list"], again["doubled"]) == (0, 5, [1, 2, 3])

    await office.preview("gift")
    assert await office.act("gift", "submit") == "scheduled"
    await office.run(chunk=2)
    (run,) = await office.runs("gift")
    assert (run["total"], run["given"]) == (5, 3)
    assert run["skipped"] == {"not_verified": 1, "blocked": 1}
    assert {str(one) for one in await office.given()} == {by_phone, by_card, by_id}


async def test_a_list_is_of_a_draft_and_moves_its_revision(office: Office) -> None:
    customer = await office.chain.customer()
    await office.draft("gift", audience=LISTED)
    await office.preview("gift")
    refused(await office.post("/gift/submit"), 409, "campaign_list_empty")
    rows = [{"customer_id": customer}]
    assert (await office.post("/gift/audience", rows)).json()["added"] == 1
    refused(await office.post("/gift/submit"), 409, "campaign_not_previewed")
    cleared = await office.post("/gift/audience/clear")
    assert cleared.json()["in_list"] == 0
    await office.post("/gift/audience", rows)
    await office.preview("gift")
    await office.act("gift", "submit")
    refused(await office.post("/gift/audience", rows), 409, "campaign_state")


async def test_too_long_a_list_is_refused_and_nothing_is_added(office: Office) -> None:
    customer = await office.chain.customer()
    await office.draft("gift", audience=LISTED)
    await office.superuser.execute("UPDATE billing.campaigns SET audience_size = 1000000")
    answer = await office.post("/gift/audience", [{"customer_id": customer}])
    assert "at most 1,000,000" in refused(answer, 409, "campaign_list_full")["detail"]
    assert await office.superuser.fetchval("SELECT count(*) FROM billing.campaign_audience") == 0


async def test_one_customer_a_row(office: Office) -> None:
    await office.draft("gift", audience=LISTED)
    answer = await office.post("/gift/audience", [{"phone": "+79160000000", "card": "x"}])
    assert refused(answer, 400, "validation_failed")["errors"][0]["pointer"] == "/0"
    too_many = [{"card": "x"}] * 10_001
    refused(await office.post("/gift/audience", too_many), 400, "validation_failed")
