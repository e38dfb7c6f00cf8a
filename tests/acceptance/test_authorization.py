"""Who may do what, and where: roles, bindings, revocation, personal data."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, get_args

import httpx
import pytest

from billing.app.api import OPERATIONS
from billing.common.auth import Role
from billing.common.http import Operation
from tests.acceptance.conftest import Connect
from tests.acceptance.serving import Serving
from tests.acceptance.shop import Shop, done, fresh_key, problem

ROLES: tuple[Role, ...] = get_args(Role)
TILLS: tuple[Role, ...] = ("pos", "site")
MAY: dict[str, str] = {
    "PUT /v1/channels/{code}": "marketer admin",
    "PUT /v1/stores/{code}": "marketer admin",
    "PUT /v1/product-groups/{code}": "marketer admin",
    "PUT /v1/products/{sku}": "marketer admin",
    "POST /v1/products/import": "admin",
    "POST /v1/customers": "pos site support admin",
    "PATCH /v1/customers/{id}": "site support admin",
    "GET /v1/customers/{id}/cards": "pos site support admin",
    "POST /v1/customers/{id}/cards": "pos site support admin",
    "PATCH /v1/customers/{id}/cards/{card}": "pos site support admin",
    "DELETE /v1/customers/{id}/cards/{card}": "support admin",
    "POST /v1/customers/{id}/merge": "support admin",
    "GET /v1/customers/{id}/merges": "support finance admin",
    "POST /v1/merges/{id}/undo": "support admin",
    "GET /v1/customers/{id}/consents": "site support admin",
    "POST /v1/customers/{id}/consents": "pos site support admin",
    "GET /v1/customers/{id}/export": "site support admin",
    "POST /v1/customers/{id}/erase": "support admin",
    "POST /v1/customers/{id}/verifications": "pos site support admin",
    "GET /v1/verifications/{id}": "pos site support admin",
    "POST /v1/verifications/{id}/confirm": "pos site support admin",
    "POST /v1/verifications/{id}/resend": "pos site support admin",
    "POST /v1/programs": "marketer admin",
    "POST /v1/programs/{code}/versions": "marketer admin",
    "POST /v1/programs/{code}/publish": "marketer admin",
    "POST /v1/programs/{code}/archive": "marketer admin",
    "POST /v1/programs/{code}/simulate": "marketer admin",
    "GET /v1/jobs/{id}": "marketer finance admin",
    "POST /v1/jobs/{id}/cancel": "marketer admin",
    "POST /v1/campaigns": "marketer admin",
    "GET /v1/campaigns": "marketer finance admin",
    "GET /v1/campaigns/{code}": "marketer finance admin",
    "PATCH /v1/campaigns/{code}": "marketer admin",
    "POST /v1/campaigns/{code}/audience": "marketer admin",
    "POST /v1/campaigns/{code}/audience/clear": "marketer admin",
    "POST /v1/campaigns/{code}/preview": "marketer admin",
    "POST /v1/campaigns/{code}/submit": "marketer admin",
    "POST /v1/campaigns/{code}/approve": "finance admin",
    "POST /v1/campaigns/{code}/withdraw": "marketer finance admin",
    "POST /v1/campaigns/{code}/pause": "marketer finance admin",
    "POST /v1/campaigns/{code}/resume": "marketer admin",
    "POST /v1/campaigns/{code}/cancel": "marketer finance admin",
    "GET /v1/campaigns/{code}/runs": "marketer finance admin",
    "GET /v1/campaigns/{code}/runs/{id}/failures": "marketer finance admin",
    "POST /v1/quotes": "pos site support admin",
    "POST /v1/receipts": "pos site admin",
    "POST /v1/accruals": "pos site finance admin",
    "POST /v1/redemptions": "pos site finance admin",
    "POST /v1/redemptions/{id}/capture": "pos site finance admin",
    "POST /v1/redemptions/{id}/release": "pos site finance admin",
    "POST /v1/returns": "pos site finance admin",
    "GET /v1/returns/{store}/{number}": "pos site finance support admin",
    "POST /v1/adjustments": "finance admin",
    "POST /v1/transfers": "finance admin",
    "POST /v1/imports": "admin",
    "GET /v1/imports/{id}": "finance admin",
    "POST /v1/imports/{id}/rows": "admin",
    "GET /v1/imports/{id}/rejects": "finance admin",
    "POST /v1/imports/{id}/post": "admin",
    "GET /v1/approvals": "marketer finance admin",
    "GET /v1/approvals/{id}": "marketer finance admin",
    "POST /v1/approvals/{id}/approve": "finance admin",
    "POST /v1/approvals/{id}/reject": "finance admin",
    "POST /v1/approvals/{id}/withdraw": "marketer finance admin",
    "GET /v1/operator-log": "finance admin",
    "GET /v1/ledger/audit": "finance bi admin",
    "POST /v1/batches": "pos site finance admin",
    "POST /v1/events": "pos site admin",
    "POST /v1/webhook-subscriptions": "admin",
    "GET /v1/webhook-subscriptions": "admin",
    "GET /v1/webhook-subscriptions/{id}": "admin",
    "PATCH /v1/webhook-subscriptions/{id}": "admin",
    "DELETE /v1/webhook-subscriptions/{id}": "admin",
    "POST /v1/webhook-subscriptions/{id}/rotate-secret": "admin",
    "POST /v1/webhook-subscriptions/{id}/test": "admin",
    "GET /v1/webhook-deliveries": "admin",
    "GET /v1/webhook-deliveries/{id}": "admin",
    "POST /v1/webhook-deliveries/{id}/replay": "admin",
    "GET /v1/messages": "support admin",
    "GET /v1/messages/{id}": "support admin",
    "POST /v1/messages/{id}/replay": "admin",
    "GET /v1/message-templates": "marketer support admin",
    "GET /v1/message-templates/{kind}/{language}": "marketer support admin",
    "PUT /v1/message-templates/{kind}/{language}": "marketer admin",
    "POST /v1/message-templates/preview": "marketer support admin",
    "GET /v1/message-settings": "marketer support admin",
    "PUT /v1/message-settings": "marketer admin",
    "GET /v1/sms-providers": "admin",
    "GET /v1/sms-providers/{code}": "admin",
    "PUT /v1/sms-providers/{code}": "admin",
    "DELETE /v1/sms-providers/{code}": "admin",
    "POST /v1/sms-providers/{code}/rotate-token": "admin",
    "POST /v1/sms-providers/{code}/test": "admin",
    "GET /v1/sms-providers/{code}/balance": "admin",
    "GET /v1/sms-webhooks": "admin",
    "POST /v1/sms-webhooks/{id}/replay": "admin",
    "GET /v1/receipts/{store}/{number}": "pos site finance support admin",
    "GET /v1/redemptions/{id}": "pos site finance support admin",
    "GET /v1/work": "finance support admin",
    "GET /v1/ledger/trial-balance": "finance bi admin",
    "GET /v1/ledger/liability": "finance bi admin",
    "GET /v1/ledger/ageing": "finance bi admin",
    "GET /v1/ledger/programs": "finance bi admin",
    "GET /v1/ledger/general-ledger": "finance bi admin",
    "POST /v1/ledger/periods/{period}/close": "finance admin",
    "POST /v1/ledger/periods/{period}/reopen": "finance admin",
    "POST /v1/ledger/periods/{period}/reopen/approve": "finance admin",
    "POST /v1/ledger/periods/{period}/reopen/withdraw": "finance admin",
    "GET /v1/ledger/periods": "finance bi admin",
    "GET /v1/ledger/periods/{period}": "finance bi admin",
    "POST /v1/ledger/revenue/policies": "finance admin",
    "GET /v1/ledger/revenue/policies": "finance bi admin",
    "GET /v1/ledger/revenue/{period}": "finance bi admin",
    "POST /v1/ledger/revenue/{period}": "finance admin",
    "GET /v1/ledger/postings": "finance bi admin",
    "GET /v1/ledger/transactions/{id}": "finance support bi admin",
}
"""What not everybody may do. Whoever adds an operation that writes, adds it here."""
WITH_A_TOKEN = frozenset(("POST /v1/webhooks/sms/{provider}/{token}",))
"""Of no role: the secret is in the address."""
PERSONAL = ("phone", "name", "birth_date", "email", "gender", "cards", "external_ids")


def test_every_operation_that_writes_is_for_some_roles_only() -> None:
    for one in OPERATIONS:
        if f"{one.method} {one.path}" in WITH_A_TOKEN:
            assert one.may is None
        elif one.method != "GET" or f"{one.method} {one.path}" in MAY:
            assert one.may is not None
            assert set(one.may) == set(MAY[f"{one.method} {one.path}"].split()), one.path


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_does_what_it_may_and_nothing_else(role: Role, connect: Connect) -> None:
    client = await connect(role)
    for one in OPERATIONS:
        if one.may is None:
            continue
        answer = await knock(client, one)
        if role in MAY.get(f"{one.method} {one.path}", role).split():
            assert answer.status_code not in (401, 403), (one.path, answer.text)
        else:
            detail = problem(answer, 403, "forbidden")["detail"]
            assert f"A key of role {role} may not do that; it takes one of: " in detail


async def knock(client: httpx.AsyncClient, one: Operation) -> httpx.Response:
    """A request that fails behind the check of the role, if it is let that far."""
    path = re.sub(r"\{\w+\}", "0196f3c8-0000-7000-8000-000000000000", one.path)
    headers = {"idempotency-key": fresh_key()}
    content = b"[" if one.body is not None else b""
    return await client.request(one.method, path, content=content, headers=headers)


async def test_a_key_of_no_store_cannot_be_guessed_from_answers(serving: Serving) -> None:
    async with httpx.AsyncClient(base_url=serving.url) as nobody:
        for one in OPERATIONS:
            if one.may is not None:
                answer = await knock(nobody, one)
                problem(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"


class TwoStores:
    """A shop with points and a posted sale, and the keys of another store and channel."""

    def __init__(self, shop: Shop, other: Shop) -> None:
        self.shop, self.other = shop, other

    def refused(self, answer: httpx.Response, kind: str, named: str) -> None:
        detail = problem(answer, 403, "forbidden")["detail"]
        assert f"This key is bound to the {kind} " in detail
        assert f"and may not act for {named!r}" in detail
        assert self.shop.phone not in answer.text


@pytest.fixture
async def two(shop: Shop, admin: httpx.AsyncClient) -> TwoStores:
    await shop.give("+50.00")
    return TwoStores(shop, await Shop(admin).open())


async def test_a_bound_key_cannot_name_another_place(two: TwoStores, connect: Connect) -> None:
    shop, other = two.shop, two.other
    by_store = await connect("pos", store=other.store)
    by_channel = await connect("site", channel=other.channel)
    for path in ("/v1/receipts", "/v1/accruals", "/v1/redemptions"):
        points = {"points": "1.00"} if path == "/v1/redemptions" else {}
        for client in (by_store, by_channel):
            answer = await shop.post(path, shop.sale(**points), client=client)
            two.refused(answer, "channel", shop.channel)
        no_channel = {k: v for k, v in shop.sale(**points).items() if k != "channel"}
        two.refused(await shop.post(path, no_channel, client=by_store), "store", shop.store)
    new = {"phone": "+79161234567", "channel": shop.channel, "store": shop.store}
    two.refused(await by_store.post("/v1/customers", json=new), "channel", shop.channel)


async def test_a_batch_binds_each_of_its_operations(two: TwoStores, connect: Connect) -> None:
    shop, other = two.shop, two.other
    client = await connect("pos", store=other.store)
    gift = {"customer": {"phone": shop.phone}, "points": "+1.00", "reason": "x"}
    operations = [
        {"kind": "receipt", "idempotency_key": fresh_key(), "body": shop.sale()},
        {"kind": "adjustment", "idempotency_key": fresh_key(), "body": gift},
        {"kind": "receipt", "idempotency_key": fresh_key(), "body": other.sale()},
    ]
    answer = done(await client.post("/v1/batches", json={"operations": operations}))
    first, second, third = answer["results"]
    assert (first["status"], first["body"]["code"]) == (403, "forbidden")
    assert (second["status"], second["body"]["code"]) == (403, "forbidden")
    assert third["status"] == 201


async def test_a_bound_key_cannot_end_or_read_what_another_store_did(
    two: TwoStores, connect: Connect
) -> None:
    shop = two.shop
    sale = shop.sale()
    done(await shop.post("/v1/receipts", sale))
    held = done(
        await shop.post("/v1/redemptions", shop.sale(points="5.00", mode="hold", hold_seconds=600))
    )
    path = f"/v1/redemptions/{held['id']}"
    for client in (
        await connect("pos", store=two.other.store),
        await connect("site", channel=two.other.channel),
    ):
        two.refused(await shop.post(f"{path}/capture", {}, client=client), "channel", shop.channel)
        two.refused(
            await shop.post(f"{path}/release", None, client=client), "channel", shop.channel
        )
        two.refused(await client.get(path), "channel", shop.channel)
        receipt = f"/v1/receipts/{shop.store}/{sale['receipt']['number']}"
        two.refused(await client.get(receipt), "channel", shop.channel)
    own = await connect("pos", store=shop.store)
    assert done(await own.get(path))["status"] == "held"


async def test_a_hold_of_another_store_is_not_spent_by_a_receipt_either(
    two: TwoStores, connect: Connect
) -> None:
    shop, other = two.shop, two.other
    held = done(await shop.post("/v1/redemptions", shop.sale(points="5.00", mode="hold")))
    client = await connect("pos", store=other.store)
    sale = other.sale(customer={"phone": shop.phone}, redeem={"redemption_id": held["id"]})
    two.refused(await shop.post("/v1/receipts", sale, client=client), "channel", shop.channel)


@pytest.mark.parametrize("role", TILLS)
async def test_the_answer_under_a_key_is_not_for_another_store(
    role: Role, two: TwoStores, connect: Connect
) -> None:
    """The same words under the same key, from a till elsewhere: never the first one's answer."""
    shop, other, key = two.shop, two.other, fresh_key()
    sale = shop.sale()
    done(await shop.post("/v1/receipts", sale, key=key))
    client = await connect(role, store=other.store)
    two.refused(
        await shop.post("/v1/receipts", sale, client=client, key=key), "channel", shop.channel
    )


