"""Programs on the wire (spec: Programs)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec

from billing.common.wire import Code, Instant, Schema

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Codes = Annotated[list[Code], msgspec.Meta(max_length=10_000)]
Status = Literal["draft", "scheduled", "published", "superseded", "archived"]


class NotYet:
    """What a later version will know: refused, not ignored, so that nobody counts on it."""

    SCHEMA: ClassVar[Schema] = {"type": "null", "description": "Not supported in this version."}

    @classmethod
    def from_wire(cls, value: object) -> Self:
        raise ValueError("is not supported in this version; leave it out")


class _Choice(Code):
    """The first of `NAMES` is known today, the others come with a later version."""

    __slots__ = ()
    NAMES: ClassVar[tuple[str, ...]]
    ADVICE: ClassVar[str] = "leave it out"

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if value == cls.NAMES[0]:
            return cls(value)
        if value in cls.NAMES:
            raise ValueError(f"{value!r} is not supported in this version; {cls.ADVICE}")
        raise ValueError(f"must be {cls.NAMES[0]!r}")


class ProgramType(_Choice):
    __slots__ = ()
    NAMES = ("accrual", "scenario", "redemption")
    SCHEMA: ClassVar[Schema] = {"type": "string", "enum": ["accrual"]}


class RewardKind(_Choice):
    __slots__ = ()
    NAMES = ("percent", "fixed", "per_amount", "per_unit", "brackets", "multiplier")
    ADVICE = "use 'percent'"
    SCHEMA: ClassVar[Schema] = {"type": "string", "enum": ["percent"]}


class StackingPolicy(_Choice):
    __slots__ = ()
    NAMES = ("sum", "max", "priority")
    SCHEMA: ClassVar[Schema] = {"type": "string", "enum": ["sum"]}


class ScopeIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    channels: Codes = []
    stores: Codes = []
    store_groups: Codes = []
    exclude_stores: Codes = []


class LinesIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    groups: Codes = []
    products: Codes = []
    exclude_groups: Codes = []
    exclude_products: Codes = []
    exclude_promo: bool = False


class RewardIn(msgspec.Struct, forbid_unknown_fields=True):
    kind: RewardKind
    value: Annotated[str, msgspec.Meta(max_length=12)]


class RoundingIn(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["down", "up", "half_up", "half_even"] = "down"
    step: Annotated[str, msgspec.Meta(max_length=12)] = "0.01"
    per: Literal["receipt", "line"] = "receipt"


class AfterIn(msgspec.Struct, forbid_unknown_fields=True):
    after: Annotated[str, msgspec.Meta(max_length=40)]


class ExpiryIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    after: Annotated[str, msgspec.Meta(max_length=40)]
    round_up_to: Literal["month", "quarter", "half_year", "year"] | None = None


class StackingIn(msgspec.Struct, forbid_unknown_fields=True):
    group: Code = Code("main")
    policy: StackingPolicy = StackingPolicy("sum")
    priority: int = 0


class LimitsIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Limits come with a later version."""

    per_receipt: NotYet | None = None
    per_customer_day: NotYet | None = None
    budget: NotYet | None = None


class DefinitionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a version of a program says."""

    name: Name
    type: ProgramType = ProgramType("accrual")
    valid_from: Instant
    valid_to: Instant | None = None
    scope: ScopeIn = msgspec.field(default_factory=ScopeIn)
    lines: LinesIn = msgspec.field(default_factory=LinesIn)
    when: NotYet | None = None
    reward: RewardIn
    base: Literal["net_of_points", "gross"] = "net_of_points"
    rounding: RoundingIn = msgspec.field(default_factory=RoundingIn)
    bucket: Literal["base", "promo"] = "base"
    available: AfterIn | None = None
    expires: ExpiryIn | None = None
    stacking: StackingIn = msgspec.field(default_factory=StackingIn)
    limits: LimitsIn = msgspec.field(default_factory=LimitsIn)
    on_return: Literal["debt", "floor", "refuse"] = "debt"


class ProgramIn(DefinitionIn, forbid_unknown_fields=True, kw_only=True):
    code: Code


class PublishIn(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """From when the version counts; now, if left out."""

    from_: Instant | None = None


class VersionOut(msgspec.Struct):
    code: str
    version: int
    status: Status
    effective_from: datetime | None
    created_at: datetime
    author: str
    definition: dict[str, Any]


class ProgramPage(msgspec.Struct):
    items: list[VersionOut]
    next_cursor: str | None
