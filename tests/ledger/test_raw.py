"""Rows as bytes are the rows there are, whatever stands in them and however they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from struct import pack
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ledger.layout import Layout
from ledger.load import Connection
from ledger.raw import raw_halves, raw_rows
from ledger.seals.canonical import spans, values_from
from tests.conftest import TestDatabase

TEXTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
_NULL = "nothing"
_SOURCE = """
FROM (SELECT nullif(x, 'nothing') AS x, n
      FROM unnest($1::text[]) WITH ORDINALITY AS t (x, n)) AS t ORDER BY n
"""
_SPECIAL = ["", _NULL, "'", "\\", "\\'", "''", "E'\\x41'", "$1", "%s", "ünïcödé", "🐟", "\x01\xff"]


@pytest.fixture(scope="module")
async def connection(shared_database: TestDatabase) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(shared_database.owner_url)
    yield opened
    await opened.close()


def packed(text: str) -> bytes | None:
    return None if text == _NULL else text.encode()


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@example(texts=_SPECIAL, strings="on")
@example(texts=_SPECIAL, strings="off")
@example(texts=["long" * 300_000, "", "long" * 20_000, _NULL] * 2, strings="on")
@given(texts=TEXTS, strings=st.sampled_from(["on", "off"]))
async def test_every_row_comes_as_it_is(
    connection: Connection, texts: list[str], strings: str
) -> None:
    """… quoted by whatever rules the server has, in one part and in two."""
    await connection.execute(f"SET standard_conforming_strings = {strings}")
    rows = await raw_rows(connection, ["t.n", "t.x"], _SOURCE, texts)
    assert [values_from(row) for row in rows] == [
        [pack(">q", at), packed(text)] for at, text in enumerate(texts, 1)
    ]
    ones, others = await raw_halves(connection, (["t.n"], ["t.x", "t.n"]), _SOURCE, texts)
    assert [values_from(one) for one in ones] == [[pack(">q", at + 1)] for at in range(len(texts))]
    assert [values_from(other) for other in others] == [
        [packed(text), pack(">q", at)] for at, text in enumerate(texts, 1)
    ]


async def test_rows_in_any_number_of_pieces(connection: Connection) -> None:
    """Some hundred thousand short ones: a piece ends wherever a socket was full."""
    source = "FROM generate_series($1, $2) AS n"
    ones, others = await raw_halves(connection, (["n"], ["n::text"]), source, 1, 200_000)
    assert [int.from_bytes(one[4:]) for one in ones] == list(range(1, 200_001))
    assert [int(other[4:]) for other in others] == list(range(1, 200_001))


async def test_after_an_error_the_connection_goes_on(connection: Connection) -> None:
    source = "FROM generate_series(1, 100000) AS n WHERE 1 / (99999 - n) IS NOT NULL"
    async with connection.transaction():
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await raw_rows(connection, ["n"], source)
        assert await raw_rows(connection, ["1"], "FROM generate_series(1, 1)") == [
            pack(">ii", 4, 1)
        ]


def transaction(customer: UUID, version: int) -> bytes:
    return pack(">iqi", 8, 1, 16) + customer.bytes + pack(">iq", 8, version)


def posting(customer: UUID, version: int, seq: int) -> bytes:
    return pack(">i", 16) + customer.bytes + pack(">iqii", 8, version, 4, seq)


_KEY = Layout(("xid", "q"), ("customer", "u"), ("version", "q"))
_POSTING_KEY = Layout(("customer", "u"), ("version", "q"), ("seq", "i"))
A, B, C = sorted(uuid4() for _ in range(3))


@pytest.mark.parametrize(
    ("counts", "strangers"),
    [
        ({(A, 1): 3, (A, 2): 1, (B, 1): 2}, []),
        ({(A, 1): 0, (A, 2): 2, (B, 1): 0, (C, 9): 1}, []),
        ({(A, 1): 2, (C, 1): 1}, [(A, 2), (B, 1), (B, 7)]),
        ({(A, 1): 0}, []),
        ({}, [(A, 1)]),
    ],
    ids=["each has some", "some have none", "some are nobody's", "none", "nobody"],
)
def test_each_transaction_gets_its_own_postings(
    counts: dict[tuple[UUID, int], int], strangers: Sequence[tuple[UUID, int]]
) -> None:
    heads = [transaction(*key) for key in counts]
    every = {**counts, **dict.fromkeys(strangers, 2)}
    postings = [
        posting(*key, seq) for key, count in sorted(every.items()) for seq in range(1, count + 1)
    ]
    starts, ends = spans(heads, postings, _KEY.read(heads), _POSTING_KEY.read(postings))
    found = [postings[start:end] for start, end in zip(starts, ends, strict=True)]
    assert found == [
        [posting(*key, seq) for seq in range(1, count + 1)] for key, count in counts.items()
    ]


def test_rows_laid_out_otherwise_are_refused() -> None:
    right = posting(A, 1, 1)
    assert list(_POSTING_KEY.read([right])["seq"]) == [1]
    for wrong in (right[:-1], right[4:] + bytes(4), pack(">i", -1) + right[20:] + bytes(16)):
        with pytest.raises(ValueError, match="laid out"):
            _POSTING_KEY.read([right, wrong])
