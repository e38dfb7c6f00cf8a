"""In which order points are spent, and how a sum is taken from lots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from ledger.commands import Share
from ledger.flows import BurnOrder
from ledger.model import Lot

_NEVER = datetime.max.replace(tzinfo=UTC)

Part = tuple[Lot, int]
"""An amount taken from one lot."""


def burn_key(lot: Lot) -> tuple[datetime, bool, datetime, UUID]:
    """Earliest expiry first (none last), promo before base, older first, then the id."""
    return (lot.expires_at or _NEVER, lot.bucket != "promo", lot.occurred_at, lot.id)


_KEYS: Final[dict[BurnOrder, Callable[[Lot], Any]]] = {
    "expiry": burn_key,
    "promo_first": lambda lot: (lot.bucket != "promo", burn_key(lot)),
    "base_first": lambda lot: (lot.bucket != "base", burn_key(lot)),
    "oldest": lambda lot: (lot.occurred_at, burn_key(lot)),
}


def take(lots: Iterable[Lot], amount: int, order: BurnOrder = "expiry") -> list[Part]:
    """Take `amount` from what is available in `lots`, in this order; less if there is less."""
    parts: list[Part] = []
    for lot in sorted((lot for lot in lots if lot.available), key=_KEYS[order]):
        if amount == 0:
            break
        part = min(amount, lot.available)
        parts.append((lot, part))
        amount -= part
    return parts


def cross(parts: Sequence[Part], shares: Sequence[Share]) -> list[tuple[Lot, str | None, int]]:
    """Lay parts (by lot) beside shares (by product group): both sides keep their sums.

    At most len(parts) + len(shares) - 1 pieces. The sums of both sides are equal.
    """
    pieces: list[tuple[Lot, str | None, int]] = []
    rest = [amount for _, amount in shares]
    at = 0
    for lot, amount in parts:
        while amount:
            while rest[at] == 0:
                at += 1
            piece = min(amount, rest[at])
            pieces.append((lot, shares[at][0], piece))
            amount -= piece
            rest[at] -= piece
    return pieces
