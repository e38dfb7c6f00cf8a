"""A transaction in the making: postings are applied to a state as they are written down."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ledger.commands import Command
from ledger.errors import Refusal
from ledger.flows import OF_LOT, Account, Kind, TransactionKind
from ledger.ids import uuid7
from ledger.model import Lot, Posting, Transaction
from ledger.state import CustomerState

LIMIT = 2**60
"""What a customer may own, in 1/100: far above any chain, far below the end of BIGINT."""

_HOUSE = frozenset(("issued", "adjustment", "clearing"))


class Draft:
    """Collects the postings of one transaction of `state`'s customer."""

    __slots__ = (
        "channel",
        "corrects",
        "happened_at",
        "hold_expires_at",
        "hold_id",
        "id",
        "kind",
        "now",
        "occurred_at",
        "operation_id",
        "postings",
        "state",
        "store",
    )

    def __init__(
        self,
        state: CustomerState,
        kind: TransactionKind,
        occurred_at: datetime,
        channel: str | None = None,
        store: str | None = None,
        operation_id: UUID | None = None,
        now: datetime | None = None,
    ) -> None:
        self.state = state
        self.now = now
        self.kind = kind
        self.id = uuid7()
        self.operation_id = operation_id or self.id
        self.occurred_at = occurred_at
        self.happened_at = occurred_at
        """Before `occurred_at` when it came late, after its period was closed."""
        self.channel = channel
        self.store = store
        self.postings: list[Posting] = []
        self.corrects: UUID | None = None
        self.hold_id: UUID | None = None
        self.hold_expires_at: datetime | None = None

    def post(
        self,
        kind: Kind,
        debit: Account,
        credit: Account,
        amount: int,
        lot: Lot,
        product_group: str | None = None,
    ) -> None:
        """Write down one movement of `amount` (nothing, if it is zero) and apply it."""
        if amount == 0:
            return
        if debit in _HOUSE and self.state.owned + amount > LIMIT:
            raise Refusal("balance_limit", "The balance would pass what the ledger can count.")
        place = lot if kind in OF_LOT else self
        posting = Posting(
            kind,
            debit,
            credit,
            amount,
            lot.id,
            lot.bucket,
            lot.active_from,
            lot.expires_at,
            lot.program,
            lot.program_version,
            place.channel,
            place.store,
            product_group,
        )
        self.state.post(posting, self.occurred_at)
        self.postings.append(posting)

    def finish(self, recorded_at: datetime, command: Command | None = None) -> Transaction:
        """Close the draft: the customer's next version, with the balances after it."""
        state = self.state
        state.follow_hold(
            self.kind,
            self.hold_id,
            self.hold_expires_at,
            self.postings,
            (self.channel, self.store),
        )
        state.version += 1
        state.recorded_at = recorded_at
        return Transaction(
            id=self.id,
            customer_id=state.customer_id,
            version=state.version,
            kind=self.kind,
            occurred_at=self.occurred_at,
            recorded_at=recorded_at,
            postings=tuple(self.postings),
            after=state.balances,
            operation_id=self.operation_id,
            corrects=self.corrects,
            hold_id=self.hold_id,
            hold_expires_at=self.hold_expires_at,
            source=command.source if command else None,
            channel=self.channel,
            store=self.store,
            author=command.author if command else None,
            reason=command.reason if command else None,
        )
