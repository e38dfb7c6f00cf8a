"""Postings as lines of a general ledger: seen from an account, with the balance after each."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from billing.balances.model import receipt_of
from billing.finance import store
from billing.finance.table import Column, Row
from ledger.listing import PostingKey, page_of_postings
from ledger.selection import Selection, TimeAxis, owed_change
from ledger.sums import Snapshot, flow_sums

ENTRY: Final = (
    Column("occurred_at", "time"),
    Column("recorded_at", "time"),
    Column("transaction_id"),
    Column("customer_id"),
    Column("version", "count"),
    Column("seq", "count"),
    Column("transaction_kind"),
    Column("kind"),
    Column("counter_account"),
    Column("receipt"),
    Column("program"),
    Column("program_version"),
    Column("channel"),
    Column("store"),
    Column("product_group"),
    Column("bucket"),
    Column("author"),
)
COUNTER: Final = 8
POSTING: Final = ENTRY[:COUNTER] + ENTRY[COUNTER + 1 :]
"""A posting that is not seen from one of its accounts."""


async def opening_balance(connection: Snapshot, opening: Selection | None) -> int:
    """What an account, or all that is owed, came to before the period."""
    if opening is None:
        return 0
    flows = await flow_sums(connection, opening)
    return sum(_signed(flow.debit, flow.credit, flow.amount, opening) for flow in flows)


async def entries(
    connection: Snapshot,
    selection: Selection,
    limit: int,
    after: PostingKey | None,
    axis: TimeAxis,
    balance: int,
) -> tuple[list[Row], int, PostingKey | None]:
    """A page of a general ledger: its rows, the balance after them, and where it goes on."""
    rows = await page_of_postings(connection, selection, limit, after, axis)
    found = await store.heads(connection, ((row[0], row[1]) for row in rows))
    made: list[Row] = []
    for row in rows:
        debit, credit, amount = row["debit"], row["credit"], row["amount"]
        change = _signed(debit, credit, amount, selection)
        balance += change
        other = debit if _arrives(debit, credit, selection) else credit
        made.append(
            (
                *_entry(row, found[row[0], row[1]], other),
                amount if not _arrives(debit, credit, selection) else 0,
                amount if _arrives(debit, credit, selection) else 0,
                balance,
            )
        )
    more = key_of(rows[-1], axis) if len(rows) == limit else None
    return made, balance, more


async def listed(
    connection: Snapshot, selection: Selection, limit: int, after: PostingKey | None
) -> tuple[list[Row], PostingKey | None]:
    """A page of plain postings, and where it goes on."""
    rows = await page_of_postings(connection, selection, limit, after)
    found = await store.heads(connection, ((row[0], row[1]) for row in rows))
    made: list[Row] = []
    for row in rows:
        entry = _entry(row, found[row[0], row[1]], None)
        sides = (row["debit"], row["credit"], row["amount"])
        made.append((*entry[:COUNTER], *entry[COUNTER + 1 :], *sides))
    return made, key_of(rows[-1], "recorded_at") if len(rows) == limit else None


def key_of(row: Any, axis: TimeAxis) -> PostingKey:
    """Where a listed posting stands."""
    customer_id: UUID = row["customer_id"]
    return (row[axis], customer_id, row["version"], row["seq"])


def _arrives(debit: str, credit: str, selection: Selection) -> bool:
    if selection.account is not None:
        return credit == selection.account
    return owed_change(debit, credit, 1) > 0


def _signed(debit: Any, credit: Any, amount: int, selection: Selection) -> int:
    if selection.account is not None:
        return amount if credit == selection.account else -amount
    return owed_change(debit, credit, amount)


def _entry(row: Any, head: Any, counter: str | None) -> Row:
    return (
        row["occurred_at"],
        row["recorded_at"],
        head["id"],
        row["customer_id"],
        row["version"],
        row["seq"],
        head["kind"],
        row["kind"],
        counter,
        receipt_of(head["source"]),
        row["program"],
        row["program_version"],
        row["channel"],
        row["store"],
        row["product_group"],
        row["bucket"],
        head["author"],
    )


def edge(name: str, balance: int) -> Row:
    """The first and the last line of a general ledger."""
    cells: list[Any] = [None] * len(ENTRY)
    cells[6] = name
    return (*cells, None, None, balance)
