"""Exporting what was committed since the last part, in parts, each exactly once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from billing.exports import store
from billing.exports.columns import COLUMNS
from billing.exports.folder import Folder, FolderError, Manifest
from billing.exports.rendering import write_csv, write_parquet
from ledger.seals.streams import BY_INDEX

TRANSACTIONS: Final = 300_000
"""In a part, or all that one commit wrote."""

_WRITERS: Final[dict[str, Callable[..., Any]]] = {"csv": write_csv, "parquet": write_parquet}
FORMATS: Final = tuple(_WRITERS)


async def export_journal(
    connection: Any,
    place: Path,
    kind: str,
    *,
    transactions: int = TRANSACTIONS,
    told: Callable[[Manifest], None] = lambda _: None,
) -> int:
    """Write to the folder `place` what was committed since its last part; how many postings.

    Only what every later snapshot will see, too: nothing is skipped because it committed late,
    and nothing comes twice. Killed at any moment, the next run goes on behind the last part.
    `connection` uses UTC. Raises FolderError.
    """
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise FolderError("Parquet needs the package pyarrow: pip install 'bonus-ledger[parquet]'")
    folder, count = Folder(place), 0
    with folder.held():
        while (made := await _next_part(connection, folder, kind, transactions)) is not None:
            count += made.rows
            told(made)
    return count


async def _next_part(
    connection: Any, folder: Folder, kind: str, transactions: int
) -> Manifest | None:
    known = folder.manifests()
    since = known[-1].until if known else 0
    horizon = await connection.fetchval(store.HORIZON)
    if since > horizon:
        raise FolderError(
            f"The folder goes up to transaction {since}, but this server has only come to "
            f"{horizon}: the database was restored into a new server; docs/finance.md says what "
            "to do."
        )
    ledger = await connection.fetchval(store.FIRST)
    if known and known[0].ledger != ledger:
        raise FolderError("The folder was written from another ledger.")
    if not await connection.fetchval(store.ANY, since, horizon):
        return None
    until = await connection.fetchval(store.UNTIL, since, horizon, transactions)
    until = horizon if until is None else max(until, since + 1)
    if not await connection.fetchval(store.ANY, since, until):
        # The next commit alone is more than a part.
        until += 1
    return await _write(connection, folder, kind, len(known) + 1, since, until, ledger)


async def _write(
    connection: Any, folder: Folder, kind: str, sequence: int, since: int, until: int, ledger: UUID
) -> Manifest:
    part = folder.new_part(sequence, kind)
    async with connection.transaction():
        # Left alone, the planner would read and sort all postings again for each part.
        await connection.execute(BY_INDEX)
        rows = await _WRITERS[kind](connection, store.ROWS, (since, until), part)
    return folder.keep(
        part,
        sequence=sequence,
        ledger=ledger,
        format=kind,
        since=since,
        until=until,
        rows=rows,
        made_at=datetime.now(UTC),
        columns=[{"name": one.name, "type": one.type, "meaning": one.meaning} for one in COLUMNS],
    )
