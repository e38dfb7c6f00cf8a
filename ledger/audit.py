"""The ledger proves itself: chains, histories and projections, folded anew and compared.

Reads one snapshot, so that tills may go on. Findings name the row that is wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from ledger.closer import CHUNK, look_closely
from ledger.findings import Finding
from ledger.load import Connection
from ledger.screening import IN_ORDER, See, Stretch, screen, stretches
from ledger.seals import store as seals
from ledger.seals.comparing import Comparison
from ledger.seals.model import CHAINS, Chain, Head, beginning, commit_of
from ledger.seals.streams import AS_USUAL, customer_entries
from ledger.seals.verifying import Trusted, Verified, verify, verify_rows
from ledger.sharing import Job, share
from ledger.walls import broken_walls
from ledger.wholes import of_all_rows, orphans

_TOUCHED = """
SELECT DISTINCT customer_id FROM ledger.transactions
WHERE xid >= $3 AND customer_id > $1 ORDER BY customer_id LIMIT $2
"""

_OF_ONE = """
SELECT least(count(*), 1), count(*),
       (SELECT count(*) FROM ledger.postings WHERE customer_id = $1)
FROM ledger.transactions WHERE customer_id = $1
"""


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
        await connection.execute(AS_USUAL)
        report.findings += await of_all_rows(connection)

    def of_customers(whom: Stretch) -> Job:
        return lambda connection: _audit_customers(connection, report, tell, whom, journal.see)

    parts = await stretches(connection, PARTS)
    alone = [of_blocks, of_answers, of_wholes]
    await share(connection, beside, [*alone, *map(of_customers, parts)])
    if journal.agrees():
        _add(report, journal.seen)
    else:
        await _audit_chain(connection, "journal", beginning("journal"), trusted, report, tell)
    report.findings += await orphans(connection, report.postings)


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
        for at in range(0, max(len(seen.suspects), len(seen.strangers)), CHUNK):
            if len(report.findings) < MAX_FINDINGS:
                closer = seen.suspects[at : at + CHUNK], seen.strangers[at : at + CHUNK]
                report.findings += await look_closely(connection, *closer)
        tell("customers", report.customers)
        if see is not None:
            tell("journal", report.transactions)
    await connection.execute(AS_USUAL)


async def _audit_one(connection: Connection, customer_id: UUID, report: Report) -> None:
    """One customer by the closer look alone, and each transaction in its block."""
    for counts in await connection.fetch(_OF_ONE, customer_id):
        report.customers, report.transactions, report.postings = counts
    if report.customers:
        report.findings += await look_closely(connection, [customer_id])
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
