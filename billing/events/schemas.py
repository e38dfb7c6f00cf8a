"""The data of every event. Ids, points and codes only: no personal data ever leaves this way.

Points are decimal strings, times RFC 3339 with offset. Fields may be added; what stands here keeps
its name and meaning (events.schema.json at the root of the repository, diffed by a test).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec

from ledger.flows import Bucket, TransactionKind

Points = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]+\.[0-9]{2}$")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What every event's data is made of. `TYPE` is the event's name."""

    TYPE: ClassVar[str] = ""


class CustomerData(Data, frozen=True, kw_only=True):
    """An event of one customer: those are told in the order in which they happened."""

    customer_id: UUID


class ByBucket(msgspec.Struct, frozen=True):
    """Points; `base` and `promo` add up to `total`."""

    total: Points
    base: Points
    promo: Points


class Balance(msgspec.Struct, frozen=True):
    """All of a customer's points right after; `base` and `promo` add up to `available`."""

    available: Points
    base: Points
    promo: Points
    held: Points
    deferred: Points
    debt: Points


class PointsData(CustomerData, frozen=True, kw_only=True):
    """A movement in the ledger. `version` counts the customer's transactions, 1, 2, 3 …; two
    events of one transaction have the same. `programs` are the codes of the programs whose
    points moved; `corrects` is the transaction that this one corrects."""

    transaction_id: UUID
    version: int
    kind: TransactionKind
    points: ByBucket
    balance: Balance
    channel: str | None
    store: str | None
    receipt: str | None
    programs: list[str]
    corrects: UUID | None


class AccruedPart(msgspec.Struct, frozen=True):
    """Points of one program with one life. They may be spent from `available_from` on (at once,
    if that is not ahead) and are gone at `expires_at`, or never."""

    bucket: Bucket
    points: Points
    program: str | None
    available_from: Time
    expires_at: Time | None


class PointsAccrued(PointsData, frozen=True, kw_only=True):
    """Points were given. `deferred` of them cannot be spent yet; `debt_paid` of them went into
    a debt at once."""

    TYPE: ClassVar[str] = "points.accrued"
    deferred: Points
    debt_paid: Points
    parts: list[AccruedPart]


class PointsActivated(PointsData, frozen=True, kw_only=True):
    """Deferred points became available."""

    TYPE: ClassVar[str] = "points.activated"


class PointsRedeemed(PointsData, frozen=True, kw_only=True):
    """Points were spent; with a `hold_id`, out of that hold."""

    TYPE: ClassVar[str] = "points.redeemed"
    hold_id: UUID | None


class PointsHeld(PointsData, frozen=True, kw_only=True):
    """Points were reserved until `hold_expires_at`."""

    TYPE: ClassVar[str] = "points.held"
    hold_id: UUID | None
    hold_expires_at: Time | None


class PointsReleased(PointsData, frozen=True, kw_only=True):
    """Reserved points were given back: by hand, by time (kind `hold_expiry`), or because less
    was captured than held."""

    TYPE: ClassVar[str] = "points.released"
    hold_id: UUID | None


class PointsExpired(PointsData, frozen=True, kw_only=True):
    """Nobody used these points in time."""

    TYPE: ClassVar[str] = "points.expired"


class PointsAdjusted(PointsData, frozen=True, kw_only=True):
    """The balance was changed otherwise: by hand, by a transfer or by a reversal (`kind` says
    which). `points` are what the customer owns more, or with a minus less, debt counted."""

    TYPE: ClassVar[str] = "points.adjusted"


class ReceiptReturned(PointsData, frozen=True, kw_only=True):
    """Goods came back, and points with them. `points` are what the customer owns more (mostly
    less); `revoked` were taken back of what the sale gave, `owed` of them as a debt since they
    were already spent; `restored` were given back of what it was paid with. `receipt` is the
    sale's number, `number` the return's own."""

    TYPE: ClassVar[str] = "receipt.returned"
    number: str | None
    revoked: ByBucket
    restored: ByBucket
    owed: Points


