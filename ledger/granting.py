"""Steps that bring points in: accruals, and the end of their waiting."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ledger.commands import WAITING, Accrue, ActivateWaiting, Grant
from ledger.draft import Draft
from ledger.errors import Refusal
from ledger.flows import Account
from ledger.ids import uuid7
from ledger.model import Lot


def accrue(draft: Draft, step: Accrue) -> None:
    """Give each grant as a lot of its own. A debt is paid first: issued → debt."""
    for grant in step.grants:
        _grant(draft, grant)


def activate_waiting(draft: Draft, step: ActivateWaiting) -> None:
    """deferred → available for all that waits for no date."""
    lots = draft.state.lots.values()
    waiting = [lot for lot in lots if lot.deferred and lot.active_from == WAITING]
    if not waiting:
        raise Refusal("nothing_waiting", "This customer has no points that wait.")
    for lot in sorted(waiting, key=lambda one: one.id):
        draft.post("activate", "deferred", "available", lot.deferred, lot)


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
    waits = active_from == WAITING
    if grant.expires_at is not None and grant.expires_at <= active_from and not waits:
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
        channel=draft.channel,
        store=draft.store,
    )
