"""The service keeps the contract it publishes, whatever is generated from it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from billing.app.openapi import FILE
from tests.acceptance.serving import Serving
from tests.acceptance.shop import Shop, done, fresh_key

EXAMPLES = 25
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_contract = json.loads(FILE.read_text(encoding="utf-8"))
_schema = schemathesis.openapi.from_dict(_contract)
OPERATIONS = [(method, path) for path, methods in _contract["paths"].items() for method in methods]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_an_operation_answers_as_documented(
    method: str, path: str, serving: Serving, admin: httpx.AsyncClient
) -> None:
    operation = _schema[path][method]
    key = {"Authorization": admin.headers["authorization"]}
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def answers(case: Case[Any]) -> None:
        case.call_and_validate(
            base_url=serving.url, session=session, headers=key, checks=CHECKS, timeout=30
        )

    with requests.Session() as session:
        answers()


async def test_what_succeeds_answers_as_documented(shop: Shop) -> None:
    """Chance finds no store with a customer who has points; so here is one."""
    client, place = shop.client, shop.sale()
    await shop.give("+50.00")

    async def post(path: str, body: Any, template: str | None = None) -> Any:
        answer = await shop.post(path, body)
        _schema[template or path]["post"].validate_response(answer)
        return done(answer)

    async def get(path: str, template: str) -> Any:
        answer = await client.get(path)
        _schema[template]["get"].validate_response(answer)
        return done(answer)

    sale = await post("/v1/receipts", place | {"redeem": {"points": "10.00"}})
    await post("/v1/accruals", shop.sale())
    await post("/v1/redemptions", shop.sale(points="1.00"))
    for end in ("capture", "release"):
        held = await post("/v1/redemptions", shop.sale(points="2.00", mode="hold"))
        path = f"/v1/redemptions/{held['id']}"
        await get(path, "/v1/redemptions/{id}")
        await post(f"{path}/{end}", {}, f"/v1/redemptions/{{id}}/{end}")
    gift = {"customer": {"phone": shop.phone}, "points": "-1.00", "reason": "x"}
    await post("/v1/adjustments", gift)
    operation = {"kind": "adjustment", "idempotency_key": fresh_key(), "body": gift}
    await post("/v1/batches", {"operations": [operation]})
    customer = f"/v1/customers/{sale['customer_id']}"
    await get(customer, "/v1/customers/{id}")
    for kind in ("balance", "statement", "lots"):
        await get(f"{customer}/{kind}", f"/v1/customers/{{id}}/{kind}")
    await get(f"/v1/ledger/transactions/{sale['id']}", "/v1/ledger/transactions/{id}")
    number = place["receipt"]["number"]
    await get(f"/v1/receipts/{shop.store}/{number}", "/v1/receipts/{store}/{number}")
