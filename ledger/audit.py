"""The ledger proves itself: chains, histories and projections, folded anew and compared.

Reads one snapshot, so that tills may go on. Findings name the row that is wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
from ledger.screening import IN_ORDER, Screened, See, Stretch, screen, stretches
from ledger.seals import store as seals
from ledger.seals.comparing import Comparison
from ledger.seals.model import CHAINS, Chain, Head, beginning, commit_of
from ledger.seals.streams import AS_USUAL, customer_entries
from ledger.seals.verifying import Trusted, Verified, verify, verify_rows
from ledger.sharing import Job, share
from ledger.sql import HOLD_COLUMNS, LOT_COLUMNS, POSTING_COLUMNS
from ledger.state import CustomerState, Impossible
from ledger.walls import broken_walls
from ledger.wholes import (
    OF_CUSTOMERS,
    OF_STRANGERS,
    ORPHANS,
    POSTINGS,
    SOURCES,
    SOURCES_SOUND,
    WHOLES,
    Check,
)

CHUNK = 500
_FLOWS = frozenset(FLOWS)
Place = tuple[str | None, str | None]

_CUSTOMERS = """
SELECT DISTINCT customer_id FROM ledger.transactions
WHERE customer_id > $1 ORDER BY customer_id LIMIT $2
"""
_TOUCHED = """
SELECT DISTINCT customer_id FROM ledger.transactions
WHERE xid >= $3 AND customer_id > $1 ORDER BY customer_id LIMIT $2
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


class Scope(Struct, frozen=True):
    """What to audit: all there is; what came after the heads of an earlier audit (`since`, with
    the whole history of the customers it touched); or one customer."""

    since: Mapping[Chain, Head] | None = None
    customer: UUID | None = None


WHOLE: Final = Scope()


class Report(Struct):
    """What an audit saw. `heads` are the ends of the chains, `unsealed` what they have not yet."""

    customers: int = 0
    transactions: int = 0
    postings: int = 0
    blocks: int = 0
    heads: dict[Chain, Head] = {}
    unsealed: dict[Chain, int] = {}
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
PARTS = 8
"""A whole audit takes customers in so many parts, for connections that share the work."""

Told = Callable[[str, int], None]
"""Hears which stage the audit is at (a chain, `customers`), and how much of it is done."""


async def audit(
    connection: Connection,
    tell: Told = lambda stage, done: None,
    *,
    scope: Scope = WHOLE,
    trusted: Trusted | None = None,
    beside: Sequence[Connection] = (),
) -> Report:
    """Check what `scope` says in one snapshot.

    With connections `beside` the server reads for one of them while rows of another are looked at.
    """
    report = Report()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL jit = off")
        report.findings += await broken_walls(connection)
        if scope.customer is not None:
            await _audit_one(connection, scope.customer, report)
            return report
        since = scope.since
        if since is None:
            await _audit_all([connection, *beside], trusted, report, tell)
        else:
            for chain in CHAINS:
                await _audit_chain(connection, chain, since[chain], trusted, report, tell)
            async for ids in _touched(connection, commit_of(since["journal"].until)):
                await _audit_customers(connection, report, tell, ids)
    return report


async def _audit_all(
    connections: Sequence[Connection], trusted: Trusted | None, report: Report, tell: Told
) -> None:
    """Rows are read once, as is quickest: the journal's digests are taken while customers are
    folded. Only a chain that does not agree is compared in its own order, to name what differs."""
    connection, *beside = connections
    journal = await Comparison.begin(connection, "journal")

    async def of_blocks(connection: Connection) -> None:
        await journal.blocks(connection, trusted)

    async def of_answers(connection: Connection) -> None:
        await _audit_chain(connection, "answers", beginning("answers"), trusted, report, tell)

    async def of_wholes(connection: Connection) -> None:
        await _audit_wholes(connection, report)

    def of_customers(whom: Stretch) -> Job:
        return lambda connection: _audit_customers(connection, report, tell, whom, journal.see)

    parts = await stretches(connection, PARTS)
    alone = [of_blocks, of_answers, of_wholes]
    await share(connection, beside, [*alone, *map(of_customers, parts)])
    if journal.agrees():
        _add(report, journal.seen)
    else:
        await _audit_chain(connection, "journal", beginning("journal"), trusted, report, tell)
    await _audit_orphans(connection, report)


