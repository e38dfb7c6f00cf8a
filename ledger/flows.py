"""The chart of accounts and the flows between accounts that may exist.

A posting moves a positive amount from its debit account to its credit account, as every customer
of the ledger sees it: points leave the first and arrive in the second.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Account = Literal[
    "deferred",
    "available",
    "held",
    "debt",
    "issued",
    "redeemed",
    "expired",
    "adjustment",
    "clearing",
]
"""Of a customer: `deferred` (given, not yet to be spent), `available`, `held` (reserved by an open
redemption), `debt` (owed: points of a returned sale that were already spent). Of the house:
`issued`, `redeemed`, `expired`, `adjustment` (by hand), `clearing` (on the way between customers).
"""

ACCOUNTS: Final[tuple[Account, ...]] = get_args(Account)
CUSTOMER_ACCOUNTS: Final = frozenset(("deferred", "available", "held", "debt"))

Kind = Literal[
    "accrue",
    "activate",
    "redeem",
    "hold",
    "capture",
    "release",
    "expire",
    "revoke",
    "restore",
    "settle",
    "forgive",
    "adjust",
    "transfer",
]
"""What a posting does. `revoke` takes back what a returned sale earned, `restore` gives back what
it was paid with, `settle` lets points that come back to a lot pay the debt its revocation had
left; `forgive` is the house's: a debt that the program does not ask for, taken after all when the
points come back."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Flow = tuple[Kind, Account, Account]

FLOWS: Final[tuple[Flow, ...]] = (
    ("accrue", "issued", "available"),
    ("accrue", "issued", "deferred"),
    ("accrue", "issued", "debt"),
    ("activate", "deferred", "available"),
    ("redeem", "available", "redeemed"),
    ("hold", "available", "held"),
    ("capture", "held", "redeemed"),
    ("release", "held", "available"),
    ("expire", "available", "expired"),
    ("revoke", "deferred", "issued"),
    ("revoke", "available", "issued"),
    ("revoke", "debt", "issued"),
    ("restore", "redeemed", "available"),
    ("settle", "available", "debt"),
    ("forgive", "adjustment", "debt"),
    ("forgive", "available", "adjustment"),
    ("adjust", "adjustment", "available"),
    ("adjust", "adjustment", "deferred"),
    ("adjust", "available", "adjustment"),
    ("adjust", "deferred", "adjustment"),
    ("transfer", "available", "clearing"),
    ("transfer", "clearing", "available"),
    ("transfer", "deferred", "clearing"),
    ("transfer", "clearing", "deferred"),
    ("transfer", "clearing", "debt"),
)
"""The only flows there are; the same table is a CHECK of `ledger.postings`."""

TransactionKind = Literal[
    "accrual",
    "redemption",
    "receipt",
    "hold",
    "capture",
    "release",
    "hold_expiry",
    "activation",
    "expiry",
    "revocation",
    "restoration",
    "return",
    "adjustment",
    "transfer_out",
    "transfer_in",
    "reversal",
]
"""Why a transaction was written; finance reads it on statements.

`accrual`, `redemption`, `receipt` (a sale that may do both), `hold`, `capture`, `release` (a
reservation, its use, its end), `hold_expiry` (a reservation ended by time), `activation` (deferred
points became available), `expiry`, `revocation` and `restoration` and `return` (a sale given back:
earned points taken, spent points restored, or both), `adjustment` (by hand, with a reason),
`transfer_out` and `transfer_in` (two halves of one transfer), `reversal` (a whole transaction
undone).
"""

TRANSACTION_KINDS: Final[tuple[TransactionKind, ...]] = get_args(TransactionKind)

_RECLAIM: Final[tuple[Kind, ...]] = ("settle", "forgive")

MAY_HOLD: Final[dict[TransactionKind, frozenset[Kind]]] = {
    "accrual": frozenset(("accrue",)),
    "redemption": frozenset(("redeem",)),
    "receipt": frozenset(("accrue", "redeem", "capture", "release", *_RECLAIM)),
    "hold": frozenset(("hold",)),
    "capture": frozenset(("capture", "release", *_RECLAIM)),
    "release": frozenset(("release", *_RECLAIM)),
    "hold_expiry": frozenset(("release", *_RECLAIM)),
    "activation": frozenset(("activate",)),
    "expiry": frozenset(("expire",)),
    "revocation": frozenset(("revoke", *_RECLAIM)),
    "restoration": frozenset(("restore", *_RECLAIM)),
    "return": frozenset(("revoke", "restore", "adjust", *_RECLAIM)),
    "adjustment": frozenset(("adjust",)),
    "transfer_out": frozenset(("transfer",)),
    "transfer_in": frozenset(("transfer",)),
    "reversal": frozenset(("revoke", "restore", "adjust", *_RECLAIM)),
}
"""Which postings a transaction of each kind may hold."""

OF_LOT: Final[frozenset[Kind]] = frozenset(("activate", "expire", "transfer"))
"""What happens at no till: these postings name the channel and store that gave the points, so
that what a store gave and what became of it add up."""

Bucket = Literal["base", "promo"]
BUCKETS: Final[tuple[Bucket, ...]] = get_args(Bucket)

BurnOrder = Literal["expiry", "promo_first", "base_first", "oldest"]
"""Which points are spent first: those that expire first, those of one bucket, or the oldest."""
