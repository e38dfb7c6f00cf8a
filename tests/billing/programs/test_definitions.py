"""Definitions: what is empty or contradictory is refused with a pointer, in words that help."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from billing.programs.definition import compile_definition, read_definition, stored_definition
from billing.programs.examples import DEFINITIONS
from billing.programs.model import ProgramVersion

PERCENT = {"kind": "percent", "value": "5"}
BODY: dict[str, Any] = {
    "code": "not-made",
    "name": "Not made",
    "valid_from": "2026-01-01T00:00:00+03:00",
    "reward": PERCENT,
}
FIXED = {"reward": {"kind": "fixed", "value": "100"}}
JUNE = "2026-06-01T00:00:00+03:00"
JULY = "2026-07-01T00:00:00+03:00"


def event(on: str = "birthday", **more: Any) -> dict[str, Any]:
    return {"type": "scenario", "scenario": {"on": on}, **FIXED, **more}


def reward(kind: str, **more: Any) -> dict[str, Any]:
    return {"reward": {"kind": kind, **more}}


def total(op: str, value: object) -> dict[str, Any]:
    return {"field": "receipt.total", "op": op, "value": value}


def bracket(start: str, value: str) -> dict[str, Any]:
    return {"from": start, "value": value}


REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    # Rewards
    ({"reward": None}, "/reward", "is missing"),
    (reward("nonsense", value="5"), "/reward/kind", "must be one of 'percent', 'fixed'"),
    (reward("percent"), "/reward/value", "a reward 'percent' needs it"),
    (reward("percent", value="0"), "/reward/value", "or the reward gives nothing"),
    (reward("percent", value="1001"), "/reward/value", "at most 1000 percent"),
    (reward("percent", value="5", step="10"), "/reward/step", "not of a reward 'percent'"),
    (reward("fixed", value="0.00"), "/reward/value", "or the reward gives nothing"),
    (reward("per_amount", value="1"), "/reward/step", "is missing"),
    (reward("per_amount", value="1", step="0"), "/reward/step", "at least 0.01"),
    (reward("per_unit", value="0"), "/reward/value", "or the reward gives nothing"),
    (reward("brackets", brackets=[]), "/reward/brackets", "a bracket that gives something"),
    (reward("brackets", brackets=[bracket("5", "0")]), "/reward/brackets", "gives something"),
    (
        reward("brackets", brackets=[bracket("5", "1"), bracket("5.00", "2")]),
        "/reward/brackets/1/from",
        "from low to high",
    ),
    (reward("brackets", brackets=[bracket("5", "x")]), "/reward/brackets/0/value", "a percentage"),
    (reward("multiplier", value="1", programs=["a"]), "/reward/value", "more than 1"),
    (reward("multiplier", value="2", programs=[]), "/reward/programs", "must name the programs"),
    (
        reward("multiplier", value="2", programs=["not-made"]),
        "/reward/programs",
        "names the program itself",
    ),
    (reward("multiplier", value="2", programs=["nobody"]), "/reward/programs", "no program"),
    (
        reward("multiplier", value="2", programs=["a"]) | {"payment_types": ["sbp"]},
        "/payment_types",
        "takes what others gave",
    ),
    (FIXED | {"rounding": {"per": "line"}}, "/rounding/per", "a fixed reward is of the whole"),
    ({"rounding": {"step": "0"}}, "/rounding/step", "at least 0.01"),
    # Limits
    ({"limits": {"per_receipt": "0"}}, "/limits/per_receipt", "must be more than 0"),
    ({"limits": {"budget": 5}}, "/limits/budget", "not a number"),
    (FIXED | {"limits": {"budget": "99.99"}}, "/limits/budget", "the 100.00 points given"),
    ({"limits": {"times_per_customer_day": 0}}, "/limits/times_per_customer_day", "at least 1"),
    # Times
    ({"valid_to": BODY["valid_from"]}, "/valid_to", "later than valid_from"),
    ({"available": {}}, "/available", "needs `after`, a period, or `at`, a moment"),
    ({"available": {"after": "P1D", "at": JUNE}}, "/available", "has both"),
    ({"available": {"after": "5 days"}}, "/available/after", "ISO 8601 period"),
    ({"available": {"at": "2025-01-01T00:00:00Z"}}, "/available/at", "is not after valid_from"),
    (
        {"available": {"instalments": {"count": 1, "every": "P1M"}}},
        "/available/instalments/count",
        "at least 2",
    ),
    (
        {"available": {"instalments": {"count": 24, "every": "P5Y"}}},
        "/available/instalments",
        "100 years",
    ),
    ({"expires": {"round_up_to": "month"}}, "/expires", "needs `after`"),
    ({"expires": {"at": JUNE, "round_up_to": "year"}}, "/expires/round_up_to", "with `after`"),
    ({"expires": {"at": JUNE}}, "/expires/at", "before the program ends"),
    ({"expires": {"at": "2025-01-01T00:00:00Z"}}, "/expires/at", "is not after valid_from"),
    (
        {"valid_to": JUNE, "expires": {"at": JUNE}, "available": {"after": "P14D"}},
        "/expires/at",
        "before the last points become available",
    ),
    (
        {
            "valid_to": JUNE,
            "expires": {"at": JULY},
            "available": {"instalments": {"count": 3, "every": "P1M"}},
        },
        "/expires/at",
        "before the last points become available",
    ),
    # Places and goods
    ({"scope": {"stores": ["x"], "exclude_stores": ["x"]}}, "/scope/stores", "both included"),
    ({"scope": {"stores": ["nowhere"]}}, "/scope/stores", "there is no store 'nowhere'"),
    ({"lines": {"groups": ["no-such"]}}, "/lines/groups", "there is no product group"),
    ({"lines": {"when": total(">", "5")}}, "/lines/when/field", "is not of a line"),
    (
        {"lines": {"when": {"field": "line.group", "op": "=", "value": "no-such"}}},
        "/lines/when/value",
        "there is no product group 'no-such'",
    ),
    (
        {"when": {"not": {"field": "customer.registration_store", "op": "in", "value": ["x"]}}},
        "/when/not/value",
        "there is no store 'x'",
    ),
    # Conditions that can never hold
    (
        {"when": {"all": [total(">=", "500"), {"all": [total("<", "500")]}]}},
        "/when",
        "can never hold: the receipt total is at least 500 and the receipt total is less than 500",
    ),
    ({"when": {"any": [total("<", "0"), total(">", "5")]}}, "/when/any/0", "can never hold"),
    (
        {
            "when": {
                "all": [
                    {"field": "receipt.weekday", "op": "in", "value": ["sat", "sun"]},
                    {"field": "receipt.weekday", "op": "!=", "value": "sat"},
                    {"field": "receipt.weekday", "op": "not_in", "value": ["sun"]},
                ]
            }
        },
        "/when",
        "can never hold",
    ),
    (
        {
            "when": {
                "all": [
                    {"field": "customer.tags", "op": "has", "value": "vip"},
                    {"field": "customer.tags", "op": "has_not", "value": "vip"},
                ]
            }
        },
        "/when",
        "can never hold",
    ),
    (
        {"when": {"field": "receipt.days_to_birthday", "op": ">", "value": 183}},
        "/when",
        "can never hold",
    ),
    # Types
    ({"type": "nonsense"}, "/type", "must be one of 'accrual', 'scenario', 'redemption'"),
    ({"redemption": {}}, "/redemption", "is not of a program of type 'accrual'"),
    ({"scenario": {"on": "birthday"}}, "/scenario", "is not of a program of type 'accrual'"),
    ({"type": "redemption"}, "/reward", "is not of a program of type 'redemption'"),
    (
        {"type": "redemption", "reward": None, "redemption": {"max_share": "101"}},
        "/redemption/max_share",
        "at most 100 percent",
    ),
    (
        {"type": "redemption", "reward": None, "redemption": {"legal": ["petrol"]}},
        "/redemption/legal/0",
        "must be one of 'tobacco', 'alcohol'",
    ),
    (FIXED | {"type": "scenario"}, "/scenario", "is missing"),
    (event("birtday"), "/scenario/on", "did you mean 'birthday'?"),
    (event("referral", scenario={"on": "referral", "days_before": 3}), "/scenario/days_before",
     "goes with on: 'birthday' alone"),
    (event(scenario={"on": "birthday", "to": "referred"}), "/scenario/to", "on: 'referral' alone"),
    (
        event(
            "first_purchase",
            when={"all": [{"field": "receipt.first_purchase", "op": "=", "value": False}]},
        ),
        "/when",
        "can never hold",
    ),
    (event("registration", reward=PERCENT), "/reward/kind", "must be 'fixed'"),
    (event("registration", lines={"exclude_promo": True}), "/lines", "has no receipt"),
    (event("my-event", when=total(">", "5")), "/when/field", "has no receipt"),
    ({"stacking": {"policy": "most"}}, "/stacking/policy", "must be one of 'sum', 'max'"),
    ({"bonus": 5}, "/bonus", "is not a known field"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "pointer", "detail"), REFUSALS)
async def test_what_is_empty_or_contradictory_is_refused_with_a_pointer(
    admin: httpx.AsyncClient, given: dict[str, Any], pointer: str, detail: str
) -> None:
    refused = await admin.post("/v1/programs", json=BODY | given)
    assert refused.status_code == 400, refused.text
    [fault] = refused.json()["errors"]
    assert fault["pointer"] == pointer
    assert detail in fault["detail"]


async def test_every_fault_is_told_at_once(admin: httpx.AsyncClient) -> None:
    wrong = {
        "reward": {"kind": "percent", "value": "five"},
        "rounding": {"step": "0"},
        "when": {"all": []},
        "expires": {"after": "soon"},
    }
    refused = await admin.post("/v1/programs", json=BODY | wrong)
    found = {fault["pointer"] for fault in refused.json()["errors"]}
    assert found == {"/reward/value", "/rounding/step", "/when/all", "/expires/after"}


ACCEPTED: list[dict[str, Any]] = [
    *(body for name, body in DEFINITIONS.items() if name not in ("percent", "milk", "multiplier")),
    {"payment_types": ["sbp"], "reward": PERCENT},
    {"when": {"not": total("<", "0")}, "reward": PERCENT},
    {
        "when": {"all": [
            {"field": "line.group", "op": "=", "value": "never"},
            {"field": "line.promo", "op": "=", "value": True},
            {"field": "line.promo", "op": "=", "value": False},
        ]},
        "reward": PERCENT,
    },
    {"when": {"field": "receipt.time", "op": "between", "value": ["22:00", "06:00"]}, **FIXED},
    {"valid_to": JUNE, "expires": {"at": JULY}, "available": {"after": "P14D"}, **FIXED},
    event("first_purchase", reward=PERCENT, when=total(">", "5")),
    event("referral", scenario={"on": "referral", "to": "referred"}),
    event("feedback-2"),
    {"type": "redemption", "redemption": {"max_share": "0"}},
    {"type": "redemption"},
]  # fmt: skip


@pytest.mark.parametrize("given", ACCEPTED)
def test_what_is_stored_means_the_same_for_ever(given: dict[str, Any]) -> None:
    body = read_definition({name: BODY[name] for name in ("name", "valid_from")} | given)
    program = compile_definition("p", 1, body)
    stored = stored_definition(body)
    again = read_definition(stored)
    assert compile_definition("p", 1, again) == program
    assert stored_definition(again) == stored


async def test_what_is_left_out_is_written_out_with_its_default(admin: httpx.AsyncClient) -> None:
    spoken = {
        "when": None,
        "type": "accrual",
        "stacking": {"group": "main", "policy": "sum", "priority": 0},
        "limits": {"per_receipt": None, "per_customer_day": None, "budget": None},
    }
    brief = await admin.post("/v1/programs", json=BODY | {"code": "brief"})
    whole = await admin.post("/v1/programs", json=BODY | spoken | {"code": "whole"})
    assert (brief.status_code, whole.status_code) == (201, 201), whole.text
    assert brief.json()["definition"] == whole.json()["definition"]
    assert brief.json()["definition"]["on_return"] == "debt"


def test_a_definition_of_the_first_release_still_compiles() -> None:
    stored = {
        "name": "5% on everything", "type": "accrual", "valid_from": "2026-01-01T00:00:00+03:00",
        "valid_to": None, "scope": {"channels": ["shop"]}, "lines": {"exclude_promo": True},
        "when": None, "reward": {"kind": "percent", "value": "5"}, "base": "gross",
        "rounding": {"mode": "down", "step": "1", "per": "line"}, "bucket": "promo",
        "available": {"after": "P14D"}, "expires": {"after": "P12M", "round_up_to": "month"},
        "stacking": {"group": "main", "policy": "sum", "priority": 0}, "limits": {},
        "on_return": "floor",
    }  # fmt: skip
    program = compile_definition("base-5", 1, read_definition(stored))
    assert isinstance(program, ProgramVersion)
    assert (program.reward.__class__.__name__, program.base, program.bucket, program.on_return) == (
        "Percent", "gross", "promo", "floor"
    )  # fmt: skip