async def test_words_that_name_no_place_mean_the_place_of_the_key(
    two: TwoStores, connect: Connect
) -> None:
    shop, other, key = two.shop, two.other, fresh_key()
    here = await connect("pos", store=shop.store)
    there = await connect("pos", store=other.store)
    placed = shop.sale()
    words = {name: value for name, value in placed.items() if name not in ("channel", "store")}
    first = await shop.post("/v1/receipts", words, client=here, key=key)
    again = await shop.post("/v1/receipts", words, client=here, key=key)
    spelt = await shop.post("/v1/receipts", placed, client=here, key=key)
    assert first.status_code == 201
    assert first.content == again.content == spelt.content
    answer = await shop.post("/v1/receipts", words, client=there, key=key)
    problem(answer, 422, "idempotency_key_reused")


async def test_a_key_works_until_it_is_revoked_and_five_seconds_at_most(
    serving: Serving, connect: Connect
) -> None:
    client = await connect("pos")
    assert (await client.get("/v1/channels")).status_code == 200
    revoked = await asyncio.to_thread(serving.bonus, "keys", "revoke", client.headers["x-key-id"])
    at = asked = time.monotonic()
    assert revoked.returncode == 0, revoked.stderr
    while (answer := await client.get("/v1/channels")).status_code == 200:
        assert asked - at < 5, "what is asked later than that is refused, however long it takes"
        await asyncio.sleep(0.1)
        asked = time.monotonic()
    assert "was revoked" in problem(answer, 401, "unauthorized")["detail"]


