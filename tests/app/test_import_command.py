"""`bonus import balances`, as a person runs it."""

from __future__ import annotations

import base64
import csv
from pathlib import Path
from typing import Any

import pytest

from billing.app import cli
from billing.common.settings import Settings
from tests.conftest import TestDatabase


@pytest.fixture
def bonus(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:

    for name, value in {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "BONUS_DATA_DIR": str(settings.data_dir),
        "BONUS_SECRET_KEY": base64.b64encode(settings.secret_key).decode(),
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str]:
        code = cli.main(words)
        return code, capsys.readouterr().out

    return run


def write(file: Path, lots: int) -> None:
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["phone", "points", "expires_at"])
        for number in range(lots):
            rows.writerow([f"+7916{number % 40:07d}", "1.25", "2049-12-31"])
        rows.writerow(["", "3.00", ""])


def test_a_file_is_imported_once(bonus: Any, tmp_path: Path, database: TestDatabase) -> None:
    file = tmp_path / "lots.csv"
    write(file, 1200)
    name = ("--name", "old-2026", "--create-customers")
    code, said = bonus("import", "balances", str(file), *name, "--dry-run")
    assert code == 1
    assert "1,201 lines, 1503.00 points" in said
    assert "1,200 lines could be posted: of 0 known customers, and of 40 to register" in said
    code, said = bonus("import", "balances", str(file), *name, "--points", "1500.00")
    assert (code, said) == (1, "")  # control totals: nothing posted
    code, said = bonus("import", "balances", str(file), *name, "--rows", "1201", "--points", "1503")
    assert "posted 1,200 lots, 1500.00 points; 0 were posted before; 40 customers" in said
    rejects = list(csv.reader((tmp_path / "lots.csv.rejects.csv").read_text().splitlines()))
    assert rejects[0] == ["phone", "points", "expires_at", "line", "reason"]
    assert rejects[1][3:] == [
        "1202",
        "names no customer: needs one of customer_id, phone, card, external_id",
    ]
    code, said = bonus("import", "balances", str(file), *name)
    assert "posted 0 lots, 0.00 points; 1,200 were posted before" in said
    file.write_text(file.read_text().replace("1.25", "9.99"))
    code, said = bonus("import", "balances", str(file), *name)
    assert (code, said) == (1, "")  # another file of that name


def test_wrong_arguments(bonus: Any, tmp_path: Path) -> None:
    assert bonus("import", "balances", str(tmp_path / "no"), "--name", "x")[0] == 2
    file = tmp_path / "lots.csv"
    file.write_text("phone,points\n")
    assert bonus("import", "balances", str(file), "--name", "a b")[0] == 2
    assert bonus("import", "balances", str(file), "--name", "empty")[0] == 0
    file.write_text("colour,points\n")
    assert bonus("import", "balances", str(file), "--name", "x")[0] == 1


def test_what_a_spreadsheet_writes_is_taken_as_it_is(
    bonus: Any, tmp_path: Path, database: TestDatabase
) -> None:
    """Lines in cells, strange blanks, another encoding and delimiter; rejects can be read again."""
    file, rejects = tmp_path / "lots.csv", tmp_path / "rejects.csv"
    rows = [
        ["phone", "points", "name"],
        ["+79160000001", "1.25", "Анна\nПетрова"],
        ["+79160000002", "2.50", "Борис\x85"],
        ["", "3.00", 'Кот "Мурка";\r\nи ещё'],
    ]
    with file.open("w", newline="", encoding="utf-16") as out:
        csv.writer(out, delimiter=";").writerows(rows)
    words: tuple[str, ...] = ("--encoding", "utf-16", "--delimiter", ";", "--rejects", str(rejects))
    words += ("--name", "sheet", "--create-customers", "--rows", "3", "--points", "6.75")
    code, said = bonus("import", "balances", str(file), *words)
    assert (code, "posted 2 lots, 3.75 points" in said) == (1, True)
    with rejects.open(newline="") as text:
        (header, row) = csv.reader(text, delimiter=";")
    assert (row[:3], row[3]) == (rows[3], "5")
    assert header == ["phone", "points", "name", "line", "reason"]

    mended, left = tmp_path / "mended.csv", tmp_path / "left.csv"
    put_right = rejects.read_text().replace("\n;3.00", "\n+79160000003;3.00")
    mended.write_text(put_right + "?;1;;9;old\n")
    words = ("--delimiter", ";", "--rejects", str(left), "--name", "mended", "--create-customers")
    code, said = bonus("import", "balances", str(mended), *words)
    assert (code, "posted 1 lots, 3.00 points" in said) == (1, True)
    with left.open(newline="") as text:
        (again, row) = csv.reader(text, delimiter=";")
    assert (again, row[:4]) == (header, ["?", "1", "", "4"])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'phone,points\n"+79160000001,1\n+79160000002,2\n', "line 2: a quote begins"),
        (b"phone,points\n\xff,1\n", "is not utf-8"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_posted(
    settings: Settings, bonus: Any, tmp_path: Path, content: bytes, line: str, capsys: Any
) -> None:
    file = tmp_path / "lots.csv"
    file.write_bytes(content)
    words = ("import", "balances", str(file), "--name", "broken", "--create-customers")
    assert cli.main(words) == 1
    assert line in capsys.readouterr().err


def test_the_file_is_not_written_over(bonus: Any, tmp_path: Path) -> None:
    file = tmp_path / "lots.csv"
    write(file, 1)
    before = file.read_bytes()
    for more in (("--rejects", str(file)), ("--delimiter", ";;")):
        assert bonus("import", "balances", str(file), "--name", "over", *more)[0] == 2
    assert file.read_bytes() == before
