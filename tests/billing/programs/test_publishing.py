"""Publishing beside other programs: one policy in a group, multipliers of what gives points."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from billing.common.db import Database
from billing.common.settings import Settings
from tests.billing.conftest import Caller

SINCE = "2026-01-01T00:00:00+03:00"
JUNE = "2027-06-01T00:00:00+03:00"
Unique = Callable[[str], str]


class Marketer:
    """Drafts and publishes programs that work in a channel of their own."""

    def __init__(self, client: httpx.AsyncClient, unique: Unique) -> None:
        self.client = client
        self.unique = unique
        self.channel = unique("channel")

    async def draft(self, **more: Any) -> str:
        code = self.unique("program")
        body = {
            "code": code,
            "name": code,
            "valid_from": SINCE,
            "scope": {"channels": [self.channel]},
            "reward": {"kind": "percent", "value": "5"},
            **more,
        }
        body = {name: value for name, value in body.items() if value is not None}
        made = await self.client.post("/v1/programs", json=body)
        assert made.status_code == 201, made.text
        return code

    async def publish(self, code: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"/v1/programs/{code}/publish", json=body)

    async def published(self, **more: Any) -> str:
        code = await self.draft(**more)
        answer = await self.publish(code)
        assert answer.status_code == 200, answer.text
        return code

    async def refused(self, code: str) -> dict[str, str]:
        answer = await self.publish(code)
        assert answer.status_code == 400, answer.text
        [fault] = answer.json()["errors"]
        return dict(fault)


@pytest.fixture
async def marketer(admin: httpx.AsyncClient, caller: Caller, unique: Unique) -> Marketer:
    made = Marketer(await caller("marketer"), unique)
    await admin.put(f"/v1/channels/{made.channel}", json={"name": "Shop"})
    return made


async def test_programs_of_a_group_have_one_policy_while_they_overlap(marketer: Marketer) -> None:
    group = marketer.unique("group")
    first = await marketer.published(stacking={"group": group, "policy": "max"}, valid_to=JUNE)
    other = await marketer.draft(stacking={"group": group, "policy": "sum"})
    fault = await marketer.refused(other)
    assert fault["pointer"] == "/stacking/policy"
    assert "must be 'max'" in fault["detail"]
    assert first in fault["detail"]
    # After the first has ended, or in another group, the policy is free.
    await marketer.published(stacking={"group": group, "policy": "sum"}, valid_from=JUNE)
    await marketer.published(stacking={"group": f"{group}-2", "policy": "sum"})
    await marketer.client.post(f"/v1/programs/{first}/archive")
    assert (await marketer.publish(other)).status_code == 200


async def test_two_who_publish_at_once_cannot_contradict_each_other(marketer: Marketer) -> None:
    group = marketer.unique("group")
    codes = [
        await marketer.draft(stacking={"group": group, "policy": policy})
        for policy in ("sum", "max", "priority")
    ]
    answers = await asyncio.gather(*(marketer.publish(code) for code in codes))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]


async def test_a_multiplier_needs_programs_that_give_points_at_its_time(marketer: Marketer) -> None:
    base = await marketer.published()
    early = await marketer.published(valid_to=JUNE)
    draft = await marketer.draft()
    paying = await marketer.published(type="redemption", reward=None)
    event = await marketer.published(
        type="scenario", scenario={"on": marketer.unique("event")},
        reward={"kind": "fixed", "value": "5"},
    )  # fmt: skip

    def multiplier(*codes: str) -> dict[str, Any]:
        return {"kind": "multiplier", "value": "2", "programs": list(codes)}

    double = await marketer.published(reward=multiplier(base, early))
    for code, words in (
        (draft, "is not a program published for the same time"),
        (paying, "gives no points"),
        (event, "gives for events"),
        (double, "is a multiplier itself"),
    ):
        fault = await marketer.refused(await marketer.draft(reward=multiplier(base, code)))
        assert fault["pointer"] == "/reward/programs"
        assert words in fault["detail"]
    late = await marketer.draft(reward=multiplier(early), valid_from=JUNE)
    assert "published for the same time" in (await marketer.refused(late))["detail"]


async def test_a_budget_has_its_counter_from_the_first_publication_on(
    marketer: Marketer, shared_settings: Settings
) -> None:
    code = await marketer.published(limits={"budget": "1000"})
    body = {"name": "More", "valid_from": SINCE, "reward": {"kind": "fixed", "value": "5"},
            "scope": {"channels": [marketer.channel]}, "limits": {"budget": "2000"}}  # fmt: skip
    assert (await marketer.client.post(f"/v1/programs/{code}/versions", json=body)).is_success
    assert (await marketer.publish(code)).is_success
    database = Database(shared_settings.database_url, size=1)
    query = "SELECT customer_id::text, value FROM billing.counters WHERE name = $1"
    rows = await database.fetch(query, f"budget/{code}")
    await database.close()
    assert [tuple(row) for row in rows] == [("00000000-0000-0000-0000-000000000000", 0)]


async def test_what_would_never_count_is_not_published(marketer: Marketer) -> None:
    over = await marketer.draft(valid_to="2026-01-02T00:00:00+03:00")
    fault = await marketer.refused(over)
    assert (fault["pointer"], "would never count" in fault["detail"]) == ("/from", True)
    assert (await marketer.publish(over, **{"from": SINCE})).status_code == 200


async def test_a_program_keeps_its_type(marketer: Marketer) -> None:
    code = await marketer.draft()
    body = {"name": "Other", "valid_from": SINCE, "type": "redemption"}
    refused = await marketer.client.post(f"/v1/programs/{code}/versions", json=body)
    assert refused.json()["errors"] == [
        {"pointer": "/type", "detail": "must stay 'accrual'; make another program for 'redemption'"}
    ]


async def test_a_scope_that_leaves_nothing_is_refused(
    admin: httpx.AsyncClient, marketer: Marketer, unique: Unique
) -> None:
    store, other, group = unique("store"), unique("store"), unique("group")
    await admin.put(
        f"/v1/stores/{store}", json={"name": "S", "channel": marketer.channel, "group": group}
    )
    elsewhere = unique("channel")
    await admin.put(f"/v1/channels/{elsewhere}", json={"name": "Else"})
    await admin.put(f"/v1/stores/{other}", json={"name": "O", "channel": elsewhere})
    food, milk = unique("food"), unique("milk")
    await admin.put(f"/v1/product-groups/{food}", json={"name": "Food"})
    await admin.put(f"/v1/product-groups/{milk}", json={"name": "Milk", "parent": food})
    sku, card = unique("sku"), unique("card")
    await admin.put(f"/v1/products/{sku}", json={"name": "Milk", "group": milk})
    await admin.put(f"/v1/products/{card}", json={"name": "C", "group": food, "excluded": True})
    body: dict[str, Any] = {"code": unique("none"), "name": "None", "valid_from": SINCE,
                            "reward": {"kind": "percent", "value": "5"}}  # fmt: skip
    for given, pointer, words in (
        ({"scope": {"store_groups": [group], "exclude_stores": [store]}}, "/scope", "no store"),
        (
            {"scope": {"channels": [marketer.channel], "stores": [other]}},
            "/scope/stores",
            "not in the scope",
        ),
        ({"lines": {"groups": [milk], "exclude_groups": [food]}}, "/lines/groups", "is below"),
        ({"lines": {"products": [sku], "exclude_groups": [food]}}, "/lines/products", "is in"),
        ({"lines": {"products": [card]}}, "/lines/products", "takes no part"),
    ):
        refused = await marketer.client.post("/v1/programs", json=body | given)
        [fault] = refused.json()["errors"]
        assert fault["pointer"] == pointer
        assert words in fault["detail"]


async def test_a_version_tells_itself_in_both_languages(marketer: Marketer) -> None:
    code = await marketer.draft(
        when={"field": "receipt.total", "op": ">=", "value": "1500.50"},
        limits={"per_receipt": "21"},
        available={"after": "P14D"},
    )
    read = await marketer.client.get(f"/v1/programs/{code}/versions/1")
    assert read.json()["sentence"] == {
        "en": f"Gives 5% of what is paid in money. Works in the channels {marketer.channel}. "
        "Only if the receipt total is at least 1,500.50. Rounded down, to steps of 0.01\u00a0points"
        ", once a receipt. These are base points, available after 14\u00a0days; they never expire. "
        "At most 21\u00a0points a receipt. Points of a returned sale that are spent already are "
        "owed. Runs from 1 January 2026 00:00.",
        "ru": "Начисляет 5\u00a0% от суммы, оплаченной деньгами. Работает в каналах "
        f"{marketer.channel}. Только если сумма чека не меньше 1\u00a0500,50. Округление вниз, с "
        "шагом 0,01\u00a0бонуса, по чеку. Это основные бонусы, доступны через 14\u00a0дней; не "
        "сгорают. Не больше 21\u00a0бонуса за чек. Уже потраченные бонусы возвращённой покупки "
        "становятся долгом. Действует с 01.01.2026 00:00.",
    }
