"""Keys bound to a channel or a store make and end programs of their own place alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.acceptance.shop import Shop, done, problem
from tests.billing.conftest import Caller

Draft = dict[str, Any]


@pytest.fixture
async def shop(admin: httpx.AsyncClient) -> Shop:
    return await Shop(admin).open()


@pytest.fixture
def draft(unique: Callable[[str], str]) -> Callable[..., Draft]:
    """A program of a scope."""

    def make(**scope: list[str]) -> Draft:
        return {
            "code": unique("bound"),
            "name": "a program",
            "valid_from": "2026-01-01T00:00:00+03:00",
            "scope": scope,
            "reward": {"kind": "percent", "value": "5"},
        }

    return make


@pytest.fixture(params=["channel", "store"])
async def bound(request: pytest.FixtureRequest, shop: Shop, caller: Caller) -> httpx.AsyncClient:
    """A marketer's key of the shop's channel, or of its store."""
    return await caller("marketer", **{request.param: getattr(shop, request.param)})


async def test_a_bound_key_makes_programs_of_its_own_place(
    bound: httpx.AsyncClient, shop: Shop, draft: Callable[..., Draft]
) -> None:
    program = draft(channels=[shop.channel], stores=[shop.store])
    code = done(await bound.post("/v1/programs", json=program))["code"]
    done(await bound.post(f"/v1/programs/{code}/publish", json={}))
    version = {name: value for name, value in program.items() if name != "code"}
    done(await bound.post(f"/v1/programs/{code}/versions", json=version))
    done(await bound.post(f"/v1/programs/{code}/publish", json={}))
    done(await bound.post(f"/v1/programs/{code}/archive", json={}))


async def test_a_bound_key_makes_no_program_of_other_places(
    bound: httpx.AsyncClient, shop: Shop, draft: Callable[..., Draft], admin: httpx.AsyncClient
) -> None:
    other = await Shop(admin).open()
    for scope in (
        {},
        {"channels": [other.channel]},
        {"channels": [shop.channel, other.channel], "stores": [shop.store, other.store]},
        {"stores": [shop.store], "store_groups": ["moscow"]},
    ):
        problem(await bound.post("/v1/programs", json=draft(**scope)), 403, "forbidden")


async def test_a_bound_key_changes_and_ends_no_program_of_the_chain(
    bound: httpx.AsyncClient, shop: Shop, draft: Callable[..., Draft], admin: httpx.AsyncClient
) -> None:
    chain = draft()
    code = done(await admin.post("/v1/programs", json=chain))["code"]
    own = {"name": "a program", "valid_from": chain["valid_from"], "reward": chain["reward"]}
    own["scope"] = {"channels": [shop.channel], "stores": [shop.store]}
    path = f"/v1/programs/{code}"

    async def refused(answer: Awaitable[httpx.Response]) -> None:
        problem(await answer, 403, "forbidden")

    await refused(bound.post(f"{path}/versions", json=own))
    await refused(bound.post(f"{path}/publish", json={}))
    done(await admin.post(f"{path}/publish", json={}))
    await refused(bound.post(f"{path}/archive", json={}))
    # Nor when the newest version is of its place: the one before it is not.
    done(await admin.post(f"{path}/versions", json=own))
    await refused(bound.post(f"{path}/publish", json={}))
    done(await admin.post(f"{path}/archive", json={}))  # It would give points in every other test.
