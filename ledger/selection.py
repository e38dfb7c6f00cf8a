"""Which postings, and by what: the one filter of every list, total and report.

`Terms` makes SQL of it over any relation with the columns of `ledger.postings`, so that a list,
its total and a roll-up cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from msgspec import Struct

from ledger.flows import CUSTOMER_ACCOUNTS, FLOWS, Account, Flow, Kind

Dimension = Literal["channel", "store", "product_group", "program", "program_version", "bucket"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)

TimeAxis = Literal["occurred_at", "recorded_at"]
"""When it happened in the shop, or when it was written down."""

Movement = Literal["accrued", "activated", "redeemed", "expired", "adjusted", "transferred"]
"""What moves a liability, each net of what takes it back; `activated` moves within it."""
MOVEMENTS: Final[tuple[Movement, ...]] = get_args(Movement)

_HOUSE: Final[dict[Account, Movement]] = {
    "issued": "accrued",
    "redeemed": "redeemed",
    "expired": "expired",
    "adjustment": "adjusted",
    "clearing": "transferred",
}


def movement_of(kind: str, debit: str, credit: str) -> Movement | None:
    """What a flow is in a roll-forward; None when it only moves points within a customer's."""
    if kind == "activate":
        return "activated"
    return next((_HOUSE[one] for one in (debit, credit) if one in _HOUSE), None)


def owed_change(debit: str, credit: str, amount: int) -> int:
    """By how much a posting changes what the house owes its customers, debts taken off."""
    return amount * ((credit in CUSTOMER_ACCOUNTS) - (debit in CUSTOMER_ACCOUNTS))


_FLOWS_OF: Final[dict[Movement, tuple[Flow, ...]]] = {
    movement: tuple(flow for flow in FLOWS if movement_of(*flow) == movement)
    for movement in MOVEMENTS
}

Names = tuple[str | None, ...]
"""Any of these; None stands for a posting that has none."""


class Selection(Struct, frozen=True, kw_only=True):
    """Which postings. Times are inclusive but for `before` and `known_before`; None does not
    restrict. `account`: on either side; `liability`: crossing from or to customers' accounts."""

    since: datetime | None = None
    as_of: datetime | None = None
    before: datetime | None = None
    known_since: datetime | None = None
    known_at: datetime | None = None
    known_before: datetime | None = None
    account: Account | None = None
    kind: Kind | None = None
    debit: Account | None = None
    credit: Account | None = None
    liability: bool = False
    movement: Movement | None = None
    customer_id: UUID | None = None
    channel: Names | None = None
    store: Names | None = None
    stores: Names | None = None
    """A second list of stores, such as those of a group."""
    stores_but: Names | None = None
    """Any store but these, or none: what is in no group."""
    product_group: Names | None = None
    product_groups: Names | None = None
    """A second list, such as a group and all that is below it."""
    program: Names | None = None
    program_version: int | None = None
    """0: of those that have none."""
    bucket: Names | None = None
    expires_from: datetime | None = None
    expires_before: datetime | None = None
    expires: bool | None = None
    """False: only of points that live for ever. Expiry is no dimension of the roll-ups."""

    @property
    def of_expiry(self) -> bool:
        """Whether it asks for more than a roll-up can be asked."""
        return any(getattr(self, name) is not None for name, _ in _EXPIRY)


TIMES: Final = (
    ("since", "{p}.occurred_at >= {v}"),
    ("as_of", "{p}.occurred_at <= {v}"),
    ("before", "{p}.occurred_at < {v}"),
    ("known_since", "{p}.recorded_at >= {v}"),
    ("known_at", "{p}.recorded_at <= {v}"),
    ("known_before", "{p}.recorded_at < {v}"),
)
_VALUES: Final = (
    ("account", "({p}.debit = {v} OR {p}.credit = {v})"),
    ("kind", "{p}.kind = {v}"),
    ("debit", "{p}.debit = {v}"),
    ("credit", "{p}.credit = {v}"),
    ("customer_id", "{p}.customer_id = {v}"),
    ("program_version", "coalesce({p}.program_version, 0) = {v}"),
)
_EXPIRY: Final = (
    ("expires_from", "{p}.expires_at >= {v}"),
    ("expires_before", "{p}.expires_at < {v}"),
    ("expires", "({p}.expires_at IS NOT NULL) = {v}"),
)
_LISTS: Final = (
    ("channel", "channel"),
    ("store", "store"),
    ("stores", "store"),
    ("product_group", "product_group"),
    ("product_groups", "product_group"),
    ("program", "program"),
    ("bucket", "bucket"),
)
_CROSSES: Final = (
    "(({p}.debit = ANY({v}::text[])) <> ({p}.credit = ANY({v}::text[])))"  # one side, not both
)


class Terms:
    """Conditions over one or more relations, and the arguments they share."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.values: list[Any] = list(values)

    def mark(self, value: Any) -> str:
        """The parameter that stands for `value`."""
        self.values.append(value)
        return f"${len(self.values)}"

    def all(self, selection: Selection, p: str) -> list[str]:
        """Everything, over postings themselves."""
        expiry = self._those(_EXPIRY, selection, p)
        return [*self.times(selection, p), *self.others(selection, p), *expiry]

    def times(self, selection: Selection, p: str) -> list[str]:
        """The bounds of both times."""
        return self._those(TIMES, selection, p)

    def others(self, selection: Selection, p: str) -> list[str]:
        """What a roll-up can be asked, too: everything but times and expiry."""
        terms = self._those(_VALUES, selection, p)
        for name, column in _LISTS:
            names: Names | None = getattr(selection, name)
            if names is not None:
                terms.append(self._any_of(f"{p}.{column}", names))
        if selection.stores_but is not None:
            but = self.mark([one for one in selection.stores_but if one is not None])
            terms.append(f"({p}.store IS NULL OR {p}.store <> ALL({but}::text[]))")
        if selection.liability:
            terms.append(_CROSSES.format(p=p, v=self.mark(sorted(CUSTOMER_ACCOUNTS))))
        if selection.movement is not None:
            flows = ", ".join(repr(flow) for flow in _FLOWS_OF[selection.movement])
            terms.append(f"({p}.kind, {p}.debit, {p}.credit) IN ({flows})")
        return terms

    def _those(self, known: Iterable[tuple[str, str]], selection: Selection, p: str) -> list[str]:
        return [
            term.format(p=p, v=self.mark(value))
            for name, term in known
            if (value := getattr(selection, name)) is not None
        ]

    def _any_of(self, column: str, names: Names) -> str:
        term = f"{column} = ANY({self.mark([one for one in names if one is not None])}::text[])"
        return f"({term} OR {column} IS NULL)" if None in names else term


def all_of(terms: Iterable[str]) -> str:
    """A WHERE clause of terms; empty when there is none."""
    joined = " AND ".join(terms)
    return f"WHERE {joined}" if joined else ""
