"""Step three of a group: write down what was decided, in as few statements as there are tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger import sql
from ledger.commands import Answer, Command, Row, Statement
from ledger.copying import Copier, Rows, Table
from ledger.decide import Context, Outcome
from ledger.load import Connection
from ledger.model import Lot, Posting, Transaction
from ledger.state import CustomerState

COPY_FROM = 64
"""Rows from which on a COPY of their own costs less than a share in a round trip as arrays."""


class LostUpdate(Exception):
    """A balance changed under the group's lock: somebody wrote around the ledger."""


class Batch:
    """The rows of one group, collected while it is decided."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._versions = {one: state.version for one, state in context.states.items()}
        self._lots = {one: set(state.lots) for one, state in context.states.items()}
        self._transactions: list[Transaction] = []
        self.postings = 0
        self.lots = 0
        """How many were looked through: every command goes through all of its customer's."""
        self._sources: list[tuple[str, UUID, UUID]] = []
        self._answers: list[tuple[Any, ...]] = []
        self._riders: dict[str, tuple[Statement, list[tuple[Any, ...]]]] = {}

    def add(self, outcome: Outcome, rows: Sequence[Row]) -> None:
        self._transactions += outcome.transactions
        self.postings += sum(len(one.postings) for one in outcome.transactions)
        self.lots += len(outcome.state.lots)
        for statement, values in rows:
            self._riders.setdefault(statement.name, (statement, []))[1].append(values)

    def add_source(self, source: str, transaction: Transaction) -> None:
        self._sources.append((source, transaction.customer_id, transaction.id))

    def add_answer(self, command: Command, answer: Answer, now: datetime) -> None:
        self._answers.append(
            (
                command.key,
                command.customer_id,
                command.fingerprint,
                answer.status,
                answer.body,
                now,
            )
        )

    async def write(self, connection: Connection) -> None:
        """Append the journal, then bring the projections to it."""
        changed = [
            self._context.states[one]
            for one, version in self._versions.items()
            if self._context.states[one].version != version or self._is_stale(one)
        ]
        if not changed and not self._answers:
            return
        balances = [self._balance_row(state) for state in changed]
        copier = Copier(connection)
        if len(self._transactions) >= COPY_FROM:
            tag = await self._copy_journal(connection, copier, balances)
        else:
            tag = await self._insert_journal(connection, balances)
        if tag != f"UPDATE {len(changed)}":
            raise LostUpdate(f"{len(changed)} balances to update, but {tag}")
        await self._write_lots(connection, copier, changed)
        holds = [hold_row(state, one) for state in changed for one in state.touched_holds]
        if holds:
            await connection.execute(sql.PUT_HOLDS, *columns(holds, 9))
        for statement, rows in self._riders.values():
            to = Table(statement.table, statement.names) if statement.table else None
            await _put(connection, copier, to, statement.sql, rows, statement.columns)

    async def _insert_journal(self, connection: Connection, balances: Rows) -> str:
        """All in one round trip; the tag of the balances' update."""
        postings = [
            (place, seq, *_posting_values(p))
            for place, t in enumerate(self._transactions, 1)
            for seq, p in enumerate(t.postings, 1)
        ]
        return await connection.execute(
            sql.APPEND,
            *columns([_transaction_row(t) for t in self._transactions], 20),
            *columns(postings, 15),
            *columns(self._sources, 3),
            *columns(self._answers, 6),
            *columns(balances, 10),
        )

    async def _copy_journal(self, connection: Connection, copier: Copier, balances: Rows) -> str:
        """A round trip each, which many rows are worth; the tag of the balances' update."""
        postings = [
            (t.customer_id, t.version, seq, *_posting_values(p), t.occurred_at, t.recorded_at)
            for t in self._transactions
            for seq, p in enumerate(t.postings, 1)
        ]
        await copier.copy(sql.TRANSACTIONS, [_transaction_row(t) for t in self._transactions])
        await copier.copy(sql.POSTINGS, postings)
        await copier.copy(sql.SOURCES, self._sources)
        await copier.copy(sql.ANSWERS, self._answers)
        return await connection.execute(sql.SET_BALANCES, *columns(balances, 10))

    async def _write_lots(
        self, connection: Connection, copier: Copier, changed: list[CustomerState]
    ) -> None:
        new: list[tuple[Any, ...]] = []
        old: list[tuple[Any, ...]] = []
        for state in changed:
            known = self._lots[state.customer_id]
            for lot_id in state.touched_lots:
                lot = state.lots[lot_id]
                if lot_id in known:
                    old.append(_changed_lot_row(state.customer_id, lot))
                else:
                    new.append(lot_row(state.customer_id, lot))
        if new:
            await _put(connection, copier, sql.LOTS, sql.NEW_LOTS, new, 20)
        if old:
            await connection.execute(sql.CHANGED_LOTS, *columns(old, 12))

    def _is_stale(self, customer_id: UUID) -> bool:
        """Whether the row says another next due date than its lots and holds do."""
        state = self._context.states[customer_id]
        return state.complete and state.due() != state.next_due

    def _balance_row(self, state: CustomerState) -> tuple[Any, ...]:
        was = self._versions[state.customer_id]
        return (state.customer_id, was, state.version, *balance_values(state))


