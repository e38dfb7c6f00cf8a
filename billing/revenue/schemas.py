"""Deferred revenue on the wire. Money as decimal strings; shares and prices, too."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from billing.common.errors import ValidationFailed
from billing.common.money import format_amount
from billing.common.wire import Amount, Code, Schema
from billing.revenue.model import Accounts, Breakage, Policy
from billing.revenue.store import Journal, PolicyRow

_PERIOD = r"^[0-9]{4}-(0[1-9]|1[0-2])$"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Month(str):
    """A month of the chain's; `"2026-01"` on the wire."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {"type": "string", "pattern": _PERIOD, "examples": ["2026-01"]}

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str) or not re.fullmatch(_PERIOD, value, re.ASCII):
            raise ValueError('must be a month such as "2026-01"')
        return cls(value)


class Fraction(str):
    """A decimal that is not negative, with at most six decimals; `"0.95"` on the wire."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?$",
        "examples": ["0.95"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str) or not re.fullmatch(cls.SCHEMA["pattern"], value, re.ASCII):
            raise ValueError('must be a decimal string with at most six decimals, such as "0.95"')
        return cls(value)


class AccountsIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The names of the accounts in the accounting system."""

    sales: Name = "sales"
    deferred: Name = "deferred_revenue"
    revenue: Name = "loyalty_revenue"
    breakage: Name = "breakage_revenue"


class PolicyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`program` null: every program without a policy of its own. `deferred` false: its points are
    not sold with goods (gifts, for example). `point_price`: stand-alone selling price of a point;
    `expected_redemption`: the share that will be redeemed, up to 1. `breakage`: what is expected
    never to be redeemed is recognised in step with redemption (`proportional`), only once it has
    expired (`remote`), or never (`none`). The steps: to what amounts are rounded, half up."""

    program: Code | None = None
    effective_from: Month
    deferred: bool = True
    point_price: Fraction = msgspec.field(default_factory=lambda: Fraction("1"))
    expected_redemption: Fraction = msgspec.field(default_factory=lambda: Fraction("1"))
    breakage: Breakage = "proportional"
    allocation_step: Amount = msgspec.field(default_factory=lambda: Amount(1))
    step: Amount = msgspec.field(default_factory=lambda: Amount(1))
    accounts: AccountsIn = msgspec.field(default_factory=AccountsIn)
    reason: Reason

    def policy(self) -> Policy:
        """Raises ValidationFailed."""
        if Decimal(self.expected_redemption) > 1:
            raise ValidationFailed.at("/expected_redemption", "must be a share: at most 1")
        for name in ("allocation_step", "step"):
            if getattr(self, name) == 0:
                raise ValidationFailed.at(f"/{name}", "must be more than 0.00")
        return Policy(
            deferred=self.deferred,
            point_price=Decimal(self.point_price),
            expected_redemption=Decimal(self.expected_redemption),
            breakage=self.breakage,
            allocation_step=int(self.allocation_step),
            step=int(self.step),
            accounts=Accounts(**msgspec.structs.asdict(self.accounts)),
        )


class PolicyOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    id: UUID
    program: str | None
    effective_from: str
    deferred: bool
    point_price: str
    expected_redemption: str
    breakage: Breakage
    allocation_step: str
    step: str
    accounts: Accounts
    reason: str
    author: str
    created_at: datetime


class PolicyList(msgspec.Struct, forbid_unknown_fields=True):
    items: list[PolicyOut]
    next_cursor: str | None


class RevenueLineOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """opening + deferred - returned - revenue - breakage = closing, in money."""

    program: str
    opening: str
    deferred: str
    returned: str
    revenue: str
    breakage: str
    closing: str


class EntryOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`id` is the same whenever the journal is fetched: an accounting system that knows it has
    posted the line."""

    id: str
    program: str
    what: Literal["deferred", "returned", "revenue", "breakage"]
    debit: str
    credit: str
    amount: str


class CohortOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A program's points of one month, what became of them (points), and where they stand
    (money)."""

    program: str
    month: str
    issued: str
    revoked: str
    redeemed: str
    gone: str
    allocated: str
    returned: str
    revenue: str
    breakage: str
    liability: str


class JournalOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`frozen` false: it may still change. `replaces`: the document of this month that was frozen
    before it was reopened; reverse it when it was posted."""

    document: str
    period: str
    revision: int
    frozen: bool
    replaces: str | None
    lines: list[RevenueLineOut]
    entries: list[EntryOut]
    cohorts: list[CohortOut]


class JournalQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    format: Literal["json", "csv", "xlsx", "parquet"] = "json"


def policy_out(row: PolicyRow, zone: ZoneInfo) -> PolicyOut:
    policy = row.policy
    return PolicyOut(
        id=row.id,
        program=row.program,
        effective_from=row.effective_from,
        deferred=policy.deferred,
        point_price=str(policy.point_price),
        expected_redemption=str(policy.expected_redemption),
        breakage=policy.breakage,
        allocation_step=format_amount(policy.allocation_step),
        step=format_amount(policy.step),
        accounts=policy.accounts,
        reason=row.reason,
        author=row.author,
        created_at=row.created_at.astimezone(zone),
    )


def journal_out(journal: Journal, frozen: bool) -> JournalOut:
    return JournalOut(
        document=journal.document,
        period=journal.period,
        revision=journal.revision,
        frozen=frozen,
        replaces=journal.replaces,
        lines=[RevenueLineOut(**_told(line)) for line in journal.lines],
        entries=[EntryOut(**_told(entry)) for entry in journal.entries],
        cohorts=[
            CohortOut(
                program=one.program,
                month=one.month,
                liability=format_amount(one.standing.liability),
                **_told(one.points),
                **_told(one.standing),
            )
            for one in journal.cohorts
        ],
    )


def _told(value: msgspec.Struct) -> dict[str, Any]:
    return {
        name: format_amount(part) if isinstance(part, int) else part
        for name, part in msgspec.structs.asdict(value).items()
    }
