"""From what a marketer wrote to what is calculated, or a list of what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from billing.catalog.model import CatalogSnapshot
from billing.common.errors import FieldError, ValidationFailed
from billing.common.money import parse_amount
from billing.common.wire import read_hook
from billing.programs.model import (
    Availability,
    Expiry,
    LineFilter,
    Percent,
    ProgramVersion,
    Rounding,
    Scope,
)
from billing.programs.periods import Period, parse_period
from billing.programs.schemas import DefinitionIn

T = TypeVar("T")

_RATE = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?", re.ASCII)
MAX_RATE = 1000 * 10_000
_NO_PERIOD = Period(0, 0, 0)


def compile_definition(code: str, version: int, body: DefinitionIn) -> ProgramVersion:
    """The program that `body` describes. Raises ValidationFailed with every fault."""
    faults = _Faults()
    program = ProgramVersion(
        code=code,
        version=version,
        name=body.name,
        valid_from=body.valid_from,
        valid_to=body.valid_to,
        scope=Scope(
            frozenset(body.scope.channels),
            frozenset(body.scope.stores),
            frozenset(body.scope.store_groups),
            frozenset(body.scope.exclude_stores),
        ),
        lines=LineFilter(
            frozenset(body.lines.groups),
            frozenset(body.lines.products),
            frozenset(body.lines.exclude_groups),
            frozenset(body.lines.exclude_products),
            body.lines.exclude_promo,
        ),
        reward=Percent(faults.check("/reward/value", _rate, body.reward.value, 1)),
        base=body.base,
        rounding=Rounding(
            body.rounding.mode,
            faults.check("/rounding/step", _step, body.rounding.step, 1),
            body.rounding.per,
        ),
        bucket=body.bucket,
        available=Availability(body.available.after) if body.available else None,
        expires=Expiry(body.expires.after, body.expires.round_up_to) if body.expires else None,
        on_return=body.on_return,
    )
    if body.available:
        faults.check("/available/after", parse_period, body.available.after, _NO_PERIOD)
    if body.expires:
        faults.check("/expires/after", parse_period, body.expires.after, _NO_PERIOD)
    if body.valid_to is not None and body.valid_to <= body.valid_from:
        faults.add("/valid_to", "must be later than valid_from, or the program never runs")
    _contradictions(faults, "/scope/stores", program.scope.stores, program.scope.exclude_stores)
    _contradictions(faults, "/lines/groups", program.lines.groups, program.lines.exclude_groups)
    _contradictions(
        faults, "/lines/products", program.lines.products, program.lines.exclude_products
    )
    faults.raise_if_any()
    return program


def read_definition(stored: object) -> DefinitionIn:
    """A definition as it was stored."""
    return msgspec.convert(stored, DefinitionIn, dec_hook=read_hook)


def check_names(program: ProgramVersion, catalog: CatalogSnapshot, products: Iterable[str]) -> None:
    """Raise ValidationFailed unless everything the program names exists. `products`: known skus."""
    faults = _Faults()
    scope, lines = program.scope, program.lines
    named: list[tuple[str, str, frozenset[str], Mapping[str, object] | frozenset[str]]] = [
        ("/scope/channels", "channel", scope.channels, catalog.channels),
        ("/scope/stores", "store", scope.stores, catalog.stores),
        ("/scope/exclude_stores", "store", scope.exclude_stores, catalog.stores),
        ("/scope/store_groups", "store group", scope.store_groups, catalog.store_groups),
        ("/lines/groups", "product group", lines.groups, catalog.groups),
        ("/lines/exclude_groups", "product group", lines.exclude_groups, catalog.groups),
        ("/lines/products", "product", lines.products, frozenset(products)),
        ("/lines/exclude_products", "product", lines.exclude_products, frozenset(products)),
    ]
    for pointer, what, codes, known in named:
        for code in sorted(codes):
            if code not in known:
                faults.add(pointer, f"there is no {what} {code!r}")
    faults.raise_if_any()


class _Faults:
    def __init__(self) -> None:
        self._found: list[FieldError] = []

    def add(self, pointer: str, detail: str) -> None:
        self._found.append(FieldError(pointer, detail))

    def check(self, pointer: str, read: Callable[[str], T], text: str, instead: T) -> T:
        """`read(text)`, or a fault at `pointer` and `instead`."""
        try:
            return read(text)
        except ValueError as error:
            self.add(pointer, str(error))
            return instead

    def raise_if_any(self) -> None:
        if self._found:
            raise ValidationFailed(self._found[:20])


def _contradictions(
    faults: _Faults, pointer: str, wanted: frozenset[str], excluded: frozenset[str]
) -> None:
    for code in sorted(wanted & excluded):
        faults.add(pointer, f"{code!r} is both included and excluded")


def _rate(text: str) -> int:
    """Percent as 1/10000 of a percent."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError('must be a percentage such as "5" or "2.5"')
    whole, fraction = found.groups()
    rate = int(whole) * 10_000 + int((fraction or "").ljust(4, "0"))
    if not 0 < rate <= MAX_RATE:
        raise ValueError("must be more than 0 and at most 1000 percent")
    return rate


def _step(text: str) -> int:
    step = parse_amount(text)
    if step == 0:
        raise ValueError("must be at least 0.01")
    return step
