"""What the till prints about points: phone, accrued, paid, balance, future accruals (B21)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from billing.balances.model import waiting_points
from billing.common.money import format_amount
from billing.receipts.schemas import SlipOut
from ledger.commands import WAITING
from ledger.state import CustomerState

Language = Literal["ru", "en"]

_WORDS: dict[Language, dict[str, str]] = {
    "ru": {
        "card": "Бонусная программа",
        "accrued": "Начислено бонусов",
        "paid": "Оплачено бонусами",
        "total": "Баланс бонусов",
        "promo": "в т.ч. акционные",
        "future": "Будущие начисления:",
        "debt": "Долг по бонусам",
        "waiting": "После подтверждения",
    },
    "en": {
        "card": "Bonus program",
        "accrued": "Points earned",
        "paid": "Paid with points",
        "total": "Points balance",
        "promo": "of them promotional",
        "future": "Future points:",
        "debt": "Points owed",
        "waiting": "Once confirmed",
    },
}
_DATES: dict[Language, str] = {"ru": "%d.%m.%Y", "en": "%Y-%m-%d"}
MAX_FUTURE = 10
"""Dates printed; later ones are one sum in the last line."""


def language_of(accept_language: bytes | None) -> Language:
    """Russian or English, whichever an Accept-Language header prefers; English otherwise."""
    best: tuple[float, Language] = (0.0, "en")
    for part in (accept_language or b"").decode("latin-1").lower().split(","):
        name, _, weight = part.strip().partition(";q=")
        language = name.split("-")[0]
        quality = _quality(weight)
        if language in ("ru", "en") and quality > best[0]:
            best = (quality, "ru" if language == "ru" else "en")
    return best[1]


def slip_of(
    state: CustomerState,
    *,
    phone_masked: str,
    accrued: int,
    paid: int,
    language: Language,
    columns: int,
    timezone: str,
) -> SlipOut:
    """The slip after an operation that left `state`. Future accruals are its deferred lots."""
    zone = ZoneInfo(timezone)
    future = _future(state, zone)
    words = _WORDS[language]
    rows = [
        (words["card"], phone_masked),
        (words["accrued"], format_amount(accrued)),
        (words["paid"], format_amount(paid)),
        (words["total"], format_amount(state.available)),
        (f"  {words['promo']}", format_amount(state.promo)),
    ]
    if waiting := waiting_points(state):
        rows.append((words["waiting"], format_amount(waiting)))
    if state.debt:
        rows.append((words["debt"], format_amount(state.debt)))
    if future:
        rows.append((words["future"], ""))
        rows += [
            (f"  {at.strftime(_DATES[language])}", format_amount(points))
            for at, points in future[:MAX_FUTURE]
        ]
        if later := sum(points for _, points in future[MAX_FUTURE:]):
            rows.append(("  …", format_amount(later)))
    return SlipOut(
        phone_masked=phone_masked,
        accrued=format_amount(accrued),
        paid_with_points=format_amount(paid),
        balance_total=format_amount(state.available),
        balance_promo=format_amount(state.promo),
        future_accruals=[
            {"at": at.isoformat(), "points": format_amount(points)} for at, points in future
        ],
        text=[_row(label, value, columns) for label, value in rows],
    )


def _future(state: CustomerState, zone: ZoneInfo) -> Sequence[tuple[datetime, int]]:
    sums: dict[datetime, int] = {}
    for lot in state.lots.values():
        if lot.deferred and lot.active_from != WAITING:
            sums[lot.active_from] = sums.get(lot.active_from, 0) + lot.deferred
    return [(at.astimezone(zone), sums[at]) for at in sorted(sums)]


def _row(label: str, value: str, columns: int) -> str:
    """Label left, value right; a long label gives way, never the number."""
    room = columns - len(value) - (1 if value else 0)
    return f"{label[:room]:<{columns - len(value)}}{value}".rstrip()


def _quality(weight: str) -> float:
    try:
        return min(1.0, max(0.0, float(weight))) if weight else 1.0
    except ValueError:
        return 0.0
