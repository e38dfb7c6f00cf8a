"""Campaigns on the wire."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from billing.adjustments.schemas import Reason
from billing.campaigns.model import RunState, State
from billing.campaigns.rrule import MAX_TEXT
from billing.common.wire import Amount, Code, Instant, Schema
from billing.customers.schemas import CustomerRef
from billing.jobs.model import State as JobState
from billing.programs.model import Bucket
from billing.programs.schemas import AvailableIn, ConditionIn, ExpiryIn, Name

MAX_CODE = 50
"""A campaign's points carry `campaign:<code>` where others carry a program's code."""
MAX_ROWS = 10_000
"""Customers of a list in one request."""

RuleText = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_TEXT,
        examples=["FREQ=MONTHLY;BYMONTHDAY=-1"],
        description="RFC 5545, of days and hours; the last day of the month is BYMONTHDAY=-1.",
    ),
]
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


class CampaignCode(Code):
    """The chain's name of a campaign."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = Code.SCHEMA | {"maxLength": MAX_CODE, "examples": ["spring-2027"]}

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if isinstance(value, str) and len(value) > MAX_CODE:
            raise ValueError(f"must have 1 to {MAX_CODE} characters")
        return super().from_wire(value)


class Clock(Code):
    """A time of day, `"09:00"`."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "pattern": f"^{_CLOCK.pattern}$",
        "examples": ["09:00"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str) or not _CLOCK.fullmatch(value):
            raise ValueError('must be a time of day from "00:00" to "23:59"')
        return cls(value)


class AudienceIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one: customers for whom a condition holds (over fields of the customer,
    `receipt.days_to_birthday` and the date), who have a tag, or who are in the uploaded list."""

    when: ConditionIn | None = None
    tag: Code | None = None
    list: Literal["uploaded"] | None = None


class RecurrenceIn(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, rename={"from_": "from"}
):
    """On the days of `rule`, counted from the day `from` (today, if left out), when the clocks
    in the chain's time zone show `at`."""

    rule: RuleText
    at: Clock
    from_: date | None = None


class DefinitionIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a campaign gives to whom and when. Either `points`, with `bucket`, `available` and
    `expires` as a program has them, or `program`: a published scenario of an event of the
    chain's own. `run_at` or `recurrence`; with neither it runs once, as soon as it may. `budget`
    is of all runs together."""

    name: Name
    audience: AudienceIn
    points: Amount | None = None
    program: Code | None = None
    bucket: Bucket | None = None
    run_at: Instant | None = None
    recurrence: RecurrenceIn | None = None
    available: AvailableIn | None = None
    expires: ExpiryIn | None = None
    budget: Amount | None = None
    reason: Reason | None = None


class CampaignIn(DefinitionIn, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    code: CampaignCode


class CampaignPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change, as RFC 7396: what is left out stays, null clears, the rest is replaced."""

    name: Name | UnsetType = UNSET
    audience: AudienceIn | UnsetType = UNSET
    points: Amount | UnsetType | None = UNSET
    program: Code | UnsetType | None = UNSET
    bucket: Bucket | UnsetType | None = UNSET
    run_at: Instant | UnsetType | None = UNSET
    recurrence: RecurrenceIn | UnsetType | None = UNSET
    available: AvailableIn | UnsetType | None = UNSET
    expires: ExpiryIn | UnsetType | None = UNSET
    budget: Amount | UnsetType | None = UNSET
    reason: Reason | UnsetType | None = UNSET


AudienceList = Annotated[list[CustomerRef], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]


class WrongRow(msgspec.Struct):
    row: int
    detail: str


class UploadOut(msgspec.Struct):
    """Rows are counted from 1, of this request alone. `unverified` and `blocked` ones are in the
    list, but get nothing unless that has changed when the campaign runs; `doubled` were in it
    already; `unknown` and `wrong` are not in it."""

    added: int
    in_list: int
    doubled: list[int]
    unknown: list[int]
    unverified: list[int]
    blocked: list[int]
    wrong: list[WrongRow]


class PreviewOut(msgspec.Struct):
    """The result of a job of the kind `campaign_preview`: of the run at `run_at`, if it were now.

    `customers` are in the audience, `receiving` of them get points: `points` in all, and never
    more (limits and budgets of programs are taken as unused). `skipped` says why others do not.
    `runs` is null when nobody knows an end; `next_runs` are the first of them.
    """

    campaign: str
    revision: int
    run_at: datetime
    customers: int
    receiving: int
    points: str
    skipped: dict[str, int]
    budget: str | None
    runs: int | None
    next_runs: list[datetime]


class PreviewState(msgspec.Struct):
    """`result` is there when `state` is `done`, `error` when it is `failed`."""

    job_id: UUID
    state: JobState
    result: Any
    error: str | None


class PreviewQueued(msgspec.Struct):
    """`GET /v1/jobs/{job_id}` tells how far it is."""

    job_id: UUID
    state: JobState
    campaign: str
    revision: int


class CampaignOut(msgspec.Struct, kw_only=True):
    """`revision` moves with every change of the draft or its list. `in_list` is the number of
    customers uploaded. `failure` says what is wrong when the state is `failed`."""

    code: str
    state: State
    revision: int
    name: str
    audience: dict[str, Any]
    points: str | None
    program: str | None
    bucket: str | None
    run_at: str | None
    recurrence: dict[str, Any] | None
    available: dict[str, Any] | None
    expires: dict[str, Any] | None
    budget: str | None
    reason: str | None
    in_list: int
    preview: PreviewState | None
    author: str
    created_at: datetime
    updated_at: datetime
    submitted_by: str | None
    submitted_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    next_run_at: datetime | None
    failure: str | None


class CampaignPage(msgspec.Struct):
    items: list[CampaignOut]
    next_cursor: str | None


class RunOut(msgspec.Struct, kw_only=True):
    """`seen` of `total` customers were looked at (those who register meanwhile are not in it);
    `customers` of them are in the audience: `given` got `points` in all, `failed` were set aside
    with their errors, and `skipped` says why others got nothing."""

    id: UUID
    campaign: str
    scheduled_at: datetime
    state: RunState
    started_at: datetime | None
    finished_at: datetime | None
    total: int | None
    seen: int
    customers: int
    given: int
    points: str
    skipped: dict[str, int]
    failed: int
    error: str | None


class RunPage(msgspec.Struct):
    items: list[RunOut]
    next_cursor: str | None


class FailureOut(msgspec.Struct):
    customer_id: UUID
    error: str
    at: datetime


class FailurePage(msgspec.Struct):
    items: list[FailureOut]
    next_cursor: str | None
