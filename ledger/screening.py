"""A quick look at whole histories: which customers need a closer one.

The audit folds each customer with the very code that posts. That names what is wrong, but makes an
object of every posting and lot. Here rows come as the bytes that are sealed, some customers at a
time, so that the same bytes are added up (`folding`) and have their digest taken. Whoever is not
found right in every respect is folded again slowly: a suspicion costs time only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from ledger.folding import BALANCE_FIELDS, LOT_FIELDS, Hold, Page
from ledger.forms import Forms
from ledger.load import Connection
from ledger.raw import Halves, breathe, raw_halves, raw_rows
from ledger.seals.canonical import POSTING_FIELDS, TRANSACTION_FIELDS, customer_of
from ledger.seals.model import Entry
from ledger.seals.streams import journal_page

_TRANSACTIONS: Final = "FROM ledger.transactions t WHERE t.{whom} ORDER BY t.customer_id, t.version"
_POSTINGS: Final = "FROM ledger.postings p WHERE p.{whom} ORDER BY p.customer_id, p.version, p.seq"
_BALANCES: Final = """
FROM ledger.balances b
WHERE b.{whom} AND (b.version, b.available, b.promo, b.deferred, b.held, b.debt)
    IS DISTINCT FROM (0, 0, 0, 0, 0, 0)
ORDER BY b.customer_id
"""
_LOTS: Final = "FROM ledger.lots l WHERE l.{whom} ORDER BY l.customer_id"
_HOLDS: Final = """
SELECT uuid_send(h.customer_id), uuid_send(h.id), h.status, timestamptz_send(h.expires_at), h.lots,
       h.amounts, h.captured, h.channel, h.store
FROM ledger.holds h WHERE h.{whom} ORDER BY h.customer_id
"""
_PAGE: Final = 8000
"""Transactions read at a time, but for those of one customer."""
_MOST: Final = 200_000
"""Postings read at a time, but for those of one customer."""
_WHOSE: Final = slice(4, 20)
"""The customer in the bytes of a posting."""
MAX_STRANGERS: Final = 1000

IN_ORDER: Final = """
SELECT set_config(name, 'off', true)
FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'jit']) AS name
"""
"""For a transaction that screens: each table by its index, in the order of customers."""

# Of all customers, the planner's sample.
_SAMPLE: Final = """
SELECT coalesce(histogram_bounds, most_common_vals)::text::uuid[] FROM pg_stats
WHERE schemaname = 'ledger' AND tablename = 'transactions' AND attname = 'customer_id'
"""


class Stretch(NamedTuple):
    """Customers from one id to another, both included."""

    first: UUID
    last: UUID


EVERYBODY: Final = Stretch(UUID(int=0), UUID(int=2**128 - 1))

See = Callable[[list[Entry]], None]
"""Hears the entries of the journal's chain that the rows read come to."""


class Screened(Struct):
    """How much was looked at, and who needs a closer look, in order. `strangers` have balances,
    lots or holds, but no transactions."""

    customers: int = 0
    transactions: int = 0
    postings: int = 0
    suspects: list[UUID] = []
    strangers: list[UUID] = []


