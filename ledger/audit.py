"""The ledger proves itself: every customer's history is folded anew and compared.

Reads one snapshot, so that tills may go on. Findings name the row that is wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from itertools import groupby
from uuid import UUID

from msgspec import Struct

from ledger.flows import FLOWS, MAY_HOLD, OF_LOT
from ledger.load import Connection, balance_state, read_hold, read_lot
from ledger.model import Hold, Lot, Posting, Transaction
from ledger.reads import TRANSACTION_COLUMNS, read_transactions
from ledger.sql import HOLD_COLUMNS, LOT_COLUMNS, POSTING_COLUMNS
from ledger.state import CustomerState, Impossible

CHUNK = 500
_FLOWS = frozenset(FLOWS)
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

_WHOLE: tuple[tuple[str, str, str], ...] = (
    (
        "posting",
        "has no transaction",
        """SELECT customer_id, format('version %s, seq %s', version, seq)
           FROM ledger.postings p WHERE NOT EXISTS (SELECT FROM ledger.transactions t
             WHERE t.customer_id = p.customer_id AND t.version = p.version)""",
    ),
    (
        "posting",
        "has other times than its transaction",
        """SELECT p.customer_id, format('version %s, seq %s', p.version, p.seq)
           FROM ledger.postings p JOIN ledger.transactions t USING (customer_id, version)
           WHERE (p.occurred_at, p.recorded_at) IS DISTINCT FROM (t.occurred_at, t.recorded_at)""",
    ),
    (
        "balance",
        "has a version, but its customer has no transactions",
        """SELECT customer_id, '' FROM ledger.balances b
           WHERE version + available + deferred + held + debt > 0 AND NOT EXISTS (
             SELECT FROM ledger.transactions t WHERE t.customer_id = b.customer_id)""",
    ),
    (
        "lot",
        "belongs to a customer without transactions",
        """SELECT customer_id, id::text FROM ledger.lots l WHERE NOT EXISTS (
             SELECT FROM ledger.transactions t WHERE t.customer_id = l.customer_id)""",
    ),
    (
        "posting",
        "is missing before it",
        """SELECT customer_id, format('version %s, seq %s', version, max(seq))
           FROM ledger.postings GROUP BY customer_id, version HAVING max(seq) <> count(*)""",
    ),
    (
        "hold",
        "belongs to a customer without transactions",
        """SELECT customer_id, id::text FROM ledger.holds h WHERE NOT EXISTS (
             SELECT FROM ledger.transactions t WHERE t.customer_id = h.customer_id)""",
    ),
    (
        "source",
        "is not that of its transaction",
        """SELECT t.customer_id, t.source FROM ledger.transactions t
           WHERE t.source IS NOT NULL AND NOT EXISTS (
               SELECT FROM ledger.sources s
               WHERE s.source = t.source AND s.transaction_id = t.id
                 AND s.customer_id = t.customer_id)
           UNION ALL
           SELECT s.customer_id, s.source FROM ledger.sources s
           WHERE NOT EXISTS (
               SELECT FROM ledger.transactions t
               WHERE t.id = s.transaction_id AND t.customer_id = s.customer_id)""",
    ),
    (
        "transfer",
        "took other points than it brought",
        """SELECT min(t.customer_id::text)::uuid, t.operation_id::text
           FROM ledger.transactions t JOIN ledger.postings p USING (customer_id, version)
           WHERE p.kind = 'transfer' GROUP BY t.operation_id
           HAVING sum(CASE p.credit WHEN 'clearing' THEN p.amount ELSE -p.amount END) <> 0""",
    ),
)
"""Checks of the whole, each one query: what, what is wrong with it, who and which."""


class Finding(Struct, frozen=True):
    """One thing that is wrong: `what` (transaction, balance, lot …), `which`, and how."""

    what: str
    customer_id: UUID
    which: str
    detail: str

    def __str__(self) -> str:
        return f"{self.what} {self.which} of customer {self.customer_id}: {self.detail}"


class Report(Struct):
    """What an audit saw."""

    customers: int = 0
    transactions: int = 0
    postings: int = 0
    findings: list[Finding] = []

    @property
    def clean(self) -> bool:
        return not self.findings


class Customer(Struct):
    """A customer as the tables have it."""

    id: UUID
    history: list[Transaction]
    balance: CustomerState | None
    lots: dict[UUID, Lot]
    holds: dict[UUID, Hold]


MAX_FINDINGS = 1000


async def audit(connection: Connection, progress: Callable[[int], None] | None = None) -> Report:
    """Check everything there is in one snapshot. `progress` hears how many customers are done."""
    report = Report()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for customer in read_customers(connection):
            report.customers += 1
            report.transactions += len(customer.history)
            report.postings += sum(len(one.postings) for one in customer.history)
            if len(report.findings) < MAX_FINDINGS:
                report.findings += check(customer)
            if progress is not None and report.customers % CHUNK == 0:
                progress(report.customers)
        for what, detail, query in _WHOLE:
            for row in await connection.fetch(f"{query} LIMIT 100"):
                report.findings.append(Finding(what, row[0], row[1], detail))
    if progress is not None:
        progress(report.customers)
    return report


async def read_customers(connection: Connection) -> AsyncIterator[Customer]:
    """Every customer that has transactions, by id."""
    last = UUID(int=0)
    while ids := [row[0] for row in await connection.fetch(_CUSTOMERS, last, CHUNK)]:
        last = ids[-1]
        for customer in await read_some(connection, ids):
            yield customer


async def read_some(connection: Connection, ids: list[UUID]) -> list[Customer]:
    """The customers of `ids`, in that order, with their whole history."""
    history = groupby(
        read_transactions(await connection.fetch(_JOURNAL, ids)), lambda one: one.customer_id
    )
    found = {one: Customer(one, [], None, {}, {}) for one in ids}
    for one, transactions in history:
        found[one].history = list(transactions)
    for row in await connection.fetch(_BALANCES, ids):
        found[row[0]].balance = balance_state(row)
    for row in await connection.fetch(_LOTS, ids):
        found[row[0]].lots[row[1]] = read_lot(row)
    for row in await connection.fetch(_HOLDS, ids):
        found[row[0]].holds[row[1]] = read_hold(row)
    return list(found.values())


def fold(customer_id: UUID, history: list[Transaction]) -> CustomerState:
    """The state that a history leads to. Raises Impossible."""
    state = CustomerState(customer_id)
    for transaction in history:
        state.apply(transaction)
    return state


def check(customer: Customer) -> list[Finding]:
    """Everything wrong with one customer; of the history the first wrong transaction only."""
    state = CustomerState(customer.id)
    findings = _check_history(customer, state)
    findings += _check_balance(customer, None if findings else state)
    findings += _differences("lot", customer, customer.lots, state.lots)
    findings += _differences("hold", customer, customer.holds, state.holds)
    return findings


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
    if state is not None and row.next_due != state.due():
        detail = f"is next due at {row.next_due}, but its lots and holds say {state.due()}"
        return [Finding("balance", customer.id, "", detail)]
    return []


def _differences(
    what: str, customer: Customer, there: Mapping[UUID, object], folded: Mapping[UUID, object]
) -> list[Finding]:
    findings: list[Finding] = []
    for one in sorted({*there, *folded}):
        row, due = there.get(one), folded.get(one)
        if row != due:
            detail = "is missing" if row is None else f"is {row}, but the journal says {due}"
            findings.append(Finding(what, customer.id, str(one), detail))
    return findings
