"""The trial balance: what left and what arrived in every account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from ledger.flows import ACCOUNTS, Account
from ledger.selection import Dimension, Selection
from ledger.service import Ledger
from ledger.sums import FlowSum, flow_sums, snapshot


class AccountTotal(Struct, frozen=True):
    """What left an account (`debit`) and what arrived (`credit`), in 1/100 points."""

    account: Account
    dimensions: tuple[Any, ...]
    debit: int
    credit: int


async def trial_balance(
    ledger: Ledger, selection: Selection, by: Sequence[Dimension] = ()
) -> list[AccountTotal]:
    """Debits and credits of every account, by dimensions; both columns have the same sum.

    Only what is posted counts: a sweep posts what is due shortly after it is.
    """
    async with snapshot(ledger) as connection:
        found = await flow_sums(connection, selection, by)
    return account_totals(found, selection.account)


def account_totals(flows: Iterable[FlowSum], only: Account | None = None) -> list[AccountTotal]:
    """The accounts' debits and credits in the flows, ordered by dimensions, then account."""
    sums: dict[tuple[Account, tuple[Any, ...]], list[int]] = {}
    for flow in flows:
        sums.setdefault((flow.debit, flow.dimensions), [0, 0])[0] += flow.amount
        sums.setdefault((flow.credit, flow.dimensions), [0, 0])[1] += flow.amount
    totals = [
        AccountTotal(account, key, debit, credit)
        for (account, key), (debit, credit) in sums.items()
        if only in (None, account)
    ]
    return sorted(
        totals, key=lambda total: (order(total.dimensions), ACCOUNTS.index(total.account))
    )


def order(dimensions: Sequence[Any]) -> list[tuple[bool, Any]]:
    """A sort key for dimensions, of which some may be missing: those come last."""
    return [(one is None, "" if one is None else one) for one in dimensions]