@pytest.mark.parametrize("role", ["finance", "marketer", "bi"])
async def test_persons_are_hidden_from_who_does_not_serve_them(
    role: Role, shop: Shop, connect: Connect
) -> None:
    phone = f"+7927{shop.number:07d}"
    person: dict[str, Any] = {
        "phone": phone,
        "status": "verified",
        "name": "Anna Karenina",
        "birth_date": "1990-12-31",
        "email": "anna@example.org",
        "gender": "female",
        "cards": [f"card-{shop.number}"],
        "external_ids": {"crm": f"crm-{shop.number}"},
    }
    made = done(await shop.client.post("/v1/customers", json=person))
    sale = shop.sale(customer={"phone": phone})
    posted = done(await shop.post("/v1/receipts", sale))
    client = await connect(role)
    for path in (
        f"/v1/customers/{made['id']}",
        f"/v1/customers?phone={phone.replace('+', '%2B')}",
        f"/v1/customers/{made['id']}/balance",
        f"/v1/customers/{made['id']}/statement",
        f"/v1/customers/{made['id']}/lots",
        f"/v1/receipts/{shop.store}/{sale['receipt']['number']}",
        f"/v1/ledger/transactions/{posted['id']}",
        "/v1/ledger/postings?limit=500",
    ):
        answer = await client.get(path)
        assert answer.status_code in (200, 403), answer.text
        for secret in (phone, "Karenina", "1990-12-31", "anna@", f"card-{shop.number}", "crm-"):
            assert secret not in answer.text, (path, secret)
    seen = done(await client.get(f"/v1/customers/{made['id']}"))
    assert not set(PERSONAL) & seen.keys()
    assert seen["phone_masked"].endswith(phone[-2:])


async def test_a_key_of_one_channel_does_not_act_in_a_store_of_another(
    two: TwoStores, connect: Connect
) -> None:
    """Naming only the store does not get around the binding to a channel."""
    client = await connect("pos", channel=two.other.channel)
    sale = {name: value for name, value in two.shop.sale().items() if name != "channel"}
    answer = await two.shop.post("/v1/receipts", sale, client=client)
    two.refused(answer, "channel", two.shop.channel)
