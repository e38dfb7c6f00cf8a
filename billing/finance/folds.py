"""From sums of flows to the lines of a report: pure, integers of 1/100 points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from billing.catalog.model import CatalogSnapshot
from billing.finance.query import Dimension
from ledger.flows import CUSTOMER_ACCOUNTS, Account
from ledger.selection import Dimension as LedgerDimension
from ledger.selection import Movement, movement_of, owed_change
from ledger.sums import FlowSum
from ledger.totals import order

Key = tuple[Any, ...]
OWED: Final[tuple[Account, ...]] = ("available", "deferred", "held", "debt")


def ledger_dimensions(by: Sequence[Dimension]) -> tuple[LedgerDimension, ...]:
    """What the ledger is to be asked by: of store groups it knows nothing, of stores it does."""
    names: list[LedgerDimension] = []
    for name in by:
        asked: LedgerDimension = "store" if name == "store_group" else name
        if asked not in names:
            names.append(asked)
    return tuple(names)


def regrouped(
    flows: Iterable[FlowSum], by: Sequence[Dimension], catalog: CatalogSnapshot
) -> list[FlowSum]:
    """Flows by the ledger's dimensions, as flows by those that were asked for."""
    if "store_group" not in by:
        return list(flows)
    place = {name: at for at, name in enumerate(ledger_dimensions(by))}
    sums: dict[Key, list[int]] = {}
    for flow in flows:
        key = tuple(
            _group_of(flow.dimensions[place["store"]], catalog)
            if name == "store_group"
            else flow.dimensions[place[name]]
            for name in by
        )
        total = sums.setdefault((flow.kind, flow.debit, flow.credit, key), [0, 0])
        total[0] += flow.amount
        total[1] += flow.count
    return [FlowSum(*flow, *total) for flow, total in sums.items()]


def _group_of(store: str | None, catalog: CatalogSnapshot) -> str | None:
    shop = catalog.stores.get(store) if store is not None else None
    return shop.group if shop is not None else None


class Liability(msgspec.Struct):
    """What the house owes: what it owed, what moved it, what it owes now.

    opening + accrued - redeemed - expired + adjusted + transferred = closing. `accrued` is net of
    what returned goods took back, `redeemed` of what they restored; `activated` moved within it.
    `by_account` are the parts of `closing`; a debt has a minus.
    """

    opening: int = 0
    accrued: int = 0
    activated: int = 0
    redeemed: int = 0
    expired: int = 0
    adjusted: int = 0
    transferred: int = 0
    by_account: dict[Account, int] = msgspec.field(default_factory=dict)

    @property
    def closing(self) -> int:
        return (
            self.opening
            + self.accrued
            - self.redeemed
            - self.expired
            + self.adjusted
            + self.transferred
        )


_TAKES: Final[frozenset[Movement]] = frozenset(("redeemed", "expired"))


def roll_forward(
    opening: Iterable[FlowSum], period: Iterable[FlowSum]
) -> list[tuple[Key, Liability]]:
    """A line for each combination of dimensions, in their order."""
    lines: dict[Key, Liability] = {}
    for flow in opening:
        line = lines.setdefault(flow.dimensions, Liability())
        line.opening += owed_change(flow.debit, flow.credit, flow.amount)
        _into_accounts(line, flow)
    for flow in period:
        line = lines.setdefault(flow.dimensions, Liability())
        movement = movement_of(flow.kind, flow.debit, flow.credit)
        if movement is not None:
            change = owed_change(flow.debit, flow.credit, flow.amount)
            if movement == "activated":
                change = flow.amount
            elif movement in _TAKES:
                change = -change
            setattr(line, movement, getattr(line, movement) + change)
        _into_accounts(line, flow)
    return in_order(lines)


def _into_accounts(line: Liability, flow: FlowSum) -> None:
    for account, amount in ((flow.debit, -flow.amount), (flow.credit, flow.amount)):
        if account in CUSTOMER_ACCOUNTS:
            line.by_account[account] = line.by_account.get(account, 0) + amount


class ProgramSums(msgspec.Struct):
    """What a program gave and what became of it; `outstanding` is all that is left of it now."""

    issued: int = 0
    revoked: int = 0
    redeemed: int = 0
    restored: int = 0
    expired: int = 0
    adjusted: int = 0
    transferred: int = 0
    outstanding: int = 0
    postings: int = 0

    @property
    def redemption_rate(self) -> str | None:
        """Net redeemed over net issued, four decimals; None when nothing was issued."""
        issued = self.issued - self.revoked
        if issued <= 0:
            return None
        return f"{Decimal(self.redeemed - self.restored) / issued:.4f}"


_KINDS: Final[Mapping[str, str]] = {
    "accrue": "issued",
    "revoke": "revoked",
    "redeem": "redeemed",
    "capture": "redeemed",
    "restore": "restored",
    "expire": "expired",
}


def by_program(
    opening: Iterable[FlowSum], period: Iterable[FlowSum]
) -> list[tuple[Key, ProgramSums]]:
    """A line for each combination of dimensions, in their order."""
    lines: dict[Key, ProgramSums] = {}
    for flow in opening:
        line = lines.setdefault(flow.dimensions, ProgramSums())
        line.outstanding += owed_change(flow.debit, flow.credit, flow.amount)
    for flow in period:
        line = lines.setdefault(flow.dimensions, ProgramSums())
        change = owed_change(flow.debit, flow.credit, flow.amount)
        line.outstanding += change
        line.postings += flow.count
        name = _KINDS.get(flow.kind)
        if name is not None:
            setattr(line, name, getattr(line, name) + flow.amount)
        elif flow.kind == "transfer":
            line.transferred += change
        else:
            line.adjusted += change
    return in_order(lines)


def in_order(lines: Mapping[Key, Any]) -> list[tuple[Key, Any]]:
    """Lines by their dimensions; what has none of one stands behind those that have."""
    return sorted(lines.items(), key=lambda line: order(line[0]))


def added_up(rows: Iterable[Sequence[Any]], adds: Callable[[int], bool]) -> Sequence[Any] | None:
    """The columns for which `adds`, added up; the others are empty."""
    total: list[Any] | None = None
    for row in rows:
        if total is None:
            total = [value if adds(at) else None for at, value in enumerate(row)]
        else:
            total = [was + row[at] if adds(at) else None for at, was in enumerate(total)]
    return total
