"""The order of commits across a restore into another server.

Rows carry the number of their commit, `pg_current_xact_id()`. A server into which a dump was
restored counts from its own beginning: what is written there would sort before the past. Such a
server adds an offset, put by `adopt` (a migration's end calls it) into the defaults of the columns
and into `ledger.xid_offset()`, for whoever reads below `ledger.horizon()`. Until then no lane
connects, for `check` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from ledger.load import Connection, Reader

MARGIN: Final = 1_000_000


class Numbered(Struct, frozen=True):
    """A column that holds numbers of commits; `written` when its default is the current one."""

    table: str
    column: str
    written: bool = True


OF_THE_LEDGER: Final = (
    Numbered("ledger.transactions", "xid"),
    Numbered("ledger.idempotency_keys", "xid"),
    Numbered("ledger.seals", "until_xid", written=False),
    Numbered("ledger.closing", "xid"),
    Numbered("ledger.rollup_state", "xid", written=False),
)

NEXT: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint + ledger.xid_offset()"
"""The first number that no commit has had yet, as of this snapshot."""
_CHECK = f"SELECT (SELECT max(xid) FROM ledger.transactions) >= ({NEXT})"


class AnotherServer(ConnectionError):
    """The database was restored into a server that counts commits anew: it is as good as away."""

    def __init__(self) -> None:
        super().__init__(
            "The database was restored into a server that counts its commits anew; run "
            "`bonus migrate` once, which lets the journal go on in its order."
        )


async def check(connection: Reader) -> None:
    """Raise AnotherServer when what is written now would sort before what is there."""
    if await connection.fetchval(_CHECK):
        raise AnotherServer


async def adopt(connection: Connection, others: Iterable[Numbered] = ()) -> bool:
    """Let commits of this server sort after all that is there, as the owner of the tables.

    `others` are columns of upper layers. False when they do so already.
    """
    numbered = (*OF_THE_LEDGER, *others)
    async with connection.transaction():
        newest = max([await _newest(connection, one) for one in numbered])
        if newest < await connection.fetchval(NEXT):
            return False
        counted: int = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
        offset = newest - counted + MARGIN
        await connection.execute(
            "CREATE OR REPLACE FUNCTION ledger.xid_offset() RETURNS bigint LANGUAGE sql"
            f" IMMUTABLE PARALLEL SAFE RETURN {offset}::bigint"
        )
        for one in numbered:
            if one.written:
                await connection.execute(
                    f"ALTER TABLE {one.table} ALTER COLUMN {one.column}"
                    f" SET DEFAULT pg_current_xact_id()::text::bigint + {offset}"
                )
    return True


async def _newest(connection: Connection, one: Numbered) -> int:
    newest: int | None = await connection.fetchval(f"SELECT max({one.column}) FROM {one.table}")
    return newest or 0