async def _audit_chain(
    connection: Connection,
    chain: Chain,
    after: Head,
    trusted: Trusted | None,
    report: Report,
    tell: Told,
) -> None:
    """Compare a chain with its rows, one by one."""
    async with connection.transaction():
        seen = await verify(
            connection, chain, after=after, trusted=trusted, progress=lambda n: tell(chain, n)
        )
        # How the planner was told to read a stream is not meant for what follows.
        await connection.execute(AS_USUAL)
    _add(report, seen)


def _add(report: Report, seen: Verified) -> None:
    chain = seen.head.chain
    report.blocks += seen.blocks
    report.heads[chain] = seen.head
    report.unsealed[chain] = seen.unsealed
    report.findings += seen.findings


async def _audit_customers(
    connection: Connection,
    report: Report,
    tell: Told,
    whom: Sequence[UUID] | Stretch,
    see: See | None = None,
) -> None:
    """Screen customers, and look closely at whom that does not find right."""
    await connection.execute(IN_ORDER)
    async for seen in screen(connection, whom, see):
        report.customers += seen.customers
        report.transactions += seen.transactions
        report.postings += seen.postings
        if (seen.suspects or seen.strangers) and len(report.findings) < MAX_FINDINGS:
            report.findings += await _look_closely(connection, seen)
        tell("customers", report.customers)
        if see is not None:
            tell("journal", report.transactions)
    await connection.execute(AS_USUAL)


async def _look_closely(connection: Connection, seen: Screened) -> list[Finding]:
    findings: list[Finding] = []
    for customer in await read_some(connection, seen.suspects):
        findings += check(customer)
    findings += await _ask(connection, OF_CUSTOMERS, seen.suspects)
    return findings + await _ask(connection, OF_STRANGERS, seen.strangers)


async def _ask(
    connection: Connection, checks: Sequence[Check], ids: Sequence[UUID]
) -> list[Finding]:
    return [
        Finding(what, row[0], row[1], detail)
        for what, detail, query in checks
        if ids
        for row in await connection.fetch(query, ids)
    ]


async def _audit_wholes(connection: Connection, report: Report) -> None:
    """What can only be seen of all rows together."""
    for check in WHOLES:
        if check is not SOURCES or not await connection.fetchval(SOURCES_SOUND):
            await _look_for(connection, check, report)


async def _audit_orphans(connection: Connection, report: Report) -> None:
    """Postings without a transaction, when there are more of them than were seen."""
    if await connection.fetchval(POSTINGS) != report.postings:
        await _look_for(connection, ORPHANS, report)


async def _look_for(connection: Connection, check: Check, report: Report) -> None:
    what, detail, query = check
    for row in await connection.fetch(f"{query} LIMIT 100"):
        report.findings.append(Finding(what, row[0], row[1], detail))


async def _audit_one(connection: Connection, customer_id: UUID, report: Report) -> None:
    """One customer by the closer look alone, and each transaction in its block."""
    (customer,) = await read_some(connection, [customer_id])
    report.customers = 1 if customer.history else 0
    report.transactions = len(customer.history)
    report.postings = sum(len(one.postings) for one in customer.history)
    if customer.history:
        report.findings += await _look_closely(connection, Screened(suspects=[customer_id]))
    entries = await customer_entries(connection, customer_id)
    report.unsealed["journal"], findings = await verify_rows(connection, "journal", entries)
    report.findings += findings
    report.heads["journal"] = await seals.head(connection, "journal")


async def _touched(connection: Connection, commit: int) -> AsyncIterator[list[UUID]]:
    """Whose transactions were written from a commit on, some at a time, by id."""
    last = UUID(int=0)
    while rows := await connection.fetch(_TOUCHED, last, CHUNK, commit):
        last = rows[-1][0]
        yield [row[0] for row in rows]


async def read_customers(connection: Connection) -> AsyncIterator[Customer]:
    """Every customer that has transactions, by id."""
    last = UUID(int=0)
    while rows := await connection.fetch(_CUSTOMERS, last, CHUNK):
        last = rows[-1][0]
        for customer in await read_some(connection, [row[0] for row in rows]):
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
