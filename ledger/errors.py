"""What can go wrong in the ledger.

LedgerError
├── Refusal            the state does not allow it: `code`, `detail`, `members`
├── KeyReused          the idempotency key stands for another request
├── TooLarge           commands that were to happen together are more than a group may be
└── Unavailable        nothing was decided: full, closing, or the database is away
"""

from __future__ import annotations

from typing import Any


class LedgerError(Exception):
    """Anything the ledger answers instead of a result."""


class Refusal(LedgerError):
    """Refused by the state; kept under the idempotency key so that a retry hears it again.

    Codes: `insufficient_points` (member `available`), `hold_not_found`, `hold_not_open`,
    `hold_expired`, `source_exists` (members `transaction_id`, `source`), `transaction_not_found`,
    `correction_exceeds`, `points_already_spent`, `not_reversible`, `already_reversed`,
    `same_customer`, `balance_limit`, `period_closed`.
    """

    def __init__(self, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.members = members


class KeyReused(LedgerError):
    """Same idempotency key, other request."""


class TooLarge(LedgerError):
    """Commands of an atomic group are more than a group may be; the message says in what. Nothing
    has happened."""


class Unavailable(LedgerError):
    """Not decided, or not known to be: repeat with the same key after `retry_after_s`."""

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
