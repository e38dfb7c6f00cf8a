"""Seals that no sealer writes stop no audit, no export and no sealer: they are named."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import asyncpg
import pytest

from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.chains import Chains, Connection
from tests.ledger.conftest import Clock
from tests.ledger.lives import Lives
from tests.ledger.tampering import take_walls_down

_TIMES: Final = ("infinity", "-infinity", "294000-01-01", "4000-01-01 BC", "0001-01-01")
_BYTES: Final = ("NULL", "''", "'\\x00'", "'\\xffffffff'", "hash || hash", "entries || entries")
SEALED: Final = {
    "previous": _BYTES,
    "hash": _BYTES,
    "entries": (*_BYTES, "substr(entries, 2)", "'\\x00000000' || substr(entries, 5)"),
    "sealed_at": ("NULL", *(f"timestamptz '{one}'" for one in _TIMES)),
}
"""What is in the hash, which an outsider sees, too."""
UNTIL: Final = {
    "until_xid": ("NULL", "0", "-1", "-9223372036854775808", "9223372036854775807"),
    "until_key": ("NULL", "''", "'\\x00'", "until_key || until_key", "substr(until_key, 9)"),
}
STRAYS: Final = {
    "number": ("NULL", "0", "-1", "-9223372036854775808"),
    "chain": ("NULL", "''", "'gifts'", "'Journal'"),
}
_LAST: Final = """
chain = 'journal' AND number = (SELECT max(number) FROM ledger.seals WHERE chain = 'journal')
"""
_ROWS: Final = """
SELECT (SELECT count(*) FROM ledger.transactions) + (SELECT count(*) FROM ledger.idempotency_keys)
"""
OTHERS: Final = ("number = 9223372036854775807", "number = 1", "chain = 'answers'")


@pytest.fixture
async def chains(ledger: Ledger, clock: Clock, database: TestDatabase, tmp_path: Path) -> Chains:
    """Of some histories, in small blocks."""
    made = Chains(database, clock, tmp_path)
    await Lives(ledger, clock, Random(7), 3).live(8)
    await made.seal(block=6)
    return made


@pytest.fixture
async def hand(chains: Chains, database: TestDatabase) -> Connection:
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute("SET session_replication_role = replica")
    await take_walls_down(connection, ["seals"])
    await connection.execute("CREATE TABLE kept AS SELECT * FROM ledger.seals")
    return connection


async def test_a_seal_that_no_sealer_writes_is_named(chains: Chains, hand: Connection) -> None:
    """Whatever a column has, whichever block it is: one of them is the last."""
    last = await hand.fetchval("SELECT max(number) FROM ledger.seals WHERE chain = 'journal'")
    assert last > 2
    missed: list[str] = []
    for number in (2, last):
        for column, values in (SEALED | UNTIL | STRAYS).items():
            for value in values:
                change = f"SET {column} = {value} WHERE chain = 'journal' AND number = {number}"
                if not await changed(hand, change):
                    continue
                blocks = [one for one in (await chains.audit()).findings if one.what == "block"]
                faults = await chains.verify()
                if not blocks or (column in SEALED and not faults):
                    missed.append(change)
                await put_back(hand)
    assert missed == []


async def test_seals_put_in_are_named(chains: Chains, hand: Connection) -> None:
    """As copies of a block, with another number or chain."""
    strays = [f"{column} = {value}" for column, values in STRAYS.items() for value in values]
    for change in (*strays, *OTHERS):
        await hand.execute(
            "INSERT INTO ledger.seals SELECT * FROM kept WHERE chain = 'journal' AND number = 2"
        )
        await hand.execute(
            f"UPDATE ledger.seals SET {change} WHERE ctid = (SELECT max(ctid) FROM ledger.seals)"
        )
        assert any(one.what == "block" for one in (await chains.audit()).findings), change
        await chains.verify()
        await put_back(hand)


async def test_the_sealer_goes_on_after_seals_that_none_writes(
    chains: Chains, hand: Connection, ledger: Ledger, clock: Clock
) -> None:
    """What comes after is sealed all the same: a chain that stood still would hide more."""
    lives = Lives(ledger, clock, Random(8), 2)
    for change in (
        f"UPDATE ledger.seals SET hash = NULL WHERE {_LAST}",
        f"UPDATE ledger.seals SET sealed_at = NULL WHERE {_LAST}",
        "INSERT INTO ledger.seals (chain) VALUES ('journal')",
    ):
        assert (await hand.execute(change)).endswith(" 1")
        await lives.live(3)
        assert await chains.seal(block=6) > 0
        report = await chains.audit()
        assert report.unsealed["journal"] == 0
        assert any(one.what == "block" for one in report.findings)


async def test_the_sealer_seals_each_row_once_wherever_the_last_block_says_that_it_ends(
    chains: Chains, hand: Connection, ledger: Ledger, clock: Clock
) -> None:
    """The columns that say so are in no hash; its entries are."""
    lives = Lives(ledger, clock, Random(9), 2)
    for column, values in UNTIL.items():
        for value in values:
            assert await hand.execute(f"UPDATE ledger.seals SET {column} = {value} WHERE {_LAST}")
            before = await hand.fetchval(_ROWS)
            await lives.live(1)
            assert await chains.seal(block=6) == await hand.fetchval(_ROWS) - before > 0, value
            assert any(one.what == "block" for one in (await chains.audit()).findings)


async def changed(hand: Connection, change: str) -> bool:
    """Whether it changes anything."""
    setting, _, where = change.partition(" WHERE ")
    column, _, value = setting.removeprefix("SET ").partition(" = ")
    done = await hand.execute(
        f"UPDATE ledger.seals {setting} WHERE {where} AND {column} IS DISTINCT FROM {value}"
    )
    return str(done) == "UPDATE 1"


async def put_back(hand: Connection) -> None:
    await hand.execute("DELETE FROM ledger.seals; INSERT INTO ledger.seals SELECT * FROM kept")
