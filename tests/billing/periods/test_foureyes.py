"""Reopening a month is one of the things a second person approves, in the one list of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
import msgspec
import pytest

from billing.approvals.model import Approval
from billing.approvals.routes import OPERATIONS as APPROVALS
from billing.approvals.schemas import ApprovalOut
from billing.common.auth import NOBODY, Role
from billing.common.errors import Conflict
from billing.common.settings import Settings
from billing.periods.routes import OPERATIONS as PERIODS
from tests.billing.balances.house import DAY, House, opened
from tests.billing.conftest import client_of
from tests.conftest import TestDatabase

APRIL: Final = datetime(2027, 2, 28, 21, 0, tzinfo=UTC) + 31 * DAY
_PATH: Final = "/v1/ledger/periods/2027-03"


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings, (*PERIODS, *APPROVALS)) as made:
        await made.accrue(await made.customer(), 100)
        made.clock.now = APRIL + DAY
        closed = await (await made.client()).post(f"{_PATH}/close", json={})
        assert closed.status_code == 200, closed.text
        yield made


async def post(house: House, path: str, who: Any = "finance", body: Any = None) -> httpx.Response:
    return await (await house.client(who)).post(path, json=body)


async def asked(house: House, reason: str = "A wrong receipt") -> dict[str, Any]:
    """A request of finance's, as it stands among approvals."""
    answer = await post(house, f"{_PATH}/reopen", body={"reason": reason})
    assert answer.status_code == 200, answer.text
    (waiting,) = (await house.get("/v1/approvals", state="pending"))["items"]
    found: dict[str, Any] = waiting
    return found


async def state(house: House) -> str:
    return str((await house.get(_PATH))["state"])


async def kinds(house: House) -> list[tuple[str, str]]:
    return [(one["kind"], one["author"]) for one in (await house.get(_PATH))["events"][1:]]


async def test_a_request_waits_in_the_list_of_all(house: House) -> None:
    waiting = await asked(house)

    msgspec.convert(waiting, ApprovalOut)
    assert (waiting["kind"], waiting["subject"], waiting["summary"], waiting["asked_by"]) == (
        "period_reopening", "2027-03", "Reopen 2027-03: A wrong receipt", "the finance",
    )  # fmt: skip
    (event,) = [
        one for one in (await house.get(_PATH))["events"] if one["kind"] == "reopen_requested"
    ]
    assert event["id"] == waiting["id"]
    assert (await asked(house))["id"] == waiting["id"], "asked again it waits once"


async def test_approved_there_it_is_reopened(house: House) -> None:
    waiting = await asked(house)
    own = await post(house, f"/v1/approvals/{waiting['id']}/approve")
    assert (own.status_code, own.json()["code"]) == (409, "own_approval")
    assert await state(house) == "reopen_requested"

    done = await post(house, f"/v1/approvals/{waiting['id']}/approve", "admin")

    assert (done.json()["state"], done.json()["decided_by"]) == ("done", "the admin")
    assert await state(house) == "open"
    assert await kinds(house) == [("reopen_requested", "the finance"), ("reopened", "the admin")]
    await house.accrue(await house.customer(), 100, occurred_at=APRIL - DAY, key="late")


async def test_approved_by_the_month_it_is_done_there(house: House) -> None:
    waiting = await asked(house)
    assert (await post(house, f"{_PATH}/reopen/approve", "admin")).status_code == 200
    found = await house.get(f"/v1/approvals/{waiting['id']}")
    assert (found["state"], found["decided_by"]) == ("done", "the admin")
    again = await post(house, f"/v1/approvals/{waiting['id']}/approve", "admin")
    assert (again.status_code, again.json()["code"]) == (409, "approval_state")


@pytest.mark.parametrize(
    ("how", "who", "left"),
    [
        ("/v1/approvals/{id}/reject", "admin", "rejected"),
        ("/v1/approvals/{id}/withdraw", "finance", "withdrawn"),
        (f"{_PATH}/reopen/withdraw", "admin", "rejected"),
        (f"{_PATH}/reopen/withdraw", "finance", "withdrawn"),
    ],
)
async def test_turned_down_the_month_stays_closed(
    house: House, how: str, who: str, left: str
) -> None:
    waiting = await asked(house)
    body = {"reason": "The receipt is right"} if how.endswith("reject") else None
    answer = await post(house, how.format(id=waiting["id"]), who, body)
    assert answer.status_code == 200, answer.text

    found = await house.get(f"/v1/approvals/{waiting['id']}")
    assert (found["state"], found["decided_by"]) == (left, f"the {who}")
    assert await state(house) == "closed"
    assert await kinds(house) == [
        ("reopen_requested", "the finance"), ("reopen_withdrawn", f"the {who}"),
    ]  # fmt: skip
    stale = await post(house, f"/v1/approvals/{waiting['id']}/approve", "admin")
    assert (stale.status_code, stale.json()["code"]) == (409, "approval_state")


