"""What a program cannot say yet is refused in words that tell what to do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

BODY: dict[str, Any] = {
    "code": "not-yet",
    "name": "Later",
    "valid_from": "2026-01-01T00:00:00+03:00",
    "reward": {"kind": "percent", "value": "5"},
}
LEAVE_OUT = "is not supported in this version; leave it out"


@pytest.mark.parametrize(
    ("given", "pointer", "detail"),
    [
        ({"when": {"all": []}}, "/when", LEAVE_OUT),
        ({"limits": {"per_receipt": "500.00"}}, "/limits/per_receipt", LEAVE_OUT),
        ({"limits": {"budget": 1}}, "/limits/budget", LEAVE_OUT),
        ({"type": "scenario"}, "/type", f"'scenario' {LEAVE_OUT}"),
        ({"type": "nonsense"}, "/type", "must be 'accrual'"),
        ({"stacking": {"policy": "max"}}, "/stacking/policy", f"'max' {LEAVE_OUT}"),
        (
            {"reward": {"kind": "fixed", "value": "5"}},
            "/reward/kind",
            "'fixed' is not supported in this version; use 'percent'",
        ),
        ({"reward": {"kind": 5, "value": "5"}}, "/reward/kind", "must be 'percent'"),
    ],
)
async def test_what_comes_later_is_refused_and_never_ignored(
    admin: httpx.AsyncClient, given: dict[str, Any], pointer: str, detail: str
) -> None:
    refused = await admin.post("/v1/programs", json=BODY | given)
    assert refused.status_code == 400, refused.text
    assert refused.json()["errors"] == [{"pointer": pointer, "detail": detail}]


async def test_saying_what_counts_anyway_is_the_same_as_leaving_it_out(
    admin: httpx.AsyncClient,
) -> None:
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
