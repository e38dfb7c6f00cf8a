"""What a lot still owes is taken from points that come back to it.

A revocation of points that were spent leaves a debt on the lot (`owed`), or is forgiven on it
(`forgiven`), as the program says. When points come back to that lot, because what they paid is
returned or a reservation ends, nobody was without them: they pay the lot's debt, and what was
forgiven is taken after all. Otherwise points and a debt would stand side by side, or a purchase
and its return would leave points behind (C2).
"""

from __future__ import annotations

from datetime import datetime

from ledger.burn import burn_key
from ledger.draft import Draft
from ledger.model import Lot


def reclaim(draft: Draft, alive_at: datetime | None = None) -> None:
    """available → debt and available → adjustment, of every lot that owes and has points.

    `alive_at` leaves out lots that are over by then.
    """
    lots = draft.state.lots
    owing = [lot for lot in lots.values() if lot.available and (lot.owed or lot.forgiven)]
    for lot in sorted(owing, key=burn_key):
        if alive_at is not None and lot.expires_at is not None and lot.expires_at <= alive_at:
            continue
        settled, taken = reclaimed(lot, draft.state.debt)
        draft.post("settle", "available", "debt", settled, lot)
        draft.post("forgive", "available", "adjustment", taken, lots[lot.id])


def reclaimed(lot: Lot, debt: int) -> tuple[int, int]:
    """Of what is available in `lot`: what pays the debt, and what was forgiven and is taken."""
    settled = min(lot.available, lot.owed, debt)
    return settled, min(lot.available - settled, lot.forgiven)