async def test_who_approves_an_old_request_does_not_approve_the_next_one(house: House) -> None:
    """Between reading and approving, the request was withdrawn and another one made."""
    old = msgspec.convert(await asked(house, "A receipt of 1.00"), ApprovalOut)
    await post(house, f"/v1/approvals/{old.id}/withdraw")
    new = await asked(house, "All of it")
    admin = msgspec.structs.replace(NOBODY, role="admin")
    kind = house.services.approvals.kinds["period_reopening"]

    with pytest.raises(Conflict, match="decided meanwhile"):
        await kind.approve(Approval(**msgspec.structs.asdict(old)), admin)

    assert await state(house) == "reopen_requested"
    assert (await house.get(f"/v1/approvals/{new['id']}"))["state"] == "pending"


async def test_approved_both_ways_at_once_it_happens_once(house: House) -> None:
    waiting = await asked(house)
    paths = [f"{_PATH}/reopen/approve", f"/v1/approvals/{waiting['id']}/approve"] * 4
    answers = await asyncio.gather(*(post(house, path, "admin") for path in paths))
    assert [one.status_code for one in answers].count(200) == 1
    assert {one.status_code for one in answers} == {200, 409}
    assert [kind for kind, _ in await kinds(house)] == ["reopen_requested", "reopened"]


async def test_a_later_month_that_was_closed_meanwhile_keeps_it_closed(house: House) -> None:
    waiting = await asked(house)
    house.clock.now = APRIL + timedelta(days=40)
    assert (await post(house, "/v1/ledger/periods/2027-04/close", body={})).status_code == 200
    answer = await post(house, f"/v1/approvals/{waiting['id']}/approve", "admin")
    assert (answer.status_code, answer.json()["code"]) == (409, "period_not_last")
    assert (await house.get(f"/v1/approvals/{waiting['id']}"))["state"] == "pending"


async def test_two_keys_of_one_person_are_one_pair_of_eyes(house: House) -> None:
    clients = []
    people: list[tuple[Role, str, str]] = [
        ("finance", "laptop", "Anna  Petrova"),
        ("admin", "office", "anna petrova"),
        ("admin", "other", "Boris"),
    ]
    for role, name, owner in people:
        _, secret = await house.services.keys.create(role, name, owner=owner)
        clients.append(await house.stack.enter_async_context(client_of(house.app, secret)))
    laptop, office, other = clients
    await laptop.post(f"{_PATH}/reopen", json={"reason": "x"})
    (waiting,) = (await house.get("/v1/approvals", state="pending"))["items"]
    for path in (f"{_PATH}/reopen/approve", f"/v1/approvals/{waiting['id']}/approve"):
        answer = await office.post(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "own_approval"), path
    rejected = await office.post(f"/v1/approvals/{waiting['id']}/reject", json={"reason": "my own"})
    assert rejected.json()["code"] == "own_approval"
    assert (await other.post(f"/v1/approvals/{waiting['id']}/approve")).json()["state"] == "done"


@pytest.mark.parametrize(
    "change",
    [
        "content = '{}'",
        "asked_by = 'somebody else'",
        "asked_key = NULL",
        "state = 'done'",
        "state = 'done', decided_by = asked_by, decided_key = asked_key, decided_at = now()",
    ],
)
async def test_the_database_keeps_what_was_asked_for(
    house: House, database: TestDatabase, change: str
) -> None:
    await asked(house)
    connection = await asyncpg.connect(database.url)
    try:
        for statement in (
            f"UPDATE billing.approvals SET {change}",
            "DELETE FROM billing.approvals",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_decision_is_not_decided_again(house: House, database: TestDatabase) -> None:
    await asked(house)
    await post(house, f"{_PATH}/reopen/approve", "admin")
    owner = await asyncpg.connect(database.owner_url)
    try:
        for statement in (
            "UPDATE billing.approvals SET decided_by = 'nobody'",
            "UPDATE billing.approvals SET state = 'pending', decided_by = NULL",
            "TRUNCATE billing.approvals",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await owner.execute(statement)
    finally:
        await owner.close()
