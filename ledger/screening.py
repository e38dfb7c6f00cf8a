"""A quick look at whole histories: which customers need a closer one.

The audit folds each customer with the very code that posts. That names what is wrong, but makes an
object of every posting and lot. Here rows come as the bytes that are sealed, all customers in one
stream, so that the same bytes are added up (`folding`) and have their digest taken. Whoever is not
found right in every respect is folded again slowly: a suspicion costs time only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from ledger.folding import LOT_FIELDS, Fold, Forms
from ledger.load import Connection
from ledger.seals.canonical import FORM, HEAD, OF_POSTING, OF_TRANSACTION, POSTING
from ledger.seals.model import JOURNAL_HEAD, Entry

_TRANSACTIONS: Final = f"""
SELECT {HEAD}, {FORM} FROM ledger.transactions t WHERE {{t}} ORDER BY t.customer_id, t.version
"""
_POSTINGS: Final = f"""
SELECT {POSTING} FROM ledger.postings p WHERE {{p}} ORDER BY p.customer_id, p.version, p.seq
"""
_BALANCES: Final = """
SELECT uuid_send(b.customer_id), b.version, timestamptz_send(b.recorded_at),
       timestamptz_send(b.next_due), b.available, b.promo, b.deferred, b.held, b.debt
FROM ledger.balances b WHERE {b} AND b.version + b.available + b.deferred + b.held + b.debt > 0
ORDER BY b.customer_id
"""
_LOTS: Final = f"""
SELECT record_send(ROW({LOT_FIELDS})) FROM ledger.lots l WHERE {{l}} ORDER BY l.customer_id
"""
_HOLDS: Final = """
SELECT uuid_send(h.customer_id), uuid_send(h.id), h.status, timestamptz_send(h.expires_at), h.lots,
       h.amounts, h.captured, h.channel, h.store
FROM ledger.holds h WHERE {h} ORDER BY h.customer_id
"""
_PAGE: Final = 500
ALL, OF_LOT = slice(None), slice(12, 28)
"""Where a row's customer stands in its first column."""
_TRANSACTION_OF: Final = itemgetter(OF_POSTING)
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
    transactions = await _cursor(connection, _TRANSACTIONS, whom)
    postings = _Postings(await _cursor(connection, _POSTINGS, whom))
    beside = [
        _Beside(await _cursor(connection, query, whom), where)
        for query, where in ((_BALANCES, ALL), (_LOTS, OF_LOT), (_HOLDS, ALL))
    ]
    forms, fold = Forms(), None
    while rows := await transactions.fetch(_PAGE):
        seen = Screened()
        entries: list[Entry] = []
        for head, form in rows:
            customer = head[28:44]
            if fold is None or customer != fold.customer:
                if fold is not None:
                    await _finish(fold, beside, seen)
                fold = Fold(customer, forms)
            transaction = head[OF_TRANSACTION]
            its = postings.at_hand(transaction) or await postings.of(transaction)
            fold.follow(head, form, its)
            if see is not None:
                entries.append(_entry(head, form, its))
        if see is not None:
            see(entries)
        yield seen
    last = Screened()
    if fold is not None:
        await _finish(fold, beside, last)
    for one in beside:
        last.strangers += [UUID(bytes=customer) for customer in await one.strangers()]
    yield last


async def _finish(fold: Fold, beside: Sequence[_Beside], seen: Screened) -> None:
    """All of a customer's history is there: compare it with what stands beside."""
    balances, lots, holds = [await one.of(fold.customer) for one in beside]
    seen.customers += 1
    seen.transactions += fold.version
    seen.postings += fold.postings
    balance = balances[0][1:] if balances else None
    packed = [one[0] for one in lots]
    if not (fold.right and fold.agrees(balance, packed, {one[1]: [*one[2:]] for one in holds})):
        seen.suspects.append(UUID(bytes=fold.customer))


def _entry(head: bytes, form: bytes, postings: Sequence[bytes]) -> Entry:
    digest = sha256(b"".join((head, form, *postings))).digest()
    return b"".join((JOURNAL_HEAD, head[12:20], head[28:44], head[52:60], digest))


class _Postings:
    """Postings by transaction, read along with them. What belongs to none is passed over."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._groups: list[tuple[bytes, list[bytes]]] = []
        self._over = False

    def at_hand(self, transaction: bytes) -> list[bytes] | None:
        """The postings of a transaction, when they are the next and all in this page."""
        groups = self._groups
        if len(groups) > 1 and groups[-1][0] == transaction:
            return groups.pop()[1]
        return None

    async def of(self, transaction: bytes) -> list[bytes]:
        """The postings of a transaction, which comes after all that were asked for before."""
        found: list[bytes] = []
        while self._groups or await self._read():
            of, postings = self._groups[-1]
            if of > transaction:
                break
            self._groups.pop()
            if of == transaction:
                # Those that a page cuts off go on with the next one.
                found = [*found, *postings] if found else postings
        return found

    async def _read(self) -> bool:
        if not self._over:
            rows = [row[0] for row in await self._cursor.fetch(3 * _PAGE)]
            self._groups = [(of, list(its)) for of, its in groupby(rows, _TRANSACTION_OF)]
            self._groups.reverse()
            self._over = not rows
        return bool(self._groups)


class _Beside:
    """Rows of a table by customer, read along with the histories."""

    def __init__(self, cursor: Any, where: slice) -> None:
        self._cursor = cursor
        self._where = where
        self._rows: list[Any] = []
        self._strangers: list[bytes] = []
        self._over = False

    async def of(self, customer: bytes) -> list[Any]:
        """The rows of a customer, who comes after all that were asked for before."""
        found: list[Any] = []
        while self._rows or await self._read():
            one = self._rows[-1][0][self._where]
            if one > customer:
                break
            row = self._rows.pop()
            if one == customer:
                found.append(row)
            elif len(self._strangers) < MAX_STRANGERS:
                self._strangers.append(one)
        return found

    async def strangers(self) -> list[bytes]:
        """Whom nobody asked for; the first ones."""
        while self._rows or (len(self._strangers) < MAX_STRANGERS and await self._read()):
            self._strangers += [row[0][self._where] for row in reversed(self._rows)]
            self._rows = []
        return self._strangers[:MAX_STRANGERS]

    async def _read(self) -> bool:
        if not self._over:
            self._rows = (await self._cursor.fetch(_PAGE))[::-1]
            self._over = not self._rows
        return bool(self._rows)


async def _cursor(connection: Connection, query: str, whom: Sequence[UUID] | Stretch) -> Any:
    condition = "{}.customer_id = ANY($1)"
    arguments: list[object] = [whom]
    if isinstance(whom, Stretch):
        condition, arguments = "{}.customer_id BETWEEN $1 AND $2", list(whom)
    asked = {name: condition.format(name) for name in "tpblh"}
    return await connection.cursor(query.format(**asked), *arguments)
