"""Everything an operator does leaves an entry that nobody can change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from billing.app.api import OPERATIONS
from billing.common.http import is_logged
from tests.billing.conftest import Caller
from tests.conftest import TestDatabase

_CONFIRM = "POST /v1/verifications/{id}/confirm"
_TEMPLATE = "PUT /v1/message-templates/{kind}/{language}"


async def entries(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await client.get("/v1/operator-log", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_before_and_after_stand_beside_each_other(
    admin: httpx.AsyncClient, unique: Callable[[str], str]
) -> None:
    code = unique("channel")
    for name in ("old", "new"):
        put = await admin.put(
            f"/v1/channels/{code}", json={"name": name}, headers={"x-request-id": f"r-{name}"}
        )
        assert put.status_code in (200, 201)
    second, first = await entries(admin, subject=code)
    assert (first["before"], first["after"]["name"]) == (None, "old")
    assert (second["before"]["name"], second["after"]["name"]) == ("old", "new")
    assert second["body"] == {"name": "new"}
    assert second["operation"] == "PUT /v1/channels/{code}"
    assert (second["key_name"], second["role"], second["status"]) == ("test admin", "admin", 200)
    assert (second["request_id"], second["at"] < second["finished_at"]) == ("r-new", True)


async def test_an_attempt_that_failed_is_kept_with_its_status(
    admin: httpx.AsyncClient, unique: Callable[[str], str]
) -> None:
    code = unique("store")
    answer = await admin.put(f"/v1/stores/{code}", json={"name": "x", "channel": "nowhere"})
    assert answer.status_code == 400
    (entry,) = await entries(admin, subject=code)
    assert (entry["status"], "nowhere" in entry["after"]["detail"]) == (400, True)


async def test_nobody_s_phone_or_name_is_in_it(
    admin: httpx.AsyncClient, phone: Callable[[], str], shared_database: TestDatabase
) -> None:
    number, mailbox = phone(), f"anna-{uuid4().hex}"
    email = f"{mailbox}@example.org"
    body = {"phone": number, "name": "Anna Petrova", "email": email, "cards": []}
    made = await admin.post("/v1/customers", json=body, headers={"x-request-id": "register-anna"})
    customer = made.json()["id"]
    await admin.patch(f"/v1/customers/{customer}", json={"name": "Anna Ivanova", "tags": ["vip"]})
    made = await admin.post("/v1/imports", json={"name": f"log-{customer}"})
    lines = {"csv": f"phone,points\n{number},1"}
    await admin.post(f"/v1/imports/{made.json()['id']}/rows", json=lines)
    (entry,) = await entries(admin, subject=customer)
    assert entry["body"] == {"name": "***", "tags": ["vip"]}
    assert (entry["before"]["tags"], entry["after"]["tags"]) == ([], ["vip"])
    connection = await asyncpg.connect(shared_database.superuser_url)
    text = await connection.fetchval(
        "SELECT string_agg(a::text || coalesce(o::text, ''), ' ') FROM billing.operator_actions a"
        " LEFT JOIN billing.operator_outcomes o ON o.action_id = a.id"
    )
    await connection.close()
    for secret in (number, "Petrova", "Ivanova", mailbox):
        assert secret not in text


async def test_secrets_cards_and_codes_are_not_in_it_but_templates_are(
    admin: httpx.AsyncClient, phone: Callable[[], str], unique: Callable[[str], str]
) -> None:
    provider, card = unique("sms"), unique("card")
    body = {"kind": "smsru", "settings": {"sender": "Fresh"}, "secrets": {"api_id": "open sesame"}}
    assert (await admin.put(f"/v1/sms-providers/{provider}", json=body)).status_code == 201
    (entry,) = await entries(admin, subject=provider)
    assert (entry["body"]["secrets"], entry["after"]["webhook_url"]) == ("***", "***")
    assert entry["body"]["settings"] == {"sender": "Fresh"}
    await admin.delete(f"/v1/sms-providers/{provider}")

    customer = (await admin.post("/v1/customers", json={"phone": phone()})).json()["id"]
    added = await admin.post(f"/v1/customers/{customer}/cards", json={"card": card})
    assert added.status_code == 200, added.text
    await admin.patch(f"/v1/customers/{customer}/cards/{card}", json={"blocked": True})
    blocked, given = await entries(admin, subject=customer)
    assert blocked["operation"] == "PATCH /v1/customers/{id}/cards/{card}"
    assert (blocked["body"], card in str(blocked), card in str(given)) == (
        {"blocked": True}, False, False,
    )  # fmt: skip

    code = "987654"
    await admin.post(
        f"/v1/verifications/{customer}/confirm",
        json={"code": code},
        headers={"idempotency-key": uuid4().hex},
    )
    (entry,) = await entries(admin, subject=customer, operation=_CONFIRM)
    assert entry["body"] == {"code": "***"}

    template = {"text": "{code} is your code"}
    kind = unique("kind")
    put = await admin.put(f"/v1/message-templates/{kind}/en", json=template)
    (entry,) = await entries(admin, subject=f"{kind}/en", operation=_TEMPLATE)
    assert (entry["status"], entry["body"]) == (put.status_code, template)


async def test_what_a_till_does_is_not_in_it(
    caller: Caller, admin: httpx.AsyncClient, phone: Callable[[], str], unique: Callable[[str], str]
) -> None:
    channel = unique("tills")
    await admin.put(f"/v1/channels/{channel}", json={"name": channel})
    till = await caller("pos", channel=channel)
    made = await till.post(
        "/v1/customers", json={"phone": phone()}, headers={"x-request-id": f"till-{channel}"}
    )
    assert made.status_code == 201
    assert await entries(admin, request_id=f"till-{channel}") == []


async def test_adjustments_and_reads(
    caller: Caller, admin: httpx.AsyncClient, phone: Callable[[], str]
) -> None:
    customer = (await admin.post("/v1/customers", json={"phone": phone()})).json()["id"]
    finance = await caller("finance")
    key = uuid4().hex
    await finance.post(
        "/v1/adjustments", headers={"idempotency-key": key},
        json={"customer": {"customer_id": customer}, "points": "5", "reason": "a gift"},
    )  # fmt: skip
    await finance.get(f"/v1/customers/{customer}/balance")
    mine = await entries(finance, operation="POST /v1/adjustments", role="finance")
    (entry,) = [one for one in mine if one["idempotency_key"] == key]
    assert (entry["body"]["reason"], entry["after"]["points"]) == ("a gift", "5.00")


async def test_pages_and_times(admin: httpx.AsyncClient, unique: Callable[[str], str]) -> None:
    code = unique("group")
    for name in "abcde":
        await admin.put(f"/v1/product-groups/{code}", json={"name": name})
    names: list[str] = []
    cursor = None
    while True:
        query = {"subject": code, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get("/v1/operator-log", params=query)).json()
        names += [one["body"]["name"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == list("edcba")
    newest, *_ = await entries(admin, subject=code)
    after = await entries(admin, subject=code, **{"from": newest["at"]})
    assert [one["id"] for one in after] == [newest["id"]]
    assert len(await entries(admin, subject=code, to=newest["at"])) == 4


@pytest.mark.parametrize("table", ["operator_actions", "operator_outcomes", "audits"])
async def test_the_log_is_append_only_by_privilege_and_by_trigger(
    shared_database: TestDatabase, admin: httpx.AsyncClient, table: str
) -> None:
    column = "at" if table != "audits" else "started_at"
    for url, settings in (
        (shared_database.url, {"role": "bonus_app"}),
        (shared_database.superuser_url, {}),
    ):
        connection = await asyncpg.connect(url, server_settings=settings)
        for statement in (
            f"UPDATE billing.{table} SET {column} = now()",
            f"DELETE FROM billing.{table}",
            f"TRUNCATE billing.{table}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()


async def test_only_finance_and_admin_read_it(caller: Caller) -> None:
    for role in ("pos", "site", "support", "marketer", "bi"):
        client = await caller(role)
        assert (await client.get("/v1/operator-log")).status_code == 403


OF_TILLS = {
    "POST /v1/receipts", "POST /v1/accruals", "POST /v1/redemptions", "POST /v1/returns",
    "POST /v1/redemptions/{id}/capture", "POST /v1/redemptions/{id}/release", "POST /v1/events",
    "POST /v1/quotes",
}  # fmt: skip
"""What any key posts as a till would: in the ledger with its name; or moves nothing."""


def test_all_that_changes_something_is_written_down() -> None:
    """A new operation is in the log, unless it is added here on purpose."""
    changing = [one for one in OPERATIONS if one.method != "GET" and one.may is not None]
    unlogged = {f"{one.method} {one.path}" for one in changing if not is_logged(one)}
    assert len(changing) > 50
    assert unlogged <= OF_TILLS, unlogged - OF_TILLS
