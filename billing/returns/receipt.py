"""From a posted receipt to what a return has to know of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

import asyncpg
import msgspec

from billing.common.money import read_stored, split
from billing.common.wire import Amount, read_hook
from billing.programs.book import Book
from billing.programs.model import Basket, Member, ProgramVersion, Situation
from billing.receipts.schemas import Quantity
from billing.returns.model import Earned, Sold, SoldLine
from billing.returns.posting import SoldReceipt


class _Line(msgspec.Struct):
    line: int
    group: str
    quantity: str
    amount: Amount
    points_paid: Amount
    accruals: dict[str, str]
    """Of a long receipt under many programs these are very many: they are read as text."""


class _Accrual(msgspec.Struct):
    program: str | None
    version: int | None
    points: Amount


class UnknownVersion(LookupError):
    """A program version that gave for a receipt is not in the book: perhaps not yet, or this
    release cannot read it."""


_LINES = msgspec.json.Decoder(list[_Line], dec_hook=read_hook)
_ACCRUALS = msgspec.json.Decoder(list[_Accrual], dec_hook=read_hook)


def sold_receipt(
    row: asyncpg.Record, book: Book, timezone: str, *, lenient: bool = False
) -> SoldReceipt:
    """A receipt from its row of `store.read_sale`; `timezone` is that of its place.

    Raises UnknownVersion when a program that gave is not in `book`. `lenient`: what it gave comes
    back all the same, as a debt if it is spent, and nothing is counted back.
    """
    lines = _LINES.decode(row["lines"])
    accruals = _ACCRUALS.decode(row["programs"])
    versions = {one.program: one.version for one in accruals if one.program is not None}
    programs = dict(_published(book, versions, lenient))
    earned = []
    for code, version in versions.items():
        given = {one.line: read_stored(one.accruals[code]) for one in lines if code in one.accruals}
        terms = programs.get(code)
        earned.append(
            Earned(code, version, given)
            if terms is None
            else Earned(code, version, given, terms.rounding.step, terms.on_return)
        )
    stated = [int(one.points) for one in accruals if one.program is None]
    if stated:
        earned.append(Earned(None, None, _by_value(stated, lines)))
    return SoldReceipt(
        row["id"],
        row["customer_id"],
        row["channel"],
        row["store"],
        row["number"],
        _payers(row),
        Sold(tuple(_sold(one) for one in lines), tuple(earned)),
        _situation(row, timezone),
        programs,
    )


def _sold(line: _Line) -> SoldLine:
    return SoldLine(line.line, line.group, Quantity.from_wire(line.quantity), int(line.points_paid))


def _published(
    book: Book, versions: Mapping[str, int | None], lenient: bool
) -> Iterable[tuple[str, ProgramVersion]]:
    for code, number in versions.items():
        found = book.version(code, number or 0)
        if isinstance(found, ProgramVersion):
            yield code, found
        elif not lenient:
            raise UnknownVersion(f"program {code!r} has no published version {number}")


def _by_value(stated: Iterable[int], lines: list[_Line]) -> dict[int, int]:
    """Stated points belong to the lines by value, as the sale spread them over the groups."""
    sums = dict.fromkeys((one.line for one in lines), 0)
    weights = [int(one.amount) for one in lines]
    for points in stated:
        for one, part in zip(lines, split(points, weights), strict=True):
            sums[one.line] += part
    return {number: points for number, points in sums.items() if points}


def _payers(row: asyncpg.Record) -> tuple[UUID, ...]:
    """Transactions before the sale whose points may have paid it. Of receipts from the time
    before `paid_by`, the natural key of the payment tells."""
    if not row["redeemed"]:
        return ()
    found = dict.fromkeys((row["paid_by"], row["paid_by_claim"]))
    return tuple(one for one in found if one is not None and one != row["id"])


def _situation(row: asyncpg.Record, timezone: str) -> Situation:
    """As far as counters look at it: whose, when and where."""
    basket = Basket(row["channel"], row["store"], None, timezone, row["occurred_at"], ())
    return Situation(basket, Member(row["customer_id"]))
