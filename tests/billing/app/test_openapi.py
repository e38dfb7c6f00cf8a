"""The frozen contract, and its documentation without the internet."""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec

from billing.app import openapi
from billing.app.api import OPERATIONS

DOCUMENT: dict[str, Any] = msgspec.json.decode(openapi.current())


def test_the_frozen_document_is_current() -> None:
    assert openapi.FILE.read_bytes() == openapi.current(), (
        "the API has changed: run `python -m billing.app.openapi` and look at the difference"
    )


def test_every_reference_leads_somewhere() -> None:
    for name in re.findall(rb'"\$ref": "#/components/([^"]+)"', openapi.current()):
        section, _, key = name.decode().partition("/")
        assert key in DOCUMENT["components"][section], name


def test_every_operation_says_who_may_and_what_is_refused() -> None:
    names = set()
    for declared in OPERATIONS:
        made = DOCUMENT["paths"][declared.path][declared.method.lower()]
        names.add(made["operationId"])
        assert made["summary"]
        statuses = set(made["responses"])
        if declared.may is not None:
            assert made["security"] == [{"key": []}]
            assert {"401", "403", "503"} <= statuses
        if declared.body is not None:
            assert {"400", "413", "415"} <= statuses
            assert made["requestBody"]["content"]["application/json"]["examples"], declared.path
        if declared.idempotent:
            assert "422" in statuses
            assert "Idempotency-Key" in [p["name"] for p in made["parameters"]]
        if declared.conflicts:
            assert "409" in statuses
    assert len(names) == len(OPERATIONS), "two operations share a name"


def test_examples_are_what_the_operation_takes() -> None:
    from billing.common.decoding import decode_body

    for declared in OPERATIONS:
        for example in declared.examples.values():
            assert declared.body is not None
            decode_body(msgspec.json.encode(example), declared.body)


async def test_the_documentation_needs_no_internet(admin: httpx.AsyncClient) -> None:
    page = await admin.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 4
    for part in parts:
        assert part.startswith(("/docs/", "data:")), f"{part} is not ours"
        if part.startswith("/docs/"):
            assert (await admin.get(part)).status_code == 200
    assert (await admin.get("/openapi.json")).content == openapi.current()
    for path in ("/docs/secret.key", "/docs/..%2fapi.py"):
        assert (await admin.get(path)).status_code == 404
