"""A return as billing.returns keeps it: lines, and from which lots their points were taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from billing.common.money import format_amount
from billing.receipts.schemas import Quantity
from billing.returns.store import KeptLine, KeptLot, KeptPoints
from billing.returns.taking import Taking


def kept(
    returned: Mapping[int, int], restored: Mapping[int, int], taken: Iterable[Taking]
) -> tuple[KeptLine, ...]:
    """The lines returned, then those that only give what rounding had left with them."""
    revoked: dict[int, list[KeptPoints]] = {number: [] for number in returned}
    for taking in taken:
        lots = [
            KeptLot(one.lot, one.group, format_amount(one.points), format_amount(one.lapsed))
            for one in taking.lots
        ]
        for number, points in taking.by_line.items():
            entry = KeptPoints(taking.earned.program, format_amount(points), lots)
            revoked.setdefault(number, []).append(entry)
            lots = []
    return tuple(
        KeptLine(
            number,
            Quantity(returned.get(number, 0)).text(),
            format_amount(restored.get(number, 0)),
            points,
        )
        for number, points in revoked.items()
    )
