"""What the till prints about points when goods come back (B21)."""

from __future__ import annotations

from billing.common.money import format_amount
from billing.receipts.slip import Language
from billing.returns.schemas import ReturnSlip
from ledger.state import CustomerState

_WORDS: dict[Language, dict[str, str]] = {
    "ru": {
        "card": "Бонусная программа",
        "revoked": "Аннулировано бонусов",
        "restored": "Возвращено бонусов",
        "total": "Баланс бонусов",
        "promo": "в т.ч. акционные",
        "debt": "Долг по бонусам",
    },
    "en": {
        "card": "Bonus program",
        "revoked": "Points taken back",
        "restored": "Points given back",
        "total": "Points balance",
        "promo": "of them promotional",
        "debt": "Points owed",
    },
}


def return_slip(
    state: CustomerState,
    *,
    phone_masked: str,
    revoked: int,
    restored: int,
    language: Language,
    columns: int,
) -> ReturnSlip:
    """The slip after a return that left `state`."""
    words = _WORDS[language]
    rows = [
        (words["card"], phone_masked),
        (words["revoked"], format_amount(revoked)),
        (words["restored"], format_amount(restored)),
        (words["total"], format_amount(state.available)),
        (f"  {words['promo']}", format_amount(state.promo)),
    ]
    if state.debt:
        rows.append((words["debt"], format_amount(state.debt)))
    return ReturnSlip(
        phone_masked=phone_masked,
        revoked=format_amount(revoked),
        restored=format_amount(restored),
        balance_total=format_amount(state.available),
        balance_promo=format_amount(state.promo),
        text=[_row(label, value, columns) for label, value in rows],
    )


def _row(label: str, value: str, columns: int) -> str:
    """Label left, value right, as on the slip of a sale."""
    return f"{label[: columns - len(value) - 1]:<{columns - len(value)}}{value}"
