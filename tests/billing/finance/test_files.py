"""Reports as files: the same rows as JSON, the filter shown, nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import openpyxl
import pytest

from billing.finance.files.csv import safe
from ledger.commands import Redeem
from tests.billing.balances.house import DAY, START, House
from tests.billing.finance.plain import without_links

LIABILITY: Final = "/v1/ledger/liability"
DANGEROUS_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
DANGEROUS: Final = ("=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\tx")


async def fetch(house: House, path: str, kind: str, **query: Any) -> bytes:
    client = await house.client()
    params = {
        name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else value
        for name, value in query.items()
    }
    answer = await client.get(path, params={**params, "format": kind})
    assert answer.status_code == 200, answer.text
    name = path.rsplit("/", 1)[1]
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.{kind}"'
    return answer.content


def read_csv(content: bytes) -> tuple[dict[str, str], list[dict[str, str]]]:
    lines = content.decode().splitlines(keepends=True)
    head = [line for line in lines if line.startswith("# ")]
    shown = dict(line[2:].strip().split(": ", 1) for line in head)
    return shown, list(csv.DictReader(io.StringIO("".join(lines[len(head) :]))))


async def traded(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 10_000, store="moscow-1", channel="shop", program="base-5")
    await house.accrue(customer, 2_550, store="=1+1", channel="shop")
    await house.do(customer, "redemption", Redeem(4_025), store="moscow-1", channel="shop")


async def test_every_format_has_the_rows_of_json(house: House) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    await traded(house)
    query: dict[str, Any] = {"by": "store,program", "from_": START - DAY, "channel": "shop"}
    rows = [without_links(row) for row in (await house.get(LIABILITY, **query))["rows"]]

    shown, as_csv = read_csv(await fetch(house, LIABILITY, "csv", **query))
    assert shown == {
        "report": "Liability", "time zone": "Europe/Moscow", "channel": "shop",
        "time": "occurred_at", "from": "2027-02-28T09:00:00+00:00", "by": "store, program",
    }  # fmt: skip
    plain = [{name: value or "" for name, value in row.items()} for row in rows]
    assert [{**row, "store": row["store"].removeprefix("'")} for row in as_csv] == plain
    assert "'=1+1" in {row["store"] for row in as_csv}

    book = openpyxl.load_workbook(io.BytesIO(await fetch(house, LIABILITY, "xlsx", **query)))
    cells = list(book.active.iter_rows())
    values = [[cell.value for cell in row] for row in cells]
    at = next(at for at, row in enumerate(values) if row[0] == "store")
    assert ["channel", "shop"] in [row[:2] for row in values[:at]]
    made = [dict(zip(values[at], row, strict=True)) for row in values[at + 1 : at + 1 + len(rows)]]
    assert [_amounts(row) for row in made] == [_amounts(row) for row in rows]
    totals = values[at + 1 + len(rows)]
    assert Decimal(str(totals[values[at].index("closing")])) == Decimal("85.25")
    assert all(cell.data_type != "f" for row in cells for cell in row)

    table = pyarrow.read_table(io.BytesIO(await fetch(house, LIABILITY, "parquet", **query)))
    assert table.schema.metadata[b"bonus.channel"] == b"shop"
    for name in ("opening", "accrued", "closing"):
        decimals = [Decimal(row[name]) for row in rows]
        assert table[name].to_pylist() == decimals
        assert table[f"{name}_minor"].to_pylist() == [int(one * 100) for one in decimals]


def _amounts(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if name in ("store", "program") else Decimal(str(value))
        for name, value in row.items()
    }


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize(
    "path", ["trial-balance", "ageing", "programs", "general-ledger", "postings"]
)
async def test_every_report_is_a_file_too(house: House, path: str, kind: str) -> None:
    await traded(house)
    assert await fetch(house, f"/v1/ledger/{path}", kind)


async def test_a_general_ledger_as_a_file_is_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.finance.reports.CHUNK", 2)
    customer = await house.customer()
    for _ in range(5):
        await house.accrue(customer, 100)
    house.clock.now += DAY
    await house.accrue(customer, 50)

    _, rows = read_csv(
        await fetch(house, "/v1/ledger/general-ledger", "csv", from_=START + DAY / 2)
    )

    assert [row["balance"] for row in rows] == ["5.00", "5.50", "5.50"]
    assert [row["transaction_kind"] for row in rows] == ["opening", "accrual", "closing"]


async def test_a_file_of_nothing_has_its_header(shared_house: House) -> None:
    content = await fetch(shared_house, LIABILITY, "csv", customer_id=str(uuid4()), by="store")
    shown, rows = read_csv(content)
    assert shown["by"] == "store"
    assert rows == []
    assert b"store,opening," in content


def test_formulas_become_text() -> None:
    assert [safe(one) for one in DANGEROUS] == [f"'{one}" for one in DANGEROUS]
    assert safe("moscow-1") == "moscow-1"
    assert safe("＝1＋1") == "'＝1＋1"


async def test_no_cell_is_a_formula_where_semicolons_end_cells(house: House) -> None:
    """A Russian spreadsheet takes the file by semicolons, and quotes in a cell for text."""
    customer = await house.customer()
    for author in ("a;=1+1", 'b","x\n=1+1', "c;\t@SUM(A1)", "d,-2"):
        await house.accrue(customer, 100, author=author, store="x;+1")
    query = {"store": "x;+1", "program": "y,=1+1"}
    for content in (
        await fetch(house, "/v1/ledger/postings", "csv"),
        await fetch(house, "/v1/ledger/postings", "csv", **query),
    ):
        text = content.decode()
        for delimiter in ",;\t":
            read = csv.reader(
                io.StringIO(text, newline=""), delimiter=delimiter,
                quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE,
            )  # fmt: skip
            cells = [cell for row in read for cell in row if not _is_number(cell)]
            assert [cell for cell in cells if cell.startswith(DANGEROUS_STARTS)] == []


def _is_number(cell: str) -> bool:
    try:
        return Decimal(cell).is_finite()
    except ArithmeticError:
        return False


async def test_too_many_rows_for_a_file_are_refused_before_anything_is_sent(
    shared_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = await shared_house.customer()
    for _ in range(3):
        await shared_house.accrue(customer, 100)
    monkeypatch.setattr("billing.finance.reports.MAX_FILE_ROWS", 2)
    client = await shared_house.client()
    answer = await client.get(
        "/v1/ledger/postings", params={"customer_id": str(customer), "format": "csv"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
