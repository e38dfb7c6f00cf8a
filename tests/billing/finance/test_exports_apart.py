"""Exports have connections of their own: reports answer while they are made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from billing.finance.files import WRITERS, write_file
from billing.finance.files.csv import CsvWriter
from billing.finance.table import Column, Row, Table
from ledger.sums import long_snapshot
from tests.billing.balances.house import House

POSTINGS = "/v1/ledger/postings"
LEDGER = "/v1/ledger/general-ledger"


@pytest.mark.parametrize("path", [POSTINGS, LEDGER])
async def test_reports_are_answered_while_exports_are_made(shared_house: House, path: str) -> None:
    """However many: the next export hears when to come again, and then is made."""
    house = shared_house
    customer = await house.customer()
    await house.accrue(customer, 100)
    client = await house.client()
    asked = {"format": "csv", "customer_id": str(customer)}
    async with AsyncExitStack() as others:
        while not house.ledger.exports.locked():
            await others.enter_async_context(long_snapshot(house.ledger))
        refused = await client.get(path, params=asked)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "15"
        assert refused.json()["detail"] == "Other exports are being made; ask again later."
        for report in ("trial-balance", "liability?format=csv", "ageing", "postings?limit=1"):
            assert (await client.get(f"/v1/ledger/{report}")).status_code == 200, report
    made = await client.get(path, params=asked)
    assert made.status_code == 200
    assert str(customer) in made.text


async def test_an_export_ends_with_the_connection_of_who_asked(
    shared_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives back its place at once: else who reloads a page twice hinders all exports."""
    house, begun = shared_house, asyncio.Event()

    async def endless(*_: object) -> int:
        begun.set()
        return await asyncio.Future()

    monkeypatch.setattr("billing.finance.service.write_file", endless)
    headers = [(b"authorization", (await house.client()).headers["authorization"].encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "path": POSTINGS, "raw_path": POSTINGS.encode(), "query_string": b"format=csv",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("test", 80), "scheme": "http",
    }  # fmt: skip
    came = iter([{"type": "http.request", "body": b""}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        await begun.wait()
        return next(came)

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(5):
        await house.app(cast(Any, scope), receive, send)
    assert sent[0]["status"] == 499


async def test_a_file_given_up_is_closed_by_its_thread_and_its_rows_are_let_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Closing a workbook takes seconds: tills of the process do not wait for them."""
    loop, begun, may_end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    here, told = threading.get_ident(), []

    class Slow(CsvWriter):
        def add(self, rows: Sequence[Row]) -> None:
            loop.call_soon_threadsafe(begun.set)
            assert may_end.wait(5)
            told.append("added")

        def drop(self) -> None:
            assert threading.get_ident() != here
            super().drop()
            told.append("dropped")

    async def chunks() -> AsyncGenerator[Sequence[Row], None]:
        try:
            yield [("a",)]
        finally:
            told.append("let go")

    monkeypatch.setitem(WRITERS, "csv", Slow)
    table = Table(
        report="r", title="R", filters={}, columns=(Column("c"),), chunks=chunks(), totals=None
    )
    writing = asyncio.create_task(write_file(table, "csv", tmp_path / "r.csv", ZoneInfo("UTC")))
    async with asyncio.timeout(5):
        await begun.wait()
        for _ in range(3):
            writing.cancel()
            await asyncio.sleep(0)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert told == ["added", "let go", "dropped"]


async def test_an_export_that_cannot_be_written_lets_go_of_what_it_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At once, not when its memory is tidied up: others wait for the connection."""
    over: list[bool] = []

    async def chunks() -> AsyncGenerator[Sequence[Row], None]:
        try:
            yield [("a",)]
        finally:
            over.append(True)

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(CsvWriter, "add", full)
    table = Table(report="a", title="A", filters={}, columns=(Column("a"),), chunks=chunks())
    with pytest.raises(OSError, match="no space"):
        await write_file(table, "csv", tmp_path / "a.csv", ZoneInfo("UTC"))
    assert over
