"""The journal in a folder: incremental, exactly once, whatever is killed (DESIGN: watermark)."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from billing.common.db import connect
from billing.exports.columns import COLUMNS
from billing.exports.folder import Folder, FolderError, Manifest
from billing.exports.service import export_journal
from billing.exports.store import ROWS
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, lot

NAMES = [column.name for column in COLUMNS]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(database: TestDatabase, clock: Clock) -> AsyncIterator[Ledger]:
    async with Ledger(database.url, clock=clock) as running:
        yield running


@pytest.fixture
async def reader(database: TestDatabase) -> AsyncIterator[Any]:
    connection = await connect(database.url)
    yield connection
    await connection.close()


async def trade(ledger: Ledger, clock: Clock, count: int) -> None:
    for at in range(count):
        one = Customer(ledger, clock)
        await one.accrue(lot(100 + at), reason='with "quotes",\nand lines', author="Вера")
        await one.redeem(10, source=f"sale/s/m/{uuid4()}")


def exported(place: Path) -> list[dict[str, str]]:
    """What the manifests speak of, in their order."""
    rows: list[dict[str, str]] = []
    for path in sorted((place / "manifest").glob("*.json")):
        made = msgspec.json.decode(path.read_bytes(), type=Manifest)
        content = (place / made.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (made.bytes, made.sha256)
        part = list(csv.DictReader(content.decode().splitlines(keepends=True)))
        assert len(part) == made.rows
        rows += part
    return rows


async def journal(reader: Any) -> set[tuple[str, str, str]]:
    rows = await reader.fetch("SELECT customer_id, version, seq FROM ledger.postings")
    return {(str(row[0]), str(row[1]), str(row[2])) for row in rows}


def keys(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(row["customer_id"], row["version"], row["seq"]) for row in rows]


async def test_no_part_reads_all_postings(
    ledger: Ledger, clock: Clock, reader: Any, tmp_path: Path, database: TestDatabase
) -> None:
    """A first export of many parts would read the ledger as many times."""

    async def scans() -> Any:
        await reader.execute("SELECT pg_stat_force_next_flush()")
        return await reader.fetchrow(
            "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'postings'"
        )

    await trade(ledger, clock, 8)
    superuser = await asyncpg.connect(database.superuser_url)
    await superuser.execute("ANALYZE ledger.transactions, ledger.postings")
    await superuser.close()
    before = await scans()
    await export_journal(reader, tmp_path, "csv", transactions=4)
    after = await scans()
    assert len(list((tmp_path / "manifest").glob("*.json"))) > 2
    assert (after["seq_scan"], after["idx_scan"]) == (before["seq_scan"], before["idx_scan"] + 16)
    assert await reader.fetchval("SHOW enable_seqscan") == "on"


async def test_every_posting_comes_exactly_once(
    ledger: Ledger, clock: Clock, reader: Any, tmp_path: Path
) -> None:
    counts = []
    for _ in range(3):
        await trade(ledger, clock, 4)
        counts.append(await export_journal(reader, tmp_path, "csv", transactions=3))
        assert await export_journal(reader, tmp_path, "csv") == 0

    rows = exported(tmp_path)

    assert counts == [8, 8, 8]
    assert len(rows) == 24
    assert set(keys(rows)) == await journal(reader)
    order = [int(row["commit_order"]) for row in rows]
    assert order == sorted(order)
    assert {row["author"] for row in rows} == {"Вера", ""}


async def test_what_commits_late_is_not_skipped(
    ledger: Ledger, clock: Clock, reader: Any, database: TestDatabase, tmp_path: Path
) -> None:
    """A transaction that began first and commits last."""
    slow = await asyncpg.connect(database.owner_url)
    await slow.execute("BEGIN")
    made = uuid4()
    await slow.execute(
        """INSERT INTO ledger.transactions (customer_id, version, id, operation_id, kind,
               occurred_at, recorded_at, available_after, promo_after, deferred_after, held_after,
               debt_after)
           VALUES ($1, 1, $1, $1, 'adjustment', now(), now(), 5, 0, 0, 0, 0)""",
        made,
    )
    await slow.execute(
        """INSERT INTO ledger.postings (customer_id, version, seq, kind, debit, credit, amount,
               lot_id, bucket, active_from, occurred_at, recorded_at)
           VALUES ($1, 1, 1, 'adjust', 'adjustment', 'available', 5, $1, 'base', now(), now(),
               now())""",
        made,
    )
    await trade(ledger, clock, 2)
    early = await export_journal(reader, tmp_path, "csv")
    await slow.execute("COMMIT")
    await slow.close()
    late = await export_journal(reader, tmp_path, "csv")

    assert (early, late) == (0, 5)
    assert sorted(keys(exported(tmp_path))) == sorted(await journal(reader))


@pytest.mark.parametrize("seed", range(4))
async def test_a_run_that_dies_leaves_nothing_that_counts(
    ledger: Ledger, clock: Clock, reader: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, seed: int,
) -> None:  # fmt: skip
    dice = random.Random(seed)
    await trade(ledger, clock, 6)
    real = Folder.keep

    def dying(self: Folder, part: Path, **manifest: Any) -> Manifest:
        if dice.random() < 0.5:
            raise KeyboardInterrupt
        return real(self, part, **manifest)

    monkeypatch.setattr(Folder, "keep", dying)
    for _ in range(50):
        try:
            await export_journal(reader, tmp_path, "csv", transactions=2)
            break
        except KeyboardInterrupt:
            continue
    monkeypatch.undo()
    assert await export_journal(reader, tmp_path, "csv") == 0

    assert sorted(keys(exported(tmp_path))) == sorted(await journal(reader))
    parts = {path.name for path in (tmp_path / "journal").iterdir()}
    assert len(parts) == len(list((tmp_path / "manifest").iterdir()))


async def test_two_runs_do_not_mix(
    ledger: Ledger, clock: Clock, reader: Any, tmp_path: Path
) -> None:
    await trade(ledger, clock, 2)
    folder = Folder(tmp_path)
    with folder.held(), pytest.raises(FolderError, match="Another export"):
        await export_journal(reader, tmp_path, "csv")
    # On another machine the lock may not be seen: then the manifest decides.
    await export_journal(reader, tmp_path, "csv")
    with folder.held():
        part = folder.new_part(1, "csv")
        part.write_text("x")
        with pytest.raises(FolderError, match="wrote part 1 first"):
            folder.keep(
                part, sequence=1, ledger=UUID(int=0), format="csv", since=0, until=1, rows=0,
                made_at=clock(), columns=[],
            )  # fmt: skip
        assert not part.exists()


async def test_parts_without_their_manifests_are_not_removed(
    ledger: Ledger, clock: Clock, reader: Any, tmp_path: Path
) -> None:
    """Somebody may have read them already; all would come again under other names."""
    await trade(ledger, clock, 4)
    await export_journal(reader, tmp_path, "csv", transactions=3)
    parts = sorted((tmp_path / "journal").iterdir())
    assert len(parts) > 1
    for one in (tmp_path / "manifest").iterdir():
        one.unlink()

    with pytest.raises(FolderError, match="were manifests removed"):
        await export_journal(reader, tmp_path, "csv")

    assert sorted((tmp_path / "journal").iterdir()) == parts


def test_only_what_an_export_left_is_removed(tmp_path: Path) -> None:
    """Not what others keep in a folder called `journal`, such as that of /var/log."""
    journal = tmp_path / "journal"
    (journal / "3f9c").mkdir(parents=True)
    for name in ("system.journal", "part-1.csv", "part-00000001-0123456789ab.csv.bak"):
        (journal / name).write_text("precious")
    left = Folder(tmp_path).new_part(1, "csv")
    left.write_text("half")

    with Folder(tmp_path).held():
        assert not left.exists()

    assert len(list(journal.iterdir())) == 4


async def test_a_folder_of_another_ledger_or_with_a_gap_is_refused(
    ledger: Ledger, clock: Clock, reader: Any, tmp_path: Path
) -> None:
    await trade(ledger, clock, 2)
    await export_journal(reader, tmp_path, "csv", transactions=1)
    first = tmp_path / "manifest" / "00000001.json"
    kept = first.read_text()
    made = msgspec.json.decode(kept.encode(), type=Manifest)
    for changed, words in (
        (msgspec.structs.replace(made, ledger=uuid4()), "another ledger"),
        (msgspec.structs.replace(made, until=made.until + 1), "gap"),
    ):
        first.write_bytes(msgspec.json.encode(changed))
        with pytest.raises(FolderError, match=words):
            await export_journal(reader, tmp_path, "csv")
    first.write_text(kept)
    last = max((tmp_path / "manifest").iterdir())
    ahead = msgspec.json.decode(last.read_bytes(), type=Manifest)
    last.write_bytes(msgspec.json.encode(msgspec.structs.replace(ahead, until=2**50)))
    with pytest.raises(FolderError, match="restored into a new server"):
        await export_journal(reader, tmp_path, "csv")


async def test_parquet_is_the_same_journal(
    ledger: Ledger, clock: Clock, reader: Any, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    await trade(ledger, clock, 5)
    assert await export_journal(reader, tmp_path / "p", "parquet") == 10
    await export_journal(reader, tmp_path / "c", "csv")

    (part,) = (tmp_path / "p" / "journal").iterdir()
    rows = parquet.read_table(part).to_pylist()

    raw = await reader.fetch(ROWS, 0, 2**60)
    expected = [
        {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
        for row in raw
    ]
    order = sorted(rows, key=lambda row: (row["customer_id"], row["version"], row["seq"]))
    assert order == sorted(
        expected, key=lambda row: (row["customer_id"], row["version"], row["seq"])
    )
    assert list(rows[0]) == NAMES


async def test_the_journal_of_nothing_is_no_part(reader: Any, tmp_path: Path) -> None:
    assert await export_journal(reader, tmp_path, "csv") == 0
    assert list((tmp_path / "manifest").iterdir()) == []
