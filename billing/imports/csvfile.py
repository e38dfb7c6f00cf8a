"""A CSV file's columns, and each line as a lot to be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.common.errors import ValidationFailed
from billing.common.money import parse_amount
from billing.common.wire import Code, Instant
from billing.customers.schemas import CustomerRef
from billing.imports.model import Lot, Owner, Reject, source_of
from billing.imports.seen import Seen
from ledger.flows import Bucket

NAMES: Final = ("customer_id", "phone", "card", "external_id")
COLUMNS: Final = (
    *NAMES, "points", "bucket", "earned_at", "available_from", "expires_at", "reference", "name",
)  # fmt: skip
OF_REJECTS: Final = ("line", "reason")
"""Columns of a file of rejects, so that it can be put right and read as it is."""
MAX_CELL: Final = 200
TWICE: Final = "reference stands in the file twice"
_BUCKETS: Final[dict[str, Bucket]] = {"base": "base", "promo": "promo"}
_REFERENCE = re.compile(r"[^\s\x00-\x1f\x7f]{1,100}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def check_name(name: str) -> str:
    """The name of an import. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("must have 1 to 64 letters, digits, dots, dashes and underscores")
    return name


def check_columns(cells: Sequence[str]) -> tuple[str, ...]:
    """The header's columns. Raises ValidationFailed for what cannot be understood."""
    columns = tuple(cell.strip().lstrip("\ufeff").lower() for cell in cells)
    unknown = [one for one in columns if one not in (*COLUMNS, *OF_REJECTS)]
    if unknown:
        raise ValidationFailed.at(
            "/csv", f"has the unknown column {unknown[0][:40]!r}; known are {', '.join(COLUMNS)}"
        )
    if len(set(columns)) < len(columns):
        raise ValidationFailed.at("/csv", "names a column twice")
    if "points" not in columns or not set(columns) & set(NAMES):
        raise ValidationFailed.at(
            "/csv", f"needs the column points and at least one of {', '.join(NAMES)}"
        )
    return columns


class Reader:
    """Makes lots of lines. `name` is the import's, `now` what is past and what ahead."""

    def __init__(self, name: str, columns: Sequence[str], zone: ZoneInfo, now: datetime) -> None:
        self._name = name
        self._columns = columns
        self._zone = zone
        self._now = now
        self._seen = Seen()

    def points(self, cells: Sequence[str]) -> int:
        """What a line adds to the control total, right or not: 0 when it cannot be read."""
        try:
            return parse_amount(cells[self._columns.index("points")].strip(), signed=True)
        except (ValueError, IndexError):
            return 0

    def read(self, line: int, cells: Sequence[str]) -> Lot | Reject:
        """The lot of a line, or why there is none."""
        try:
            return self._lot(line, cells)
        except ValueError as error:
            return Reject(line, str(error))

    def _lot(self, line: int, cells: Sequence[str]) -> Lot:
        if len(cells) != len(self._columns):
            raise ValueError(f"has {len(cells)} cells instead of {len(self._columns)}")
        if any(len(cell) > MAX_CELL or "\0" in cell for cell in cells):
            raise ValueError(f"has a cell of more than {MAX_CELL} characters, or with a NUL")
        row = {
            name: cell.strip()
            for name, cell in zip(self._columns, cells, strict=True)
            if cell.strip()
        }
        reference = self._reference(row)
        occurred_at = self._moment(row, "earned_at")
        available = self._moment(row, "available_from")
        expires = self._moment(row, "expires_at", whole_day=True)
        if occurred_at is not None and occurred_at > self._now:
            raise ValueError("earned_at is in the future")
        if expires is not None and expires <= self._now:
            raise ValueError("expires_at is over: these points are gone")
        ahead = available if available is not None and available > self._now else None
        if expires is not None and ahead is not None and expires <= ahead:
            raise ValueError("expires_at is not after available_from")
        return Lot(
            line=line,
            source=source_of(self._name, line, reference),
            owner=_owner(row),
            points=_points(row),
            bucket=_bucket(row),
            occurred_at=occurred_at,
            available_from=ahead,
            expires_at=expires,
        )

    def _reference(self, row: dict[str, str]) -> str | None:
        reference = row.get("reference")
        if reference is None:
            return None
        if not _REFERENCE.fullmatch(reference):
            raise ValueError("reference must have 1 to 100 visible characters")
        if not self._seen.add(reference):
            raise ValueError(TWICE)
        return reference

    def _moment(
        self, row: dict[str, str], name: str, *, whole_day: bool = False
    ) -> datetime | None:
        """A time with offset, or a date: its beginning, or with `whole_day` its end."""
        text = row.get(name)
        if text is None:
            return None
        try:
            return _instant(text, self._zone, whole_day)
        except (ValueError, OverflowError):
            raise ValueError(
                f'{name} must be a date such as "2026-12-31", or a time with offset, of the years '
                "1970 to 2200"
            ) from None


@lru_cache(maxsize=10_000)
def _instant(text: str, zone: ZoneInfo, whole_day: bool) -> datetime:
    """A time, or where a day begins or, when it is whole, ends. Raises ValueError."""
    if not _DATE.fullmatch(text):
        return Instant.from_wire(text)
    day = datetime.fromisoformat(text)
    day = day + timedelta(days=1) if whole_day else day
    return Instant.from_wire(day.replace(tzinfo=zone).isoformat())


def _points(row: dict[str, str]) -> int:
    try:
        points = parse_amount(row.get("points", ""))
    except ValueError:
        raise ValueError('points must be a number such as "12.50", not negative') from None
    if points == 0:
        raise ValueError("has no points")
    return points


def _bucket(row: dict[str, str]) -> Bucket:
    try:
        return _BUCKETS[row.get("bucket", "base")]
    except KeyError:
        raise ValueError("bucket must be base or promo") from None


def _owner(row: dict[str, str]) -> Owner:
    given = [name for name in NAMES if name in row]
    if not given:
        raise ValueError(f"names no customer: needs one of {', '.join(NAMES)}")
    name, value = given[0], row[given[0]]
    if name == "external_id":
        system, colon, id_ = value.partition(":")
        if not (system and colon and id_):
            raise ValueError("external_id must be system:value")
        return Owner(None, (system, id_), row.get("name"))
    if name == "customer_id":
        try:
            return Owner(CustomerRef(customer_id=UUID(value)))
        except ValueError:
            raise ValueError("customer_id must be a UUID") from None
    if name == "card":
        try:
            return Owner(CustomerRef(card=Code.from_wire(value)), None, row.get("name"))
        except ValueError as error:
            raise ValueError(f"card {error}") from None
    return Owner(CustomerRef(phone=value), None, row.get("name"))
