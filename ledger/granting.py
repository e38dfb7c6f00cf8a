"""Steps that bring points in: accruals."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ledger.commands import Accrue, Grant
from ledger.draft import Draft
from ledger.flows import Account
from ledger.ids import uuid7
from ledger.model import Lot


def accrue(draft: Draft, step: Accrue) -> None:
    """Give each grant as a lot of its own. A debt is paid first: issued → debt."""
    for grant in step.grants:
        _grant(draft, grant)


def _grant(draft: Draft, grant: Grant) -> None:
    lot = new_lot(draft, grant)
    where: Account = "deferred" if lot.active_from > draft.occurred_at else "available"
    for product_group, amount in grant.shares:
        owed = min(amount, draft.state.debt)
        draft.post("accrue", "issued", "debt", owed, lot, product_group)
        draft.post("accrue", "issued", where, amount - owed, lot, product_group)


def new_lot(draft: Draft, grant: Grant, lot_id: UUID | None = None) -> Lot:
    """The terms of the lot that `grant` makes now. Raises ValueError for a life of no length."""
    active_from: datetime = grant.active_from or draft.happened_at
    if grant.expires_at is not None and grant.expires_at <= active_from:
        raise ValueError(f"a lot that expires at {grant.expires_at}, before it is active")
    return Lot(
        lot_id or uuid7(),
        grant.bucket,
        0,
        active_from,
        grant.expires_at,
        grant.program,
        grant.program_version,
        draft.occurred_at,
    )
