"""A close look at customers: their histories folded by the very code that posts, row by row.

What is wrong is named. Rows may hold whatever a hand has put there, null and infinity included;
who cannot be added up because of it is named as well, and keeps nobody else from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final
from uuid import UUID

from msgspec import Struct

from ledger.findings import Finding
from ledger.flows import FLOWS, MAY_HOLD, OF_LOT
from ledger.load import Connection, balance_state, read_hold, read_lot
from ledger.model import Hold, Lot, Posting, Transaction
from ledger.reads import TRANSACTION_COLUMNS, read_transactions
from ledger.sql import HOLD_COLUMNS, LOT_COLUMNS, POSTING_COLUMNS
from ledger.state import CustomerState, Impossible
from ledger.wholes import OF_CUSTOMERS, OF_STRANGERS, ask

CHUNK: Final = 500
"""Customers looked at closely at a time."""
_FLOWS: Final = frozenset(FLOWS)
_UNREADABLE: Final = (TypeError, ValueError, KeyError, ArithmeticError)
"""What comes of values that no ledger has: null, infinity, dates beyond all calendars."""

_NO_LEDGER_HAS: Final = "has what no ledger has: {!r}"

Place = tuple[str | None, str | None]

_CUSTOMERS = """
SELECT DISTINCT customer_id FROM ledger.transactions
WHERE customer_id > $1 ORDER BY customer_id LIMIT $2
"""
_JOURNAL = f"""
SELECT {TRANSACTION_COLUMNS}, {POSTING_COLUMNS}
FROM ledger.transactions t
LEFT JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.customer_id = ANY($1) ORDER BY t.customer_id, t.version, p.seq
"""
_BALANCES = """
SELECT customer_id, version, available, promo, deferred, held, debt, next_due, recorded_at
FROM ledger.balances WHERE customer_id = ANY($1)
"""
_LOTS = f"SELECT {LOT_COLUMNS} FROM ledger.lots WHERE customer_id = ANY($1)"
_HOLDS = f"SELECT {HOLD_COLUMNS} FROM ledger.holds WHERE customer_id = ANY($1)"


class Customer(Struct):
    """A customer as the tables have it; what cannot be read of it is a finding."""

    id: UUID
    history: list[Transaction]
    balance: CustomerState | None
    lots: dict[UUID, Lot]
    holds: dict[UUID, Hold]
    unreadable: list[Finding] = []


async def look_closely(
    connection: Connection, suspects: list[UUID], strangers: Sequence[UUID] = ()
) -> list[Finding]:
    """What is wrong with some suspects and strangers."""
    customers = await read_some(connection, suspects)
    # A row whose first columns are null belongs to nobody; its chain names it.
    findings = [one for customer in customers if customer.history for one in check(customer)]
    findings += await ask(connection, OF_CUSTOMERS, suspects)
    return findings + await ask(connection, OF_STRANGERS, strangers)


async def read_customers(connection: Connection) -> AsyncIterator[Customer]:
    """Every customer that has transactions, by id."""
    last = UUID(int=0)
    while rows := await connection.fetch(_CUSTOMERS, last, CHUNK):
        last = rows[-1][0]
        for customer in await read_some(connection, [row[0] for row in rows]):
            yield customer


async def read_some(connection: Connection, ids: list[UUID]) -> list[Customer]:
    """The customers of `ids`, in that order, with their whole history."""
    found = {one: Customer(one, [], None, {}, {}) for one in ids}
    for what in _READ:
        await _read(connection, what, found)
    return list(found.values())


async def _read(connection: Connection, what: str, found: dict[UUID, Customer]) -> None:
    """Rows of customers; one by one when some cannot be read."""
    try:
        await _READ[what](connection, found)
    except _UNREADABLE as error:
        if len(found) > 1:
            for one in found.values():
                await _read(connection, what, {one.id: one})
        else:
            (one,) = found.values()
            one.unreadable.append(Finding(what, one.id, "", _NO_LEDGER_HAS.format(error)))


async def _read_histories(connection: Connection, found: dict[UUID, Customer]) -> None:
    rows = await connection.fetch(_JOURNAL, list(found))
    for one, transactions in groupby(read_transactions(rows), lambda one: one.customer_id):
        found[one].history = list(transactions)


async def _read_balances(connection: Connection, found: dict[UUID, Customer]) -> None:
    for row in await connection.fetch(_BALANCES, list(found)):
        found[row[0]].balance = balance_state(row)


async def _read_lots(connection: Connection, found: dict[UUID, Customer]) -> None:
    for row in await connection.fetch(_LOTS, list(found)):
        found[row[0]].lots[row[1]] = read_lot(row)


async def _read_holds(connection: Connection, found: dict[UUID, Customer]) -> None:
    for row in await connection.fetch(_HOLDS, list(found)):
        found[row[0]].holds[row[1]] = read_hold(row)


_READ: Final = {
    "transaction": _read_histories,
    "balance": _read_balances,
    "lot": _read_lots,
    "hold": _read_holds,
}
"""What reads which rows of customers."""


def fold(customer_id: UUID, history: list[Transaction]) -> CustomerState:
    """The state that a history leads to. Raises Impossible."""
    state = CustomerState(customer_id)
    for transaction in history:
        state.apply(transaction)
    return state


def check(customer: Customer) -> list[Finding]:
    """Everything wrong with one customer; of the history the first wrong transaction only."""
    if any(one.what == "transaction" for one in customer.unreadable):
        return customer.unreadable
    state = CustomerState(customer.id)
    findings = _check_history(customer, state)
    findings += _check_balance(customer, None if findings else state)
    findings += _check_held(customer, state)
    findings += _differences("lot", customer, customer.lots, state.lots)
    findings += _differences("hold", customer, customer.holds, state.holds)
    return findings + customer.unreadable


def _check_history(customer: Customer, state: CustomerState) -> list[Finding]:
    """Fold the history into `state`; what is wrong with its first wrong transaction."""
    recorded_at: datetime | None = None
    findings: list[Finding] = []
    earlier: set[UUID] = set()
    for number, one in enumerate(customer.history, 1):
        try:
            state.apply(one)
            fault = _fault(one, number, recorded_at, state)
            if one.corrects is not None and one.corrects not in earlier:
                fault = fault or f"corrects {one.corrects}, which is not before it"
        except Impossible as impossible:
            fault = str(impossible)
        except _UNREADABLE as error:
            fault = _NO_LEDGER_HAS.format(error)
        recorded_at = one.recorded_at
        earlier.add(one.id)
        if fault is not None and not findings:
            which = f"{one.id} (version {one.version})"
            findings.append(Finding("transaction", customer.id, which, fault))
            state.strict = False
    return findings


def _fault(
    one: Transaction, number: int, before: datetime | None, state: CustomerState
) -> str | None:
    if one.version != number:
        return f"version {number} is missing before it"
    if before is not None and one.recorded_at < before:
        return "was recorded before the version that precedes it"
    if one.kind not in MAY_HOLD:
        return f"{one.kind} is no kind of transaction"
    for posting in one.postings:
        if (posting.kind, posting.debit, posting.credit) not in _FLOWS:
            return f"{posting.kind} {posting.debit} → {posting.credit} is no flow"
        if posting.kind not in MAY_HOLD[one.kind]:
            return f"a transaction of kind {one.kind} has no {posting.kind}"
        if _terms(posting) != _terms(state.lots[posting.lot_id]):
            return f"its {posting.kind} tells other terms of lot {posting.lot_id} than before"
        if _place(posting) not in (_place(one), *_places_of(posting, state)):
            return f"its {posting.kind} names another channel or store"
    if state.balances != one.after:
        return f"its postings lead to {state.balances}, but it says {one.after}"
    return None


def _places_of(posting: Posting, state: CustomerState) -> tuple[Place, ...]:
    """Where else than its transaction a posting may say it happened: what no till did is told of
    where the points were given; before it was, of nowhere."""
    return (_place(state.lots[posting.lot_id]),) if posting.kind in OF_LOT else ()


def _place(one: Posting | Lot | Transaction) -> Place:
    return (one.channel, one.store)


def _terms(one: Posting | Lot) -> tuple[object, ...]:
    return (one.bucket, one.active_from, one.expires_at, one.program, one.program_version)


def _check_balance(customer: Customer, state: CustomerState | None) -> list[Finding]:
    """The balance row beside the newest transaction."""
    row, newest = customer.balance, customer.history[-1]
    if row is None:
        return [Finding("balance", customer.id, "", "is missing")]
    said = (row.version, row.balances, row.recorded_at)
    due = (newest.version, newest.after, newest.recorded_at)
    if said != due:
        return [Finding("balance", customer.id, "", f"is {said}, but the journal says {due}")]
    due_at = None if state is None else _due(state)
    if state is not None and row.next_due != due_at:
        detail = f"is next due at {row.next_due}, but its lots and holds say {due_at}"
        return [Finding("balance", customer.id, "", detail)]
    return []


def _check_held(customer: Customer, state: CustomerState) -> list[Finding]:
    """What is held beside the holds that are open."""
    due = sum(one.amount for one in state.holds.values() if one.status == "open")
    if not state.strict or state.held == due:
        return []
    detail = f"has {state.held} held, but its open holds say {due}"
    return [Finding("balance", customer.id, "", detail)]


def _due(state: CustomerState) -> datetime | str | None:
    try:
        return state.due()
    except _UNREADABLE as error:
        return str(error)


def _differences(
    what: str, customer: Customer, there: Mapping[UUID, object], folded: Mapping[UUID, object]
) -> list[Finding]:
    findings: list[Finding] = []
    for one in sorted({*there, *folded}, key=str):
        row, due = there.get(one), folded.get(one)
        if row != due:
            detail = "is missing" if row is None else f"is {row}, but the journal says {due}"
            findings.append(Finding(what, customer.id, str(one), detail))
    return findings
