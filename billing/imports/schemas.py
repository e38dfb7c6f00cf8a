"""Imports on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from billing.common.money import format_amount
from billing.common.wire import Amount
from billing.imports.model import Totals

MAX_LINES = 10_000

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", examples=["1c-2026-11"])]


class ImportIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`name` is the import's for ever: lots without a reference are known by it and their line."""

    name: Name


class RowsIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Lines of a CSV file below its header, which every upload repeats. `first_line` is the number
    of the first of them in the file (the header is line 1); an upload that is repeated replaces."""

    first_line: Annotated[int, msgspec.Meta(ge=2, le=100_000_000)] = 2
    csv: Annotated[str, msgspec.Meta(min_length=1)]
    delimiter: Annotated[str, msgspec.Meta(max_length=1, pattern='^[^\\x00\\r\\n"]$')] = ","


class PostIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the old system says the file holds; compared before anything is posted."""

    rows: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
    points: Amount


class RejectOut(msgspec.Struct, forbid_unknown_fields=True):
    line: int
    reason: str


class UploadedOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Of this upload: lines taken in, and those rejected (the first 100)."""

    rows: int
    good: int
    rejected: int
    rejects: list[RejectOut]


class TotalsOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`rows` and `points` of all lines that are there, for comparison with the old system; `good`
    may be posted. `posted` were posted by this import, `already` by an earlier attempt or file."""

    rows: int
    points: str
    good: int
    good_points: str
    by_bucket: dict[str, str]
    rejected: int
    reasons: dict[str, int]
    posted: int
    posted_points: str
    already: int


class BalanceImportOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`open`: lines may be added; `closed`: it is being posted, or was. `job_id` names the job."""

    id: UUID
    name: str
    state: str
    author: str
    created_at: datetime
    job_id: UUID | None
    totals: TotalsOut


class BegunOut(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`job_id` names the job that posts it (`GET /v1/jobs/{id}`); or `approval_id` what a second
    person has to approve first."""

    job_id: UUID | None = None
    approval_id: UUID | None = None


class RejectPage(msgspec.Struct, forbid_unknown_fields=True):
    items: list[RejectOut]
    next_cursor: str | None


def totals_out(totals: Totals) -> TotalsOut:
    return TotalsOut(
        rows=totals.rows,
        points=format_amount(totals.points),
        good=totals.good,
        good_points=format_amount(totals.good_points),
        by_bucket={name: format_amount(sum_) for name, sum_ in sorted(totals.by_bucket.items())},
        rejected=totals.rejected,
        reasons=totals.reasons,
        posted=totals.posted,
        posted_points=format_amount(totals.posted_points),
        already=totals.already,
    )
