"""Whatever is changed in a sealed row is named by the audit and by an outsider's verifier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

import asyncpg
import pytest

from ledger import commands as c
from ledger.commands import Answer, Completion
from ledger.seals.streams import Stream
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.chains import Chains
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer
from tests.ledger.lives import Lives
from tests.ledger.tampering import Connection, Hand, Tables, take_walls_down

SEALED: Final = ("transactions", "postings", "idempotency_keys")
KEYS: Final = (
    *("k", "'", "\\", "\\'", "''", "\\\\", "$1", "{}", "%s", "é", "🧾", "\x01", "\t\n", " "),
    *("\\000", "E'x'", "--", "/*", ":name", "\x7f", "ﷺ", "ß" * 255, "x" * 255, "K", "a\u0301"),
)
"""Of answers: they become literals of SQL."""


@pytest.fixture
def chains(database: TestDatabase, clock: Clock, tmp_path: Path) -> Chains:
    return Chains(database, clock, tmp_path)


@pytest.fixture
async def sealed(ledger: Ledger, clock: Clock, chains: Chains) -> None:
    """Histories of many kinds and answers under odd keys, in small blocks."""
    lives = Lives(ledger, clock, Random(5), 8)
    await lives.live(12)
    one = Customer(ledger, clock)
    for number, key in enumerate(KEYS):
        answer = Completion(Answer(201, bytes(range(number * 9))))
        await one.do(
            "adjustment", c.Adjust(1, "base"), key=key, complete=lambda _, a=answer: a, reason=key
        )  # fmt: skip
    await chains.seal(block=7)


@pytest.fixture
async def hand(database: TestDatabase, sealed: None) -> AsyncIterator[Connection]:
    """A superuser whom nothing stops."""
    connection = await asyncpg.connect(
        database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    await take_walls_down(connection, SEALED)
    yield connection
    await connection.close()


def name_of(table: str, row: Mapping[str, str | None]) -> str:
    return (
        str(row["key"]) if table == "idempotency_keys" else f"{row['customer_id']}/{row['version']}"
    )


async def assert_named(chains: Chains, names: Mapping[str, str]) -> None:
    """Each of the rows, by both."""
    report = await chains.audit()
    told = {finding.which for finding in report.findings}
    assert {name: how for name, how in names.items() if name not in told} == {}
    faults = await chains.verify()
    missed = {
        name: how
        for name, how in names.items()
        if not any(f": {name} " in fault for fault in faults)
    }
    assert missed == {}


async def changed_columns(connection: Connection, random: Random) -> dict[str, str]:
    """Each column of each table, in a row of its own: what was changed of which."""
    tables = await Tables.read(connection, SEALED)
    hand = Hand(tables, random)
    names: dict[str, str] = {}
    for table in SEALED:
        rows = [row for row in tables.rows[table] if name_of(table, row) not in names]
        random.shuffle(rows)
        for column in tables.columns[table]:
            while row := rows.pop():
                statement = hand.change(table, row, column)
                if name_of(table, row) not in names and await changes(connection, statement):
                    names[name_of(table, row)] = statement
                    break
    return names


async def changes(connection: Connection, statement: str) -> bool:
    """Whether it does; nothing is done when it does not."""
    column = statement.split()[3]
    change, _, where = statement.partition(" WHERE ")
    value = change.partition(" = ")[2]
    try:
        return (await connection.execute(
            f"{change} WHERE {where} AND ({value}) IS DISTINCT FROM {column}"
        )).endswith(" 1")  # fmt: skip
    except asyncpg.DataError:
        return False


def pages_of(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the chain is read in its own order."""
    monkeypatch.setitem(Stream.__init__.__kwdefaults__ or {}, "page", rows)
    monkeypatch.setenv("PYTHONHASHSEED", "1")


async def test_sound_chains_of_odd_texts_are_found_sound_by_both(
    sealed: None, chains: Chains, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (1, 2, 5, 4000):
        pages_of(page, monkeypatch)
        assert (await chains.audit()).findings == []
    assert await chains.verify() == []


async def test_no_setting_of_the_server_changes_what_is_read(
    sealed: None, chains: Chains, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser = await asyncpg.connect(database.superuser_url)
    name = database.superuser_url.partition("?")[0].rpartition("/")[2]
    for setting in (
        "standard_conforming_strings = off", "bytea_output = escape", "timezone = 'Asia/Tokyo'",
        "datestyle = 'SQL, DMY'", "escape_string_warning = off", "backslash_quote = off",
        "intervalstyle = sql_standard", "extra_float_digits = -3", "quote_all_identifiers = on",
    ):  # fmt: skip
        await superuser.execute(f"ALTER DATABASE {name} SET {setting}")
    await superuser.close()
    pages_of(3, monkeypatch)
    report = await chains.audit()
    assert (report.findings, report.unsealed) == ([], {"journal": 0, "answers": 0})
    assert await chains.verify() == []


@pytest.mark.parametrize("seed", range(4))
async def test_any_column_that_was_changed_is_named_by_both(
    hand: Connection, chains: Chains, seed: int
) -> None:
    names = await changed_columns(hand, Random(seed))
    assert len(names) == 21 + 18 + 7
    await assert_named(chains, names)


ROWS: Final = {
    "a posting twice": "INSERT INTO ledger.postings SELECT * FROM ledger.postings WHERE {row}"
    " AND seq = 1",
    "postings in another order": "UPDATE ledger.postings SET seq = 3 - seq WHERE {row}",
    "a posting away": "DELETE FROM ledger.postings WHERE {row} AND seq = 2",
    "no posting": "DELETE FROM ledger.postings WHERE {row}",
    "a posting of another": "UPDATE ledger.postings SET version = version + 1 WHERE {row}"
    " AND seq = 2",
    "in another's commit": "UPDATE ledger.transactions SET xid = (SELECT max(xid) FROM"
    " ledger.transactions) - 1 WHERE {row}",
    "in a commit before": "UPDATE ledger.transactions SET xid = xid - 1 WHERE {row}",
    "in a commit to come": "UPDATE ledger.transactions SET xid = xid + 10^9 WHERE {row}",
    "in no commit": "UPDATE ledger.transactions SET xid = NULL WHERE {row}",
    "away": "DELETE FROM ledger.transactions WHERE {row}",
    "twice": "INSERT INTO ledger.transactions SELECT * FROM ledger.transactions WHERE {row}",
    "below zero": "UPDATE ledger.transactions SET version = -version WHERE {row}",
    "empty text": "UPDATE ledger.transactions SET reason = CASE WHEN reason IS NULL THEN '' END"
    " WHERE {row}",
}


async def test_rows_that_were_doubled_moved_or_taken_away_are_named_by_both(
    hand: Connection, chains: Chains
) -> None:
    """Of customers with two postings each, in another way each."""
    rows = await hand.fetch(
        "SELECT customer_id, version FROM ledger.postings GROUP BY 1, 2 HAVING count(*) = 2"
        " ORDER BY 1, 2"
    )
    names = {}
    for (customer, version), (how, statement) in zip(rows, ROWS.items(), strict=False):
        row = f"customer_id = '{customer}' AND version = {version}"
        assert not (await hand.execute(statement.format(row=row))).endswith(" 0"), how
        names[f"{customer}/{version}"] = how
    assert len(names) == len(ROWS)
    await assert_named(chains, names)