class ExpiringPart(msgspec.Struct, frozen=True):
    """What will expire of one lot."""

    lot_id: UUID
    bucket: Bucket
    points: Points
    program: str | None
    expires_at: Time


class PointsExpiringSoon(CustomerData, frozen=True, kw_only=True):
    """What expires on the day `on` (of the chain's time zone) unless it is spent before: exact
    when it was written, by lot."""

    TYPE: ClassVar[str] = "points.expiring_soon"
    on: date
    points: ByBucket
    available: Points
    parts: list[ExpiringPart]


class CustomerRegistered(CustomerData, frozen=True, kw_only=True):
    """A customer was registered. Ask the API for the rest, as far as your key may see it."""

    TYPE: ClassVar[str] = "customer.registered"
    status: str
    channel: str | None
    store: str | None


class CustomerVerified(CustomerData, frozen=True, kw_only=True):
    """A customer's phone was confirmed: points may be collected and spent."""

    TYPE: ClassVar[str] = "customer.verified"
    channel: str | None
    store: str | None


class CustomerMerged(CustomerData, frozen=True, kw_only=True):
    """A duplicate was merged into another customer, who has its points from now on; or the merge
    was undone (`undone`)."""

    TYPE: ClassVar[str] = "customer.merged"
    into: UUID
    merge_id: UUID
    undone: bool


class CustomerErased(CustomerData, frozen=True, kw_only=True):
    """A person's data was erased: erase what you keep of this customer, too."""

    TYPE: ClassVar[str] = "customer.erased"


class ConsentGiven(CustomerData, frozen=True, kw_only=True):
    """A customer agreed to the processing of personal data, or to messages."""

    TYPE: ClassVar[str] = "consent.given"
    consent_id: UUID
    kind: Literal["processing", "messages"]


class ConsentWithdrawn(CustomerData, frozen=True, kw_only=True):
    """A customer took a consent back."""

    TYPE: ClassVar[str] = "consent.withdrawn"
    consent_id: UUID
    kind: Literal["processing", "messages"]


class ProgramPublished(Data, frozen=True, kw_only=True):
    """A version of a program was published, to count from `effective_from` on."""

    TYPE: ClassVar[str] = "program.published"
    program: str
    version: int
    type: str
    name: str
    effective_from: Time


class CampaignFinished(Data, frozen=True, kw_only=True):
    """A run of a campaign is over. `customers` got `points` in all; `failed` got none because
    of an error that waits in view."""

    TYPE: ClassVar[str] = "campaign.finished"
    campaign: str
    run: UUID
    state: Literal["done", "cancelled", "failed"]
    customers: int
    points: Points
    failed: int
    started_at: Time | None
    finished_at: Time


class LedgerCheckpoint(Data, frozen=True, kw_only=True):
    """The heads of the ledger's chains were signed. Keep it where nobody of the house can change
    it: `document` is the signed text (JSON), `signature` and `public_key` are Ed25519 in hex."""

    TYPE: ClassVar[str] = "ledger.checkpoint"
    document: str
    signature: str
    public_key: str


class WebhookTest(Data, frozen=True, kw_only=True):
    """Somebody asked for a test of a webhook subscription. Nothing happened."""

    TYPE: ClassVar[str] = "webhook.test"
    subscription_id: UUID


DATA: dict[str, type[Data]] = {
    kind.TYPE: kind
    for kind in (
        PointsAccrued,
        PointsActivated,
        PointsRedeemed,
        PointsHeld,
        PointsReleased,
        PointsExpired,
        PointsExpiringSoon,
        PointsAdjusted,
        ReceiptReturned,
        CustomerRegistered,
        CustomerVerified,
        CustomerMerged,
        CustomerErased,
        ConsentGiven,
        ConsentWithdrawn,
        ProgramPublished,
        CampaignFinished,
        LedgerCheckpoint,
        WebhookTest,
    )
}
"""The data of every type of event, in the order of the documentation."""
