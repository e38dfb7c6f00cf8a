"""Returns in batches: a till that was offline sends what it sold and what came back."""

from __future__ import annotations

from typing import Any

from tests.billing.returns.counter import Counter, done


def operations(*pairs: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "idempotency_key": f"{kind}-{_name(body)}", "body": body}
        for kind, body in pairs
    ]


def _name(body: dict[str, Any]) -> str:
    return str(body.get("number") or body["receipt"]["number"])


async def statuses(counter: Counter, batch: dict[str, Any]) -> list[int]:
    client = await counter.client("pos")
    return [one["status"] for one in done(await client.post("/v1/batches", json=batch))["results"]]


async def test_a_receipt_and_its_return_in_one_batch(counter: Counter) -> None:
    """In order, each once, also when the batch is sent again."""
    await counter.program("p", "10")
    first, second = counter.sale(counter.line(1, "100.00", "2")), counter.sale("50.00")
    batch = {
        "operations": operations(
            ("receipt", first),
            ("return", counter.back(first["receipt"]["number"], {1: "1"})),
            ("return", counter.back(second["receipt"]["number"])),
            ("accrual", second),
            ("return", counter.back(first["receipt"]["number"])),
            ("return", counter.back(first["receipt"]["number"])),
            ("return", {"number": 1}),
        )
    }
    batch["operations"][-1]["idempotency_key"] = f"wrong-{counter.number}"
    assert await statuses(counter, batch) == [201, 201, 404, 201, 201, 409, 400]
    assert await counter.available() == "5.00"
    # What was not there yet is found now; nothing else happens twice.
    assert await statuses(counter, batch) == [201, 201, 201, 201, 201, 409, 400]
    assert await counter.available() == "0.00"


async def test_all_returns_or_none(counter: Counter) -> None:
    await counter.program("p", "10")
    sale = await counter.sell(counter.line(1, "100.00", "3"))
    backs = [counter.back(sale["receipt_number"], {1: "1"}) for _ in range(4)]
    batch: dict[str, Any] = {"mode": "atomic"}
    batch["operations"] = operations(*(("return", one) for one in backs))
    assert await statuses(counter, batch) == [409] * 4
    assert await counter.available() == "10.00"
    batch["operations"].pop()
    assert await statuses(counter, batch) == [201] * 3
    assert await counter.available() == "0.00"
