"""The returns' queries, and how lines are kept in billing.returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from billing.common.db import Database
from billing.common.money import read_stored
from billing.common.wire import encode
from billing.receipts.schemas import Quantity
from billing.returns.model import Given
from ledger.commands import Fact, Reading, Row, Statement

_INSERT = Statement(
    "billing.returns",
    """
INSERT INTO billing.returns
    (id, customer_id, receipt_id, channel, store, number, occurred_at, recorded_at, revoked,
     restored, lines)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
    $8::timestamptz[], $9::bigint[], $10::bigint[], $11::jsonb[])
""",
    11,
)

_GIVEN = Reading(
    "returns",
    """
SELECT r.customer_id, r.receipt_id::text, r.lines::text
FROM unnest($1::uuid[], $2::text[]) AS want (customer_id, name)
JOIN billing.returns r ON r.customer_id = want.customer_id AND r.receipt_id = want.name::uuid
ORDER BY r.customer_id, r.receipt_id, r.recorded_at, r.id
""",
)

_SALE = """
SELECT r.id, r.customer_id, r.channel, r.store, r.number, r.occurred_at, r.redeemed, r.paid_by,
       r.lines::text AS lines, r.programs::text AS programs,
       (SELECT p.transaction_id FROM ledger.sources p WHERE p.source = $2) AS paid_by_claim
FROM ledger.sources s
JOIN billing.receipts r ON r.id = s.transaction_id AND r.customer_id = s.customer_id
WHERE s.source = $1
"""

_FIELDS = """
r.id, r.customer_id, r.receipt_id, r.channel, r.store, r.number, r.occurred_at, r.recorded_at,
r.revoked, r.restored, r.lines::text AS lines
"""

_RETURN = f"""
SELECT {_FIELDS}, s.number AS receipt_number, s.channel AS receipt_channel,
       s.store AS receipt_store
FROM ledger.sources n
JOIN billing.returns r ON r.id = n.transaction_id AND r.customer_id = n.customer_id
LEFT JOIN billing.receipts s ON s.id = r.receipt_id AND s.customer_id = r.customer_id
WHERE n.source = ANY($1::text[])
"""

_OF_RECEIPT = f"""
SELECT {_FIELDS} FROM billing.returns r
WHERE r.customer_id = $1 AND r.receipt_id = $2 ORDER BY r.recorded_at, r.id
"""


# Amounts stay text: a long receipt under many programs has a hundred thousand of them.


class KeptLot(msgspec.Struct, array_like=True):
    """Points taken from a lot and product group; `lapsed` of them had expired unused."""

    lot: UUID
    group: str | None
    points: str
    lapsed: str = "0.00"


class KeptPoints(msgspec.Struct):
    """Of what a program gave for a line. The lots, of all lines, stand with the first of them."""

    program: str | None
    points: str
    lots: list[KeptLot]


class KeptLine(msgspec.Struct):
    """A line as billing.returns keeps it. Quantity "0": what rounding had left with a line that
    came back earlier."""

    line: int
    quantity: str
    points_restored: str
    accruals_revoked: list[KeptPoints]


_KEPT = msgspec.json.Decoder(list[KeptLine])


def return_row(*values: Any) -> Row:
    """A row of billing.returns, written in the ledger's own transaction."""
    return (_INSERT, values)


def kept_json(lines: Sequence[KeptLine]) -> str:
    return encode(lines).decode()


def kept_lines(text: str) -> list[KeptLine]:
    return _KEPT.decode(text)


def given_fact(customer_id: UUID, receipt_id: UUID) -> Fact:
    """Where a plan finds the lines of earlier returns: a row (lines,) each."""
    return Fact(_GIVEN, customer_id, str(receipt_id))


def given_by(rows: Iterable[Sequence[str]]) -> Given:
    """What the returns in the rows of `given_fact` took back."""
    given = Given(0, Counter(), Counter(), Counter(), Counter())
    count = 0
    for (text,) in rows:
        count += 1
        for line in kept_lines(text):
            given.quantities[line.line] += Quantity.from_wire(line.quantity)
            for revoked in line.accruals_revoked:
                given.points[revoked.program, line.line] += read_stored(revoked.points)
                for part in revoked.lots:
                    given.cells[part.lot, part.group] += read_stored(part.points)
                    given.lapsed[part.lot] += read_stored(part.lapsed)
    return msgspec.structs.replace(given, count=count)


async def read_sale(database: Database, sale: str, payment: str) -> asyncpg.Record | None:
    """The receipt with the natural key `sale`; `paid_by_claim` is the transaction that holds the
    natural key `payment`."""
    rows = await database.fetch(_SALE, sale, payment)
    return rows[0] if rows else None


async def read_return(database: Database, sources: Sequence[str]) -> asyncpg.Record | None:
    rows = await database.fetch(_RETURN, list(sources))
    return rows[0] if rows else None


async def read_returns(
    database: Database, customer_id: UUID, receipt_id: UUID
) -> list[asyncpg.Record]:
    """The returns of a receipt, oldest first."""
    return await database.fetch(_OF_RECEIPT, customer_id, receipt_id)


def return_source(channel: str, store: str | None, number: str) -> str:
    """The natural key of a return: one per store (or channel without stores) and number."""
    return f"return/s/{store}/{number}" if store is not None else f"return/c/{channel}/{number}"
