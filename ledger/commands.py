"""What the ledger can be asked to do.

A `Command` is a list of steps for one customer that happen together or not at all; it becomes one
transaction (a transfer becomes two). Steps are values; `ledger.decide` gives them their meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct

from ledger.errors import Refusal
from ledger.flows import Bucket, BurnOrder, TransactionKind
from ledger.state import CorrectionTarget, CustomerState

MAX: Final = "max"
"""Redeem what there is, up to `at_most`."""

WAITING: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""`active_from` of points that wait for an `ActivateWaiting`, not for a date."""

Share = tuple[str | None, int]
"""Points that belong to one product group (or to none): (group code, 1/100 points)."""

Spread = Callable[[int], Sequence[Share]]
"""Splits an amount over product groups; the parts add up to it. Pure: it runs inside a group."""

IfSpent = Literal["debt", "floor", "refuse"]
"""What to do about revoked points that were already spent: owe them, forgive them, refuse."""


class Grant(Struct, frozen=True):
    """One lot to be: its points by product group, its life, and the program that gives it.

    `active_from` None means at once (when it occurred), WAITING until it is asked for;
    `expires_at` None means never.
    """

    bucket: Bucket
    shares: tuple[Share, ...]
    active_from: datetime | None = None
    expires_at: datetime | None = None
    program: str | None = None
    program_version: int | None = None

    @property
    def amount(self) -> int:
        return sum(amount for _, amount in self.shares)


class Accrue(Struct, frozen=True):
    grants: tuple[Grant, ...]


class ActivateWaiting(Struct, frozen=True):
    """Make available what was granted from WAITING on. Refused as `nothing_waiting`."""


class Redeem(Struct, frozen=True):
    """Spend `points`, or with `MAX` what there is, never more than `at_most`."""

    points: int | Literal["max"]
    at_most: int | None = None
    spread: Spread | None = None
    order: BurnOrder = "expiry"


class PlaceHold(Struct, frozen=True):
    """Reserve points until `expires_at`; the transaction's id becomes the hold's id."""

    points: int | Literal["max"]
    expires_at: datetime
    at_most: int | None = None
    order: BurnOrder = "expiry"


class Capture(Struct, frozen=True):
    """Spend a hold, or `points` of it; the rest is released."""

    hold_id: UUID
    points: int | None = None
    spread: Spread | None = None


class Release(Struct, frozen=True):
    hold_id: UUID


class Revoke(Struct, frozen=True):
    """Take back what `transaction_id` accrued: all that is left of it, or `parts`.

    A part is (lot, product group, amount). Never more than was accrued, over all revocations.
    """

    transaction_id: UUID
    parts: tuple[tuple[UUID, str | None, int], ...] | None = None
    if_spent: IfSpent = "debt"


class Restore(Struct, frozen=True):
    """Give back what `transaction_id` redeemed: all that is left of it, `points` of it (last
    taken, first returned), or `parts`: (lot, product group, amount).

    Points return to their own lots, with the lots' own expiry.
    """

    transaction_id: UUID
    points: int | None = None
    parts: tuple[tuple[UUID, str | None, int], ...] | None = None


class Adjust(Struct, frozen=True):
    """Give (> 0, a new lot) or take (< 0, in burn order within the bucket) points by hand."""

    points: int
    bucket: Bucket
    active_from: datetime | None = None
    expires_at: datetime | None = None


class Transfer(Struct, frozen=True):
    """Move points to another customer; lots keep bucket, program and expiry.

    `deferred` moves what is not available yet, too, all of it. With `lots` only points of these
    lots are moved: `max` is then what is left of them. With `pays_debt` what arrives pays a debt
    there first, as an accrual does.
    """

    to: UUID
    points: int | Literal["max"]
    order: BurnOrder = "expiry"
    deferred: bool = False
    lots: frozenset[UUID] | None = None
    pays_debt: bool = False


class Reverse(Struct, frozen=True):
    """Undo a whole transaction, once."""

    transaction_id: UUID
    if_spent: IfSpent = "debt"


Step = (
    Accrue
    | ActivateWaiting
    | Redeem
    | PlaceHold
    | Capture
    | Release
    | Revoke
    | Restore
    | Adjust
    | Transfer
    | Reverse
)


