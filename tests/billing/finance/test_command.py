"""`bonus report` and `bonus export`: what the API says, on the screen and as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from billing.app.cli import main
from billing.common.settings import Settings
from ledger.commands import Redeem
from tests.billing.balances.house import House
from tests.billing.finance.plain import without_links


@pytest.fixture
def environ(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_URL": settings.database_url,
        "BONUS_DATA_DIR": str(settings.data_dir),
    }.items():
        monkeypatch.setenv(name, value)


async def run(*words: str) -> int:
    """The command in a thread: it has an event loop of its own."""
    import asyncio

    return await asyncio.to_thread(main, words)


async def test_a_report_says_what_the_api_says(
    house: House, environ: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1000, store="moscow-1", channel="shop")
    await house.do(customer, "redemption", Redeem(250), store="moscow-2", channel="shop")
    period = ("--from", "2027-03-01", "--to", "2027-04-01", "--by", "store")

    assert await run("report", "liability", *period, "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert await run("report", "liability", *period) == 0
    shown = capsys.readouterr().out
    place = tmp_path / "liability.xlsx"
    assert (
        await run("report", "liability", *period, "--format", "xlsx", "--output", str(place)) == 0
    )

    rows = (
        await house.get(
            "/v1/ledger/liability",
            by="store",
            from_="2027-03-01T00:00:00+03:00",
            to="2027-04-01T00:00:00+03:00",
        )
    )["rows"]
    assert told["rows"] == [without_links(row) for row in rows]
    assert "moscow-2" in shown
    assert "-2.50" in shown
    assert place.read_bytes()[:2] == b"PK"


async def test_every_report_can_be_shown(
    house: House, environ: None, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.accrue(await house.customer(), 1000)
    for name in ("trial-balance", "ageing", "programs", "general-ledger", "postings"):
        assert await run("report", name, "--format", "csv", "--output", "/dev/null") == 0
        assert await run("report", name) == 0
        assert "10.00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("report", "liability", "--by", "shoe"), "--by"),
        (("report", "liability", "--from", "soon"), "--from"),
        (("report", "liability", "--customer-id", "me"), "uuid"),
        (("report", "liability", "--format", "xlsx"), "--output"),
        (("report", "liability", "--step", "month"), "step"),
        (("export", "/dev/null/x", "--transactions", "0"), "--transactions"),
    ],
)
async def test_wrong_arguments_are_told(
    environ: None, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert await run(*words) == 2
    assert says in capsys.readouterr().err.lower()


async def test_an_export_goes_on_where_it_was(
    house: House, environ: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await house.accrue(await house.customer(), 1000)
    told = []
    for _ in range(2):
        assert await run("export", str(tmp_path), "--format", "csv") == 0
        told.append(capsys.readouterr().err.strip())
    assert told == ["1 postings", "0 postings"]


async def test_a_folder_that_cannot_be_written_is_one_line_and_no_trace(
    environ: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")

    assert await run("export", str(file)) == 1

    told = capsys.readouterr().err
    assert told.startswith("bonus export: ")
    assert str(file) in told
    assert file.read_text() == "not a folder"
