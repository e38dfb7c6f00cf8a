"""Programs on the wire (spec: Programs).

A member that a program's type does not know is refused by `billing.programs.definition`, which
also says what a definition lacks; None stands for what was left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from billing.catalog.model import Legal
from billing.common.wire import Amount, Code, Instant
from billing.programs.model import (
    Base,
    Bucket,
    OnReturn,
    Policy,
    Recipient,
    RoundingMode,
    RoundingPer,
    RoundUpTo,
)
from ledger.flows import BurnOrder

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Codes = Annotated[list[Code], msgspec.Meta(max_length=10_000)]
Decimal = Annotated[str, msgspec.Meta(max_length=20)]
PeriodText = Annotated[str, msgspec.Meta(max_length=40, examples=["P14D"])]
Percentage = Annotated[str, msgspec.Meta(max_length=12, examples=["50"])]
Days = Annotated[int, msgspec.Meta(ge=0, le=180)]
Times = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Priority = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
Status = Literal["draft", "scheduled", "published", "superseded", "archived"]
ProgramType = Literal["accrual", "scenario", "redemption"]
RewardKind = Literal["percent", "fixed", "per_amount", "per_unit", "brackets", "multiplier"]
ConditionIn = Annotated[
    dict[str, Any],
    msgspec.Meta(
        description='A tree of `{"all": […]}`, `{"any": […]}`, `{"not": {…}}` and comparisons '
        '`{"field", "op", "value"}`; at most 8 deep, with at most 100 comparisons, '
        "20 of them with fields of lines.",
        examples=[{"all": [{"field": "receipt.total", "op": ">=", "value": "500.00"}]}],
    ),
]


class ScopeIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Where the program works; what is left out does not restrict."""

    channels: Codes = []
    stores: Codes = []
    store_groups: Codes = []
    exclude_stores: Codes = []


class LinesIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which lines are meant; `when` is a condition over fields of the line alone."""

    groups: Codes = []
    products: Codes = []
    exclude_groups: Codes = []
    exclude_products: Codes = []
    exclude_promo: bool = False
    when: ConditionIn | None = None


class BracketIn(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """From this total of the receipt on, `value` percent."""

    from_: Amount
    value: Percentage


class RewardIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`percent` {value}, `fixed` {value}, `per_amount` {value, step}, `per_unit` {value},
    `brackets` {brackets}, `multiplier` {value, programs}."""

    kind: RewardKind
    value: Decimal | None = None
    step: Amount | None = None
    brackets: Annotated[list[BracketIn], msgspec.Meta(max_length=100)] | None = None
    programs: Codes | None = None


class RoundingIn(msgspec.Struct, forbid_unknown_fields=True):
    mode: RoundingMode = "down"
    step: Decimal = "0.01"
    per: RoundingPer = "receipt"


class InstalmentsIn(msgspec.Struct, forbid_unknown_fields=True):
    """`count` equal parts, the first when points become available, then one `every` period."""

    count: Annotated[int, msgspec.Meta(ge=2, le=24)]
    every: PeriodText


class AvailableIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """From when points may be spent: `after` a period or `at` a moment, else at once."""

    after: PeriodText | None = None
    at: Instant | None = None
    instalments: InstalmentsIn | None = None


class ExpiryIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Until when: `after` a period from when they are available, or `at` a moment."""

    after: PeriodText | None = None
    round_up_to: RoundUpTo | None = None
    at: Instant | None = None


class StackingIn(msgspec.Struct, forbid_unknown_fields=True):
    """In a group all give (`sum`), the one that gives most (`max`), or the one with the highest
    `priority` that gives anything."""

    group: Code = Code("main")
    policy: Policy = "sum"
    priority: Priority = 0


class LimitsIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The most points of one receipt or event, of a customer and day, of the whole program; and
    how many times a day it gives a customer anything."""

    per_receipt: Amount | None = None
    per_customer_day: Amount | None = None
    budget: Amount | None = None
    times_per_customer_day: Times | None = None


class ScenarioIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`on`: `registration`, `verification`, `birthday`, `first_purchase`, `referral`, or an event
    of your own. Days are for birthdays, `to` for referrals."""

    on: Code
    days_before: Days | None = None
    days_after: Days | None = None
    known_before: Days | None = None
    to: Recipient | None = None


class RedemptionIn(msgspec.Struct, forbid_unknown_fields=True):
    """What points may pay: `max_share` percent of the lines that may be paid, leaving each unit
    `min_line_price` and the receipt `min_money`; never goods marked as one of `legal`."""

    max_share: Percentage = "100"
    min_line_price: Amount = Amount(0)
    min_money: Amount = Amount(0)
    order: BurnOrder = "expiry"
    legal: Annotated[list[Legal], msgspec.Meta(max_length=10)] = msgspec.field(
        default_factory=lambda: ["tobacco", "alcohol"]
    )
    priority: Priority = 0


class DefinitionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a version of a program says. `accrual` and `scenario` programs need a `reward`,
    `scenario` programs a `scenario`; `redemption` programs have `redemption` instead."""

    name: Name
    type: ProgramType = "accrual"
    valid_from: Instant
    valid_to: Instant | None = None
    scope: ScopeIn = msgspec.field(default_factory=ScopeIn)
    lines: LinesIn = msgspec.field(default_factory=LinesIn)
    when: ConditionIn | None = None
    scenario: ScenarioIn | None = None
    redemption: RedemptionIn | None = None
    reward: RewardIn | None = None
    base: Base | None = None
    payment_types: Annotated[list[Code], msgspec.Meta(max_length=50)] | None = None
    rounding: RoundingIn | None = None
    bucket: Bucket | None = None
    available: AvailableIn | None = None
    expires: ExpiryIn | None = None
    stacking: StackingIn | None = None
    limits: LimitsIn | None = None
    on_return: OnReturn | None = None


class ProgramIn(DefinitionIn, forbid_unknown_fields=True, kw_only=True):
    code: Code


class PublishIn(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """From when the version counts; now, if left out."""

    from_: Instant | None = None


class Sentence(msgspec.Struct):
    """The whole program in words."""

    en: str
    ru: str


class VersionOut(msgspec.Struct):
    code: str
    version: int
    status: Status
    effective_from: datetime | None
    created_at: datetime
    author: str
    definition: dict[str, Any]
    sentence: Sentence
    unreadable: Annotated[
        str | None,
        msgspec.Meta(
            description="Why this version, stored by an older release, cannot be read by this "
            "one: it counts for nothing. Null for every other."
        ),
    ] = None


class ProgramPage(msgspec.Struct):
    items: list[VersionOut]
    next_cursor: str | None
