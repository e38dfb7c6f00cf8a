"""Step three of a group: write down what was decided, in as few statements as there are tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger import sql
from ledger.commands import Answer, Command, Row, Statement
from ledger.decide import Context, Outcome
from ledger.load import Connection
from ledger.model import Lot, Transaction
from ledger.state import CustomerState


class LostUpdate(Exception):
    """A balance changed under the group's lock: somebody wrote around the ledger."""


class Batch:
    """The rows of one group, collected while it is decided."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._versions = {one: state.version for one, state in context.states.items()}
        self._lots = {one: set(state.lots) for one, state in context.states.items()}
        self._transactions: list[Transaction] = []
        self._sources: list[tuple[str, UUID, UUID]] = []
        self._answers: list[tuple[Any, ...]] = []
        self._riders: dict[str, tuple[Statement, list[tuple[Any, ...]]]] = {}

    def add(self, outcome: Outcome, rows: Sequence[Row]) -> None:
        self._transactions += outcome.transactions
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
        arguments = (
            *columns([_transaction_row(t) for t in self._transactions], 20),
            *columns(
                [
                    row
                    for place, t in enumerate(self._transactions, 1)
                    for row in _posting_rows(place, t)
                ],
                15,
            ),
            *columns(self._sources, 3),
            *columns(self._answers, 6),
            *columns([self._balance_row(state) for state in changed], 10),
        )
        tag = await connection.execute(sql.APPEND, *arguments)
        if tag != f"UPDATE {len(changed)}":
            raise LostUpdate(f"{len(changed)} balances to update, but {tag}")
        await self._write_lots(connection, changed)
        holds = [hold_row(state, one) for state in changed for one in state.touched_holds]
        if holds:
            await connection.execute(sql.PUT_HOLDS, *columns(holds, 7))
        for statement, rows in self._riders.values():
            await connection.execute(statement.sql, *columns(rows, statement.columns))

    async def _write_lots(self, connection: Connection, changed: list[CustomerState]) -> None:
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
            await connection.execute(sql.NEW_LOTS, *columns(new, 17))
        if old:
            await connection.execute(sql.CHANGED_LOTS, *columns(old, 11))

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


def _posting_rows(place: int, t: Transaction) -> list[tuple[Any, ...]]:
    """The postings of the transaction at `place` (from 1), which tells the columns they share."""
    return [
        (
            place,
            seq,
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
        for seq, p in enumerate(t.postings, 1)
    ]


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
    )
