"""What `bonus demo` prints works when pasted."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from billing.app import openapi
from billing.app.api import OPERATIONS
from billing.app.commands.demo import load
from tests.app.running import RunningService


async def _paste(text: str) -> tuple[list[dict[str, Any]], int]:
    """The answers to the commands of `text`, run by a shell, and how many were replays."""
    commands = "\n".join(row for row in text.splitlines() if not row.endswith(":"))
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh", "-eu", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await shell.communicate(commands.encode())
    rows = out.decode().splitlines()
    return (
        [json.loads(row) for row in rows if row.startswith("{")],
        sum(row.lower() == "idempotency-hit: true" for row in rows),
    )


async def test_the_printed_commands_earn_pay_and_show_the_balance(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("curl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("curl is needed")
        pytest.skip("there is no curl")
    for name, value in service.environ.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    result = await asyncio.to_thread(load, service.url, service.key, said.append)
    assert "1,000 of 1,000 receipts" in said
    assert result.pos_key.startswith("bonus_pos_")
    (sale, again, paid, balance), replays = await _paste(result.text)
    assert (again, replays) == (sale, 1)
    assert [accrual["points"] for accrual in sale["accruals"]] == ["5.00"]
    assert (paid["redeemed"], paid["lines"][0]["payable"]) == ("1.50", "98.50")
    assert [accrual["points"] for accrual in paid["accruals"]] == ["4.92"]
    assert balance["available"] == paid["balance"]["available"]
    await asyncio.sleep(1)  # the commands take their numbers from the clock
    (*_, later), _ = await _paste(result.text)
    assert Decimal(later["available"]) == Decimal(balance["available"]) + Decimal("8.42")
    await _try_all_examples(service)


async def _try_all_examples(service: RunningService) -> None:
    """What the documentation shows works on the demo chain as it stands."""
    document = msgspec.json.decode(openapi.current())
    headers = {"Authorization": f"Bearer {service.key}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as client:
        for declared in OPERATIONS:
            if "{id}" in declared.path:
                continue  # the caller's own ids
            shown = document["paths"][declared.path][declared.method.lower()]
            path = declared.path
            for parameter in shown["parameters"]:
                if parameter["in"] == "path" and "example" in parameter:
                    path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
            for number, example in enumerate(declared.examples.values()):
                if declared.handler.__name__ == "publish_program" and number:
                    continue  # there is one draft only
                key = {"Idempotency-Key": f"{declared.handler.__name__}/{number}"}
                answer = await client.request(declared.method, path, json=example, headers=key)
                assert answer.is_success, f"{declared.method} {path}: {answer.text}"
                assert all(one["status"] == 201 for one in answer.json().get("results", ()))