class Answer(Struct, frozen=True):
    """What the caller is told, kept with the idempotency key: a status and opaque bytes."""

    status: int
    body: bytes


class Statement(Struct, frozen=True):
    """A rider: rows of an upper layer, inserted in the group's own transaction.

    `sql` takes one array parameter per column, e.g. `INSERT … SELECT * FROM unnest($1::uuid[])`.
    With `table` and `names` (`id uuid`, in the order of the rows) a large group copies instead.
    """

    name: str
    sql: str
    columns: int
    table: str | None = None
    names: tuple[str, ...] = ()


Row = tuple[Statement, tuple[Any, ...]]


class Reading(Struct, frozen=True):
    """A rider that reads: facts of an upper layer, as they are once the customers are locked.

    `sql` takes customers `$1::uuid[]` and names `$2::text[]`, pair by pair, and gives rows of
    (customer_id, name, value …). What does not belong to the customer, such as a budget, has to
    be locked too: `lock` adds FOR UPDATE, in the order in which `sql` sorts.
    """

    name: str
    sql: str
    lock: bool = False


class Fact(Struct, frozen=True):
    """One thing a plan wants to know: of this customer (or the nil one), under this name."""

    reading: Reading
    customer_id: UUID
    name: str


Facts = Mapping[Fact, Sequence[tuple[Any, ...]]]
"""The rows found, without their first two columns; none, when there is nothing."""


class View(Struct, frozen=True):
    """What a plan sees, under the customer's lock and with all that is due done."""

    state: CustomerState
    facts: Facts
    targets: Mapping[UUID, CorrectionTarget]
    recorded_at: datetime


Plan = Callable[[View], tuple[Step, ...]]
"""Makes the steps from what only the lock can tell. Pure: it may run again. May raise Refusal."""


class Completion(Struct, frozen=True):
    """What the caller makes of an outcome: the answer to keep, and rows to write beside it.

    `facts` are what the next command of the group sees instead of what was read.
    """

    answer: Answer | None = None
    rows: tuple[Row, ...] = ()
    facts: Facts = MappingProxyType({})


class Command(Struct, frozen=True, kw_only=True):
    """Steps for one customer, with who, where, when and why.

    With `key`, the answer is kept and given again to whoever repeats the same `fingerprint`.
    `complete` and `refuse` are pure and run before the commit. `refusal` is a refusal found
    before the ledger was asked: it is kept like the ledger's own.
    """

    customer_id: UUID | None
    kind: TransactionKind
    occurred_at: datetime
    steps: tuple[Step, ...] = ()
    key: str | None = None
    fingerprint: bytes = b""
    source: str | None = None
    claims: tuple[str, ...] = ()
    """Further natural keys that are taken, or refuse it, as `source` does."""
    excludes: tuple[str, ...] = ()
    """Natural keys that refuse it when they are taken, and that it leaves free."""
    channel: str | None = None
    store: str | None = None
    author: str | None = None
    reason: str | None = None
    complete: Callable[[Any], Completion] | None = None
    refuse: Callable[[Refusal], Answer] | None = None
    refusal: Refusal | None = None
    plan: Plan | None = None
    """Instead of `steps`, which then only name whom else it concerns; it sees `facts` and
    `corrects`, and all lots of the customer."""
    facts: tuple[Fact, ...] = ()
    corrects: tuple[UUID, ...] = ()
    """Transactions of this customer that the plan wants to correct."""
    holds: tuple[UUID, ...] = ()
    """Holds of this customer, open or not, that the plan wants to end."""
    sweep: bool = False
    """Only bring the customer up to date; no transaction of its own."""

    @property
    def shared(self) -> tuple[Fact, ...]:
        """Facts that do not belong to the customer: all who want them wait for each other."""
        return tuple(fact for fact in self.facts if fact.reading.lock)

    @property
    def least_postings(self) -> int:
        """How many postings its steps will make at least; of a plan nothing is known yet."""
        accruals = (step for step in self.steps if isinstance(step, Accrue))
        return sum(len(grant.shares) for one in accruals for grant in one.grants)
