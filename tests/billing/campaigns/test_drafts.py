"""Writing campaigns: what is wrong is said where it stands, and in words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.billing.campaigns.house import Office
from tests.billing.scenarios.house import refused

PLAIN: dict[str, Any] = {"code": "gift", "name": "A gift", "audience": {"tag": "vip"},
                         "points": "10.00"}  # fmt: skip
NOT_KNOWN = {"field": "receipt.total", "op": ">", "value": "1.00"}
NOWHERE = {"field": "customer.registration_store", "op": "=", "value": "nowhere"}


@pytest.mark.parametrize(
    ("change", "pointer", "why"),
    [
        ({"audience": {}}, "/audience", "exactly one of"),
        ({"audience": {"tag": "vip", "list": "uploaded"}}, "/audience", "exactly one of"),
        ({"audience": {"when": NOT_KNOWN}}, "/audience/when/field", "which has no receipt"),
        ({"audience": {"when": NOWHERE}}, "/audience/when/value", "there is no store 'nowhere'"),
        ({"points": None}, "/points", "exactly one of them is needed"),
        ({"points": "0.00"}, "/points", "more than 0"),
        ({"points": "10.001"}, "/points", "at most two decimals"),
        ({"program": "base-5"}, "/points", "exactly one of them is needed"),
        ({"budget": "9.99"}, "/budget", "less than the 10.00 points"),
        ({"available": {"after": "2 weeks"}}, "/available/after", "ISO 8601"),
        ({"expires": {}}, "/expires", "needs `after`, a period, or `at`"),
        ({"code": "x" * 51}, "/code", "1 to 50 characters"),
        ({"reason": "\u200b"}, "/reason", "visible characters"),
        ({"run_at": "2027-04-01T09:00:00"}, "/run_at", "needs an offset"),
        (
            {"recurrence": {"rule": "FREQ=MONTHLY;BYMONTHDAY=31", "at": "09:00"}},
            "/recurrence/rule",
            "BYMONTHDAY=-1 for the last day of the month",
        ),
        ({"recurrence": {"rule": "FREQ=DAILY", "at": "9:00"}}, "/recurrence/at", "time of day"),
    ],
)
async def test_what_is_wrong_with_a_draft_is_named(
    office: Office, change: dict[str, Any], pointer: str, why: str
) -> None:
    body = {name: value for name, value in (PLAIN | change).items() if value is not None}
    document = refused(await office.post("", body), 400, "validation_failed")
    assert any(one["pointer"] == pointer and why in one["detail"] for one in document["errors"]), (
        document["errors"]
    )


async def test_what_an_audience_names_must_exist_with_a_program_too(office: Office) -> None:
    body = PLAIN | {"audience": {"when": NOWHERE}, "program": "thanks"}
    del body["points"]
    document = refused(await office.post("", body), 400, "validation_failed")
    assert document["errors"][0]["pointer"] == "/audience/when/value"


async def test_a_code_is_taken_once(office: Office) -> None:
    await office.draft("gift")
    document = refused(await office.post("", PLAIN), 400, "validation_failed")
    assert document["errors"][0]["pointer"] == "/code"


async def test_a_draft_can_be_changed_and_its_preview_counts_no_more(office: Office) -> None:
    await office.customers(2, tags=["vip"])
    await office.draft("gift", run_at="2027-04-01T09:00:00+03:00")
    await office.preview("gift")
    client = await office.chain.client("marketer")
    changed = await client.patch(
        "/v1/campaigns/gift", json={"points": "20.00", "run_at": None, "reason": "Plan 7"}
    )
    told = changed.json()
    assert (told["points"], told["run_at"], told["reason"]) == ("20.00", None, "Plan 7")
    assert (told["revision"], told["preview"]) == (2, None)
    refused(await office.post("/gift/submit"), 409, "campaign_not_previewed")
    wrong = await client.patch("/v1/campaigns/gift", json={"points": None})
    assert refused(wrong, 400, "validation_failed")["errors"][0]["pointer"] == "/points"
    await office.preview("gift")
    await office.act("gift", "submit")
    document = refused(
        await client.patch("/v1/campaigns/gift", json={"points": "1.00"}), 409, "campaign_state"
    )
    assert document["state"] == "scheduled"


async def test_a_preview_tells_how_many_and_how_much_and_when(office: Office) -> None:
    await office.customers(5, tags=["vip"])
    await office.customers(2, "unverified", tags=["vip"])
    await office.customers(4)
    recurrence = {"rule": "FREQ=DAILY;COUNT=30", "at": "09:00", "from": "2027-03-02"}
    await office.draft("gift", recurrence=recurrence, budget="1000.00")
    told = await office.preview("gift")
    assert (told["customers"], told["receiving"], told["points"]) == (7, 5, "50.00")
    assert (told["budget"], told["runs"]) == ("1000.00", 30)
    assert told["skipped"] == {"not_verified": 2}
    assert told["run_at"] == told["next_runs"][0] == "2027-03-02T06:00:00Z"
    assert await office.given() == {}


async def test_a_preview_of_a_program_is_the_most_it_can_cost(office: Office) -> None:
    await office.customers(8, tags=["vip"])
    program = await office.chain.scenario("thanks", "25.00", limits={"budget": "30.00"})
    await office.draft("gift", program=program)
    assert (await office.preview("gift"))["points"] == "200.00"


@pytest.mark.parametrize(
    ("on", "why"),
    [("birthday", "happens by itself"), (None, "there is no program"), ("later", "not valid")],
)
async def test_a_program_must_be_a_published_scenario_of_an_own_event(
    office: Office, on: str | None, why: str
) -> None:
    await office.customers(1, tags=["vip"])
    code = "nothing"
    if on == "later":
        code = await office.chain.scenario("x", valid_from="2027-06-01T00:00:00Z")
    elif on is not None:
        code = await office.chain.scenario(on)
    await office.draft("gift", program=code)
    answer = await office.post("/gift/submit")
    refused(answer, 409, "campaign_not_previewed")
    asked = await office.post("/gift/preview")
    assert asked.status_code == 202
    with pytest.raises(AssertionError, match=why):
        await office.preview("gift")


async def test_unknown_ones_are_not_found(office: Office) -> None:
    for action in ("preview", "submit", "pause", "resume", "cancel", "withdraw"):
        refused(await office.post(f"/nothing/{action}"), 404, "not_found")
    refused(await office.post("/nothing/approve", role="finance"), 404, "not_found")


async def test_a_campaign_is_for_the_whole_chain_so_bound_keys_have_none(office: Office) -> None:
    bound = await office.chain.client("marketer", "shop")
    refused(await bound.post("/v1/campaigns", json=PLAIN), 403, "forbidden")
    await office.draft("gift")
    for path in ("/v1/campaigns", "/v1/campaigns/gift", "/v1/campaigns/gift/runs"):
        refused(await bound.get(path), 403, "forbidden")
    refused(await bound.post("/v1/campaigns/gift/cancel"), 403, "forbidden")


async def test_lists_are_paged(office: Office) -> None:
    for number in range(3):
        await office.draft(f"gift-{number}")
    first = await office.get("?limit=2")
    assert [one["code"] for one in first["items"]] == ["gift-0", "gift-1"]
    rest = await office.get(f"?limit=2&cursor={first['next_cursor']}")
    assert [one["code"] for one in rest["items"]] == ["gift-2"]
