"""From a figure to the postings it adds up: paths of `GET /v1/ledger/postings`, by its filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from billing.finance.query import DIMENSIONS, PeriodFilters, ReportQuery
from billing.finance.schemas import AgeingQuery, LiabilityQuery, ProgramsQuery, Step

POSTINGS: Final = "/v1/ledger/postings"
_STEPS: Final[dict[Step, relativedelta]] = {
    "day": relativedelta(days=1),
    "month": relativedelta(months=1),
    "quarter": relativedelta(months=3),
    "year": relativedelta(years=1),
}
_ROLLED: Final = (LiabilityQuery, ProgramsQuery)
"""Reports whose rows also have what lies before their period in them."""


def behind(
    query: ReportQuery, names: Sequence[str], row: Sequence[Any], zone: ZoneInfo
) -> dict[str, str]:
    """The lists a row adds up, by the query's filter and the row's own dimensions: `postings` of
    the period; with a period that begins, `opening_postings` and `closing_postings` of what is
    owed at its ends. Without names: of all rows together."""
    given = {**_filters(query), **_own(query, names, row, zone)}
    links = {"postings": _path(given)}
    if isinstance(query, _ROLLED) and query.from_ is not None:
        whole = {name: value for name, value in given.items() if name != "from"}
        ends = {name: value for name, value in whole.items() if name not in ("to", "as_of")}
        links["opening_postings"] = _path({**ends, "to": query.from_})
        links["closing_postings"] = _path(whole)
    return links


def flow(kind: str, debit: str, credit: str, since: datetime, before: datetime) -> str:
    """The postings of one flow in a time."""
    given = {"kind": kind, "debit": debit, "credit": credit, "from": since, "to": before}
    return _path(given)


def _filters(query: ReportQuery) -> dict[str, Any]:
    given: dict[str, Any] = {
        name.rstrip("_"): value
        for name in PeriodFilters.__struct_fields__
        if (value := getattr(query, name)) is not None
    }
    account = getattr(query, "account", None)
    if account is not None:
        given["account"] = account
    if given["time"] == "occurred_at":
        del given["time"]
    return given


def _own(
    query: ReportQuery, names: Sequence[str], row: Sequence[Any], zone: ZoneInfo
) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for name, value in zip(names, row, strict=True):
        if name in DIMENSIONS:
            own[name] = "" if value is None else value
        elif name == "account":
            own[name] = value
        elif name == "expires" and isinstance(query, AgeingQuery):
            own |= _expiring(value, query.step, zone)
    return own


def _expiring(first: str | None, step: Step, zone: ZoneInfo) -> dict[str, Any]:
    if first is None:
        return {"expires": "never"}
    day = date.fromisoformat(first)
    return {
        name: datetime.combine(bound, time(), zone)
        for name, bound in (("expires_from", day), ("expires_to", day + _STEPS[step]))
    }


def _path(given: dict[str, Any]) -> str:
    return f"{POSTINGS}?{urlencode({name: _plain(value) for name, value in given.items()})}"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
