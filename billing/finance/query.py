"""What a report can be asked: the one set of filters, dimensions and times of all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args
from uuid import UUID

import msgspec

from billing.balances.schemas import QueryInstant
from billing.catalog.model import CatalogSnapshot
from billing.common.auth import Principal
from billing.common.errors import ValidationFailed
from billing.common.money import format_amount
from billing.common.wire import Amount, Code, Schema
from ledger.flows import Bucket
from ledger.selection import Movement, Names, Selection, TimeAxis

Dimension = Literal[
    "channel", "store", "store_group", "product_group", "program", "program_version", "bucket"
]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
_INSTANT: Final = timedelta(microseconds=1)


class CodeOrNone(str):
    """A name of the chain's, or nothing at all: what has none."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "maxLength": Code.SCHEMA["maxLength"],
        "pattern": f"^({Code.SCHEMA['pattern'][1:-1]})?$",
        "description": "Empty: only what has none.",
        "examples": ["moscow-1"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        return cls("") if value == "" else cls(Code.from_wire(value))


class VersionOrNone(int):
    """A version of a program, or 0: what is of none."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {
        "type": "string",
        "pattern": "^([1-9][0-9]{0,8})?$",
        "description": "Empty: only what has none.",
        "examples": ["1"],
    }

    @classmethod
    def from_wire(cls, value: object) -> Self:
        if not isinstance(value, str) or not re.fullmatch(cls.SCHEMA["pattern"], value):
            raise ValueError("must be a whole number from 1 on, or empty")
        return cls(value or 0)


class Filters(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which postings; what is left out does not restrict, what is empty asks for those that have
    none. Shared by every list, total and report."""

    customer_id: UUID | None = None
    channel: CodeOrNone | None = None
    store: CodeOrNone | None = None
    store_group: CodeOrNone | None = None
    product_group: CodeOrNone | None = None
    product_tree: Annotated[
        Code | None,
        msgspec.Meta(description="A product group and all groups below it."),
    ] = None
    program: CodeOrNone | None = None
    program_version: VersionOrNone | None = None
    bucket: Bucket | None = None
    known_at: Annotated[
        QueryInstant | None,
        msgspec.Meta(description="What had been recorded by then (inclusive)."),
    ] = None
    time: Annotated[
        TimeAxis,
        msgspec.Meta(
            description="Which time `from`, `to` and `as_of` bound: when it happened, or when it "
            "was recorded."
        ),
    ] = "occurred_at"


class PeriodFilters(Filters, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """From `from` on, and before `to`; or until `as_of`, inclusive."""

    from_: QueryInstant | None = None
    to: QueryInstant | None = None
    as_of: QueryInstant | None = None

    def __post_init__(self) -> None:
        if self.to is not None and self.as_of is not None:
            raise ValidationFailed.at("/query/as_of", "stands for `to`; give one of them")
        until = self.to or self.as_of
        if self.from_ is not None and until is not None and self.from_ > until:
            raise ValidationFailed.at("/query/from", "must not be later than the end")


_BY = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        examples=["channel,store"],
        description=f"Any of {', '.join(DIMENSIONS)}, with commas between them.",
    ),
]
Format = Literal["json", "csv", "xlsx", "parquet"]
_FORMAT = Annotated[
    Format,
    msgspec.Meta(description="A file instead of JSON has the filter at its head, and all rows."),
]


class FileQuery(PeriodFilters, forbid_unknown_fields=True, kw_only=True):
    """What can be had as a file, too."""

    format: _FORMAT = "json"


class ReportQuery(FileQuery, forbid_unknown_fields=True, kw_only=True):
    """`by`: dimensions with commas between them."""

    by: _BY = ""

    def dimensions(self) -> tuple[Dimension, ...]:
        """What `by` names, in its order. Raises ValidationFailed."""
        names = [name.strip() for name in self.by.split(",")] if self.by.strip() else []
        known: dict[str, Dimension] = {name: name for name in DIMENSIONS}
        if not known.keys() >= set(names):
            raise ValidationFailed.at("/query/by", f"must be any of {', '.join(DIMENSIONS)}")
        if len(set(names)) < len(names):
            raise ValidationFailed.at("/query/by", "names a dimension twice")
        return tuple(known[name] for name in names)


def selection_of(
    filters: PeriodFilters, principal: Principal, catalog: CatalogSnapshot, **more: Any
) -> Selection:
    """The filter as the ledger knows it. A key bound to a channel or store sees only that.

    Raises Forbidden when a bound key names another.
    """
    channel, shop = principal.bind(filters.channel, filters.store)
    stores, stores_but = _group(filters.store_group, catalog)
    return Selection(
        customer_id=filters.customer_id,
        channel=_names(channel),
        store=_names(shop),
        stores=stores,
        stores_but=stores_but,
        product_group=_names(filters.product_group),
        product_groups=_tree(filters.product_tree, catalog),
        program=_names(filters.program),
        program_version=filters.program_version,
        bucket=_names(filters.bucket),
        **bounds(filters),
        **more,
    )


def bounds(filters: PeriodFilters) -> dict[str, Any]:
    """The times of a selection: of the axis that was asked for, and `known_at`."""
    if filters.time == "occurred_at":
        return {
            "since": filters.from_,
            "before": filters.to,
            "as_of": filters.as_of,
            "known_at": filters.known_at,
        }
    ends = [one for one in (filters.as_of, filters.known_at) if one is not None]
    return {
        "known_since": filters.from_,
        "known_before": filters.to,
        "known_at": min(ends, default=None),
    }


def opening_of(selection: Selection, filters: PeriodFilters) -> Selection | None:
    """What lies before the period; None: nothing does."""
    if filters.from_ is None:
        return None
    fields = {
        "since": None,
        "known_since": None,
        **(
            {"before": filters.from_, "as_of": None}
            if filters.time == "occurred_at"
            else {"known_before": filters.from_}
        ),
    }
    return msgspec.structs.replace(selection, **fields)


def shown(
    filters: PeriodFilters, by: Sequence[str] = (), bound: Principal | None = None
) -> dict[str, str]:
    """The filter in words, to stand at the head of a file: what restricts, and how."""
    given = {
        name.rstrip("_"): value
        for name in filters.__struct_fields__
        if name not in ("format", "by", "limit", "cursor")
        and (value := getattr(filters, name)) is not None
    }
    if bound is not None:
        given |= {
            kind: value
            for kind in ("channel", "store")
            if (value := getattr(bound, kind)) is not None
        }
    if by:
        given["by"] = ", ".join(by)
    return {name: _in_words(value) for name, value in given.items()}


def _in_words(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Amount):
        return format_amount(value)
    return str(value or "") or "(none)"


def _names(code: str | None) -> Names | None:
    return None if code is None else (code or None,)


def _group(group: str | None, catalog: CatalogSnapshot) -> tuple[Names | None, Names | None]:
    if group is None:
        return None, None
    if group == "":
        return None, tuple(sorted(s.code for s in catalog.stores.values() if s.group is not None))
    return tuple(sorted(catalog.store_groups.get(group, ()))), None


def _tree(top: str | None, catalog: CatalogSnapshot) -> Names | None:
    if top is None:
        return None
    below = {code for code in catalog.groups if top in catalog.ancestry(code)}
    return tuple(sorted(below | {top}))


MovementFilter = Annotated[
    Movement | None,
    msgspec.Meta(description="Only what a column of the roll-forward adds up."),
]