def balance_values(state: CustomerState) -> tuple[Any, ...]:
    """The columns of `ledger.balances` after the version."""
    return (
        state.available,
        state.promo,
        state.deferred,
        state.held,
        state.debt,
        state.due(),
        state.recorded_at,
    )


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Rows turned into `width` columns, as `unnest` takes them.

    A column of nulls becomes an empty one, which `unnest` fills with nulls: the driver looks at
    every element of an array, and much of a ledger is null.
    """
    if not rows:
        return [()] * width
    return [
        column if any(value is not None for value in column) else ()
        for column in zip(*rows, strict=True)
    ]


async def _put(
    connection: Connection,
    copier: Copier,
    to: Table | None,
    statement: str,
    rows: Rows,
    width: int,
) -> None:
    """Insert rows the way that costs less for so many."""
    if to is not None and len(rows) >= COPY_FROM:
        await copier.copy(to, rows)
    else:
        await connection.execute(statement, *columns(rows, width))


def _transaction_row(t: Transaction) -> tuple[Any, ...]:
    after = t.after
    return (
        t.customer_id,
        t.version,
        t.id,
        t.operation_id,
        t.kind,
        t.occurred_at,
        t.recorded_at,
        after.available,
        after.promo,
        after.deferred,
        after.held,
        after.debt,
        t.corrects,
        t.hold_id,
        t.hold_expires_at,
        t.source,
        t.channel,
        t.store,
        t.author,
        t.reason,
    )


def _posting_values(p: Posting) -> tuple[Any, ...]:
    """The columns of a posting that it does not share with its transaction."""
    return (
        p.kind,
        p.debit,
        p.credit,
        p.amount,
        p.lot_id,
        p.bucket,
        p.active_from,
        p.expires_at,
        p.program,
        p.program_version,
        p.channel,
        p.store,
        p.product_group,
    )


def lot_row(customer_id: UUID, lot: Lot) -> tuple[Any, ...]:
    """The row of `sql.NEW_LOTS`."""
    return (
        customer_id,
        lot.id,
        lot.bucket,
        lot.amount,
        lot.active_from,
        lot.expires_at,
        lot.program,
        lot.program_version,
        lot.occurred_at,
        lot.available,
        lot.deferred,
        lot.held,
        lot.redeemed,
        lot.revoked,
        lot.owed,
        lot.expired,
        lot.forgiven,
        lot.channel,
        lot.store,
        lot.open,
    )


def _changed_lot_row(customer_id: UUID, lot: Lot) -> tuple[Any, ...]:
    return (
        customer_id,
        lot.id,
        lot.amount,
        lot.available,
        lot.deferred,
        lot.held,
        lot.redeemed,
        lot.revoked,
        lot.owed,
        lot.expired,
        lot.forgiven,
        lot.open,
    )


def hold_row(state: CustomerState, hold_id: UUID) -> tuple[Any, ...]:
    """The row of `sql.PUT_HOLDS`."""
    hold = state.holds[hold_id]
    return (
        state.customer_id,
        hold.id,
        hold.status,
        hold.expires_at,
        ",".join(str(lot) for lot, _ in hold.parts),
        ",".join(str(amount) for _, amount in hold.parts),
        hold.captured,
        hold.channel,
        hold.store,
    )