async def stretches(connection: Connection, count: int) -> list[Stretch]:
    """Everybody in `count` parts of about one size, or in fewer while the planner knows less."""
    sample: list[UUID] = sorted(await connection.fetchval(_SAMPLE) or ())
    bounds = sorted({sample[len(sample) * part // count] for part in range(1, count) if sample})
    lasts = [UUID(int=bound.int - 1) for bound in bounds if bound.int]
    firsts = [UUID(int=last.int + 1) for last in lasts]
    return list(map(Stretch, [EVERYBODY.first, *firsts], [*lasts, EVERYBODY.last]))


async def screen(
    connection: Connection, whom: Sequence[UUID] | Stretch = EVERYBODY, see: See | None = None
) -> AsyncIterator[Screened]:
    """Fold a stretch of customers, or a list of them, some at a time. Runs within a
    transaction."""
    forms, rest = Forms(), _Whom.of(whom)
    strangers = 0
    while rest is not None:
        forms.make_room()
        transactions, postings, some, rest = await _histories(connection, rest)
        page = Page(
            forms,
            transactions,
            postings,
            await raw_rows(connection, LOT_FIELDS, *some.asked(_LOTS)),
            await raw_rows(connection, BALANCE_FIELDS, *some.asked(_BALANCES)),
            await _holds(connection, some),
        )
        for _ in page.fold():
            await breathe()
        if see is not None:
            see(await journal_page(transactions, postings, page.spans))
        seen = Screened(len(page.customers), len(transactions[0]), page.postings)
        seen.suspects = _ids(page.suspects())
        seen.strangers = _ids(sorted(page.strangers)[: MAX_STRANGERS - strangers])
        strangers += len(seen.strangers)
        yield seen


class _Whom(NamedTuple):
    """Customers of a stretch, or all those of a list that are in it."""

    stretch: Stretch
    listed: list[UUID] | None

    @classmethod
    def of(cls, whom: Sequence[UUID] | Stretch) -> _Whom | None:
        if isinstance(whom, Stretch):
            return cls(whom, None)
        return cls(Stretch(min(whom), max(whom)), list(whom)) if whom else None

    def asked(self, query: str) -> tuple[str, *tuple[object, ...]]:
        """A query of them, and its arguments."""
        if self.listed is None:
            return query.format(whom="customer_id BETWEEN $1 AND $2"), *self.stretch
        within = [one for one in self.listed if self.stretch.first <= one <= self.stretch.last]
        return query.format(whom="customer_id = ANY($1::uuid[])"), within

    def up_to(self, last: UUID) -> _Whom:
        return _Whom(Stretch(self.stretch.first, last), self.listed)

    def before(self, customer: bytes) -> _Whom:
        return self.up_to(UUID(int=UUID(bytes=customer).int - 1))

    def after(self, last: UUID) -> _Whom | None:
        if last >= self.stretch.last:
            return None
        return _Whom(Stretch(UUID(int=last.int + 1), self.stretch.last), self.listed)


Histories = tuple[Halves, list[bytes], _Whom, _Whom | None]
"""Transactions and postings; whose they are, and who is left."""


async def _histories(connection: Connection, whom: _Whom) -> Histories:
    """Whole histories, as many as a page takes, but one at least."""
    query, *arguments = whom.asked(_TRANSACTIONS)
    heads, rests = await raw_halves(
        connection, TRANSACTION_FIELDS, f"{query} LIMIT {_PAGE}", *arguments
    )
    some = whom
    if len(heads) == _PAGE:
        last = customer_of(heads[-1])
        whole = bisect_left(heads, last, key=customer_of)
        if not whole:
            return await _history(connection, whom, last)
        some, heads, rests = whom.before(last), heads[:whole], rests[:whole]
    query, *arguments = some.asked(_POSTINGS)
    postings = await raw_rows(connection, POSTING_FIELDS, f"{query} LIMIT {_MOST + 1}", *arguments)
    if len(postings) > _MOST and heads:
        last = postings[-1][_WHOSE]
        whole = bisect_left(heads, last, key=customer_of)
        if not whole:
            return await _history(connection, whom, customer_of(heads[0]))
        some, heads, rests = whom.before(last), heads[:whole], rests[:whole]
        del postings[bisect_left(postings, last, key=itemgetter(_WHOSE)) :]
    return (heads, rests), postings, some, whom.after(some.stretch.last)


async def _history(connection: Connection, whom: _Whom, customer: bytes) -> Histories:
    """All of the first customer's, however much that is."""
    some = whom.up_to(UUID(bytes=customer))
    transactions = await raw_halves(connection, TRANSACTION_FIELDS, *some.asked(_TRANSACTIONS))
    postings = await raw_rows(connection, POSTING_FIELDS, *some.asked(_POSTINGS))
    return transactions, postings, some, whom.after(some.stretch.last)


async def _holds(connection: Connection, whom: _Whom) -> dict[bytes, dict[bytes, Hold]]:
    found: dict[bytes, dict[bytes, Hold]] = {}
    for customer, hold, *columns in await connection.fetch(*whom.asked(_HOLDS)):
        holds = found.setdefault(customer, {})
        # One that is there twice is none.
        holds[hold] = [] if hold in holds else columns
    return found


def _ids(customers: Sequence[bytes]) -> list[UUID]:
    return [UUID(bytes=customer) for customer in customers]
