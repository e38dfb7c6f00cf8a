"""Projections made anew from the journal: balances, lots and holds of every customer.

What is already right is left alone, so that a rebuild of a sound ledger writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from msgspec import Struct

from ledger import sql
from ledger.append import balance_values, columns, hold_row, lot_row
from ledger.closer import Customer, check, fold, read_customers, read_some
from ledger.load import Connection
from ledger.state import CustomerState

_LOCK = "SELECT FROM ledger.balances WHERE customer_id = $1 FOR UPDATE"
_PUT_BALANCE = """
INSERT INTO ledger.balances
    (customer_id, version, available, promo, deferred, held, debt, next_due, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (customer_id) DO UPDATE
SET version = excluded.version, available = excluded.available, promo = excluded.promo,
    deferred = excluded.deferred, held = excluded.held, debt = excluded.debt,
    next_due = excluded.next_due, recorded_at = excluded.recorded_at
"""


class Rebuilt(Struct):
    """How many customers were read, which were put right, and whose journal itself is wrong."""

    customers: int
    repaired: list[UUID]
    beyond: list[UUID]


async def rebuild(
    reader: Connection, writer: Connection, progress: Callable[[int], None] | None = None
) -> Rebuilt:
    """Put every projection right that differs from the journal; both connections as the owner.

    A customer whose journal itself is wrong is left as it is: `audit` names the transaction.
    """
    done = Rebuilt(0, [], [])
    async for customer in read_customers(reader):
        done.customers += 1
        findings = check(customer)
        if any(finding.what == "transaction" for finding in findings):
            done.beyond.append(customer.id)
        elif findings:
            await _repair(writer, customer.id)
            done.repaired.append(customer.id)
        if progress is not None:
            progress(done.customers)
    return done


async def _repair(writer: Connection, customer_id: UUID) -> None:
    async with writer.transaction():
        await writer.execute(sql.OPEN_ACCOUNTS, [customer_id])
        await writer.execute(_LOCK, customer_id)
        (customer,) = await read_some(writer, [customer_id])
        await _write(writer, customer, fold(customer_id, customer.history))


async def _write(writer: Connection, customer: Customer, state: CustomerState) -> None:
    for table in ("lots", "holds"):
        await writer.execute(f"DELETE FROM ledger.{table} WHERE customer_id = $1", customer.id)
    lots = [lot_row(customer.id, lot) for lot in state.lots.values()]
    await writer.execute(sql.NEW_LOTS, *columns(lots, 20))
    holds = [hold_row(state, one) for one in state.holds]
    await writer.execute(sql.PUT_HOLDS, *columns(holds, 9))
    await writer.execute(_PUT_BALANCE, customer.id, state.version, *balance_values(state))
