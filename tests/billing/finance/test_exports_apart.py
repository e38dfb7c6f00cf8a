"""Exports have connections of their own: reports answer while they are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from billing.finance.files import write_file
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
