"""A hand in the tables at random: rows changed, taken away, doubled and moved, one by one or so
that they make up for each other.

Each of them is some SQL of a superuser whom no trigger and no constraint stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Row = dict[str, str | None]
"""Columns as text."""

TABLES: Final = ("transactions", "postings", "lots", "balances", "holds")
HUGE: Final = (2**62, 2**63 - 1, -(2**63), 2**62 // 7)
TIMES: Final = ("infinity", "-infinity", "2000-01-01 00:00Z", "9999-01-01 00:00Z", "1999-12-31Z")
SUMS: Final = ("available", "promo", "deferred", "held", "debt")

_FREE: Final = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname)
FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
WHERE c.relnamespace = 'ledger'::regnamespace AND contype IN ('p', 'u', 'c')
  AND relname = ANY($1)
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'ledger'::regnamespace AND indisunique AND relname = ANY($1)
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_NULLS: Final = """
SELECT format('ALTER TABLE ledger.%I ALTER COLUMN %I DROP NOT NULL', relname, attname)
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE c.relnamespace = 'ledger'::regnamespace AND attnum > 0 AND NOT attisdropped
  AND relname = ANY($1)
"""
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = ('ledger.' || $1)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


async def take_walls_down(connection: Connection, tables: Sequence[str] = TABLES) -> None:
    """Within a transaction that will be rolled back."""
    await connection.execute("SET LOCAL session_replication_role = replica")
    for query in (_FREE, _NULLS):
        for (statement,) in await connection.fetch(query, list(tables)):
            await connection.execute(statement)


class Tables:
    """What the tables hold before anybody touches them, in an order that is the same each time."""

    def __init__(self) -> None:
        self.columns: dict[str, dict[str, str]] = {}
        self.rows: dict[str, list[Row]] = {}

    @classmethod
    async def read(cls, connection: Connection, tables: Sequence[str] = TABLES) -> Tables:
        found = cls()
        for table in tables:
            columns = {str(row[0]): str(row[1]) for row in await connection.fetch(_COLUMNS, table)}
            texts = ", ".join(f"{name}::text" for name in columns)
            rows = await connection.fetch(f"SELECT ctid::text, {texts} FROM ledger.{table}")
            found.columns[table] = columns
            found.rows[table] = sorted(
                map(dict, rows), key=lambda row: _order(row, found.columns[table])
            )
        return found

    def of(self, table: str, customer: UUID) -> list[Row]:
        return [row for row in self.rows[table] if row["customer_id"] == str(customer)]


def _order(row: Row, columns: dict[str, str]) -> tuple[Any, ...]:
    key = [
        row["customer_id"] or "",
        *(int(row[name] or 0) for name in ("version", "seq") if name in columns),
    ]
    return (*key, row.get("occurred_at") or "", row.get("id") or row.get("key") or "")


class Hand:
    """Makes statements that tamper with one customer each."""

    def __init__(self, tables: Tables, random: Random, nulls: bool = True) -> None:
        self._tables, self._random, self._nulls = tables, random, nulls

    def tamper(self, customer: UUID) -> list[str]:
        """Statements; perhaps none, when there is nothing of the kind that was chosen."""
        ways: list[Callable[[UUID], list[str]]] = [
            self._change, self._change, self._change, self._change, self._change,
            self._remove, self._double, self._swap_rows, self._swap_postings, self._insert,
            self._give_lot, self._pair_of_postings, self._pair_of_lots, self._shift,
            self._alike, self._all_of, self._two,
        ]  # fmt: skip
        return self._random.choice(ways)(customer)

    def _row(self, table: str, customer: UUID) -> Row | None:
        rows = self._tables.of(table, customer)
        return self._random.choice(rows) if rows else None

    def _change(self, customer: UUID) -> list[str]:
        """One column of one row."""
        table = self._random.choice(list(self._tables.rows))
        row = self._row(table, customer)
        if row is None:
            return []
        column = self._random.choice(list(self._tables.columns[table]))
        return [self.change(table, row, column)]

    def change(self, table: str, row: Row, column: str) -> str:
        value = self._value(table, row, column)
        return f"UPDATE ledger.{table} SET {column} = {value} WHERE ctid = '{row['ctid']}'"

    def _value(self, table: str, row: Row, column: str) -> str:
        random, kind = self._random, self._tables.columns[table][column]
        other = _literal(random.choice(self._tables.rows[table])[column])
        values = [f"{other}::{kind}"] * 2
        if self._nulls or row[column] is None:
            values.append("NULL")
        if kind in ("bigint", "integer", "smallint"):
            huge = [f"'{one}'::bigint" for one in HUGE] if kind == "bigint" else []
            values += [f"{column} + 1", f"{column} - 1", f"-{column}", "0", *huge]
        elif kind == "timestamp with time zone":
            values += [f"{column} + interval '{one} microsecond'" for one in (1, -1)]
            values += [f"'{one}'::timestamptz" for one in TIMES]
        elif kind == "uuid":
            someone = str(UUID(int=random.getrandbits(128)))
            values += [f"'{someone}'::uuid", f"overlay({column}::text PLACING '0' FROM 1)::uuid"]
            values += [f"overlay({column}::text PLACING '0' FROM 36)::uuid"]
        elif kind == "text":
            values += ["''", "' '", f"{column} || 'x'", "'available'", "'hold'", "'release'"]
        elif kind == "boolean":
            values += [f"NOT {column}"] * 2
        elif kind == "bytea":
            values += ["''::bytea", f"{column} || '\\000'::bytea"]
        elif kind.endswith("[]"):
            values += [f"{column}[2:]", f"{column} || {column}", "'{}'", f"{column} || NULL"]
        return random.choice(values)

    def _remove(self, customer: UUID) -> list[str]:
        table = self._random.choice(TABLES)
        row = self._row(table, customer)
        return [] if row is None else [f"DELETE FROM ledger.{table} WHERE ctid = '{row['ctid']}'"]

    def _double(self, customer: UUID) -> list[str]:
        table = self._random.choice(TABLES)
        row = self._row(table, customer)
        if row is None:
            return []
        columns = list(self._tables.columns[table])
        changed = self._random.choice([None, *columns])
        asked = [self._value(table, row, one) if one == changed else one for one in columns]
        return [
            f"INSERT INTO ledger.{table} ({', '.join(columns)}) SELECT {', '.join(asked)}"
            f" FROM ledger.{table} WHERE ctid = '{row['ctid']}'"
        ]

    def _swap(self, table: str, one: Row, other: Row, column: str) -> list[str]:
        kind = self._tables.columns[table][column]
        return [
            f"UPDATE ledger.{table} SET {column} = {_literal(said[column])}::{kind}"
            f" WHERE ctid = '{row['ctid']}'"
            for row, said in ((one, other), (other, one))
        ]

    def _swap_rows(self, customer: UUID) -> list[str]:
        """Two rows of a table change a column."""
        table = self._random.choice(TABLES)
        rows = self._tables.of(table, customer)
        if len(rows) < 2:
            return []
        column = self._random.choice(list(self._tables.columns[table]))
        one, other = self._random.sample(rows, 2)
        return self._swap(table, one, other, column)

    def _swap_postings(self, customer: UUID) -> list[str]:
        """Two postings of a transaction change places."""
        rows = self._tables.of("postings", customer)
        pairs = [
            (one, other) for one, other in pairwise(rows) if one["version"] == other["version"]
        ]
        if not pairs:
            return []
        one, other = self._random.choice(pairs)
        return self._swap("postings", one, other, "seq")

    def _insert(self, customer: UUID) -> list[str]:
        """A copy of somebody's row, made the customer's."""
        table = self._random.choice(TABLES)
        row = self._random.choice(self._tables.rows[table])
        columns = [one for one in self._tables.columns[table] if one != "customer_id"]
        version = "version + 1" if self._random.random() < 0.5 else "version"
        asked = [version if one == "version" else one for one in columns]
        return [
            f"INSERT INTO ledger.{table} (customer_id, {', '.join(columns)})"
            f" SELECT '{customer}', {', '.join(asked)} FROM ledger.{table}"
            f" WHERE ctid = '{row['ctid']}'"
        ]

    def _give_lot(self, customer: UUID) -> list[str]:
        table = self._random.choice(("lots", "holds", "balances", "postings", "transactions"))
        row = self._row(table, customer)
        other = self._random.choice(self._tables.rows[table])["customer_id"]
        return [] if row is None else [
            f"UPDATE ledger.{table} SET customer_id = '{other}' WHERE ctid = '{row['ctid']}'"
        ]  # fmt: skip

    def _pair(self, table: str, customer: UUID, column: str) -> list[str]:
        rows = self._tables.of(table, customer)
        if len(rows) < 2:
            return []
        amount = self._random.choice((1, 2, 2**61, 2**62))
        return [
            f"UPDATE ledger.{table} SET {column} = {column} + {change} WHERE ctid = '{row['ctid']}'"
            for row, change in zip(self._random.sample(rows, 2), (amount, -amount), strict=True)
        ]

    def _pair_of_postings(self, customer: UUID) -> list[str]:
        return self._pair("postings", customer, "amount")

    def _pair_of_lots(self, customer: UUID) -> list[str]:
        numbers = [one for one, kind in self._tables.columns["lots"].items() if kind == "bigint"]
        return self._pair("lots", customer, self._random.choice(numbers))

    def _shift(self, customer: UUID) -> list[str]:
        """Points are put in or taken out from a version on, in all that is kept of them."""
        row = self._row("postings", customer)
        if row is None:
            return []
        name = self._random.choice(SUMS)
        by = self._random.choice((1, -1, 1000, 2**62))
        whose = f"customer_id = '{customer}'"
        made = [
            f"UPDATE ledger.transactions SET {name}_after = {name}_after + {by}"
            f" WHERE {whose} AND version >= {row['version']}",
            f"UPDATE ledger.balances SET {name} = {name} + {by} WHERE {whose}",
            f"UPDATE ledger.postings SET amount = amount + {by} WHERE ctid = '{row['ctid']}'",
            f"UPDATE ledger.lots SET {'available' if name == 'promo' else name} ="
            f" {'available' if name == 'promo' else name} + {by}, amount = amount + {by}"
            f" WHERE {whose} AND id = '{row['lot_id']}'",
        ]
        if name == "debt":
            made[3] = made[3].replace("debt", "owed")
        return self._random.sample(made, self._random.randint(2, 4))

    def _alike(self, customer: UUID) -> list[str]:
        """Lots whose ids end alike, in one table or in both."""
        ids = [row["id"] for row in self._tables.of("lots", customer)]
        if len(ids) < 2:
            return []
        one, other = self._random.sample(ids, 2)
        made = str(one)[:24] + str(other)[24:]
        tables = [("lots", "id"), ("postings", "lot_id")][: self._random.randint(1, 2)]
        return [
            f"UPDATE ledger.{table} SET {column} = '{made}' WHERE {column} = '{one}'"
            f" AND customer_id = '{customer}'"
            for table, column in tables
        ]

    def _all_of(self, customer: UUID) -> list[str]:
        """A column of all rows of a customer or of a lot, in several tables at once."""
        row = self._row("lots", customer)
        if row is None:
            return []
        changes = {
            "recorded_at": ("transactions", "postings", "balances"),
            "occurred_at": ("transactions", "postings", "lots"),
            "expires_at": ("postings", "lots"),
            "active_from": ("postings", "lots"),
            "bucket": ("postings", "lots"),
            "program": ("postings", "lots"),
            "channel": ("transactions", "postings", "lots", "holds"),
            "next_due": ("balances",),
        }
        column = self._random.choice(list(changes))
        value = self._value(changes[column][-1], row | {column: None}, column)
        value = "NULL" if column in value else value
        found = []
        for table in changes[column]:
            narrow = {"postings": "lot_id", "lots": "id"}.get(table)
            if narrow and column not in ("recorded_at", "occurred_at", "channel"):
                narrow = f" AND {narrow} = '{row['id']}'"
            else:
                narrow = ""
            found.append(
                f"UPDATE ledger.{table} SET {column} = {value}"
                f" WHERE customer_id = '{customer}'{narrow}"
            )
        return found

    def _two(self, customer: UUID) -> list[str]:
        return [*self.tamper(customer), *self.tamper(customer)]


def _literal(value: str | None) -> str:
    if value is None:
        return "NULL"
    quoted = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{quoted}'"
