"""What a return moved, as its postings and its kept lines tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from billing.common.money import format_amount, read_stored
from billing.returns.store import KeptLine
from ledger.model import Posting

Document = dict[str, object]


class Totals(msgspec.Struct, frozen=True):
    """In 1/100; see `schemas.ReturnOut`."""

    revoked: int
    restored: int
    reissued: int
    debt: int
    forgiven: int
    expired: int

    def document(self) -> Document:
        return {name: format_amount(value) for name, value in msgspec.structs.asdict(self).items()}


def totals_of(postings: Sequence[Posting], lines: Iterable[KeptLine], *, by_hand: bool) -> Totals:
    """The totals of a return. One `by_hand` moves points by adjusting alone."""
    given = sum(p.amount for p in postings if (p.kind, p.debit) == ("adjust", "adjustment"))
    if by_hand:
        taken = sum(p.amount for p in postings if p.credit == "adjustment")
        return Totals(taken, given, 0, 0, 0, 0)
    parts = [part for line in lines for one in line.accruals_revoked for part in one.lots]
    expired = sum(read_stored(part.lapsed) for part in parts)
    revoked = sum(p.amount for p in postings if p.kind == "revoke")
    forgiven = sum(p.amount for p in postings if (p.kind, p.credit) == ("forgive", "debt"))
    return Totals(
        revoked=revoked - forgiven,
        restored=sum(p.amount for p in postings if p.kind == "restore"),
        reissued=given,
        debt=sum(p.amount for p in postings if (p.kind, p.debit) == ("revoke", "debt")) - forgiven,
        forgiven=forgiven,
        expired=expired,
    )


def line_documents(lines: Iterable[KeptLine]) -> Document:
    """`lines` and `carried` of a return."""
    returned: list[Document] = []
    carried: list[Document] = []
    for line in lines:
        revoked: list[Document] = [
            {"program": one.program, "points": one.points} for one in line.accruals_revoked
        ]
        if line.quantity == "0":
            carried += [{"line": line.line, **one} for one in revoked]
        else:
            returned.append(
                {
                    "line": line.line,
                    "quantity": line.quantity,
                    "points_restored": line.points_restored,
                    "accruals_revoked": revoked,
                }
            )
    return {"lines": returned, "carried": carried}
