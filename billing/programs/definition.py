"""From what a marketer wrote to what is calculated, or a list of what is wrong with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from billing.common.errors import ValidationFailed
from billing.common.faults import find_faults
from billing.common.wire import encode, read_hook
from billing.programs.conditions import compile_condition
from billing.programs.faults import Faults
from billing.programs.model import (
    Availability,
    Condition,
    Expiry,
    Instalments,
    Limits,
    LineFilter,
    ProgramVersion,
    RedemptionRule,
    Rounding,
    ScenarioRule,
    Scope,
    Stacking,
)
from billing.programs.periods import Period, parse_period
from billing.programs.rewarding import compile_reward, share_of, step_of
from billing.programs.schemas import (
    AvailableIn,
    DefinitionIn,
    ExpiryIn,
    LimitsIn,
    LinesIn,
    ProgramType,
    RedemptionIn,
    RoundingIn,
    ScenarioIn,
    StackingIn,
)
from billing.programs.sense import check_sense
from billing.programs.stored import Stored

Program = ProgramVersion | RedemptionRule

_GIVING = ("reward", "base", "payment_types", "rounding", "bucket", "available", "expires",
           "stacking", "limits", "on_return")  # fmt: skip
_FOREIGN: dict[str, tuple[str, ...]] = {
    "accrual": ("scenario", "redemption"),
    "scenario": ("redemption",),
    "redemption": ("scenario", *_GIVING),
}
"""What a type of program does not know."""

_NO_PERIOD = Period(0, 0, 1)


def compile_definition(code: str, version: int, body: DefinitionIn) -> Program:
    """The program that the draft `body` describes. Raises ValidationFailed with every fault."""
    faults = Faults()
    program = _compile(code, version, body, faults)
    if not faults:
        check_sense(program, faults)
    faults.raise_if_any()
    return program


def compile_stored(code: str, version: int, stored: object) -> Program:
    """The program of a definition that was published once. Raises ValidationFailed.

    It must go on compiling: whatever today refuses of drafts is a `Faults.bound`, or said by
    `check_sense`, `check_names` or `check_neighbours`, and none of them is asked here.
    """
    faults = Faults(draft=False)
    program = _compile(code, version, read_definition(stored), faults)
    faults.raise_if_any()
    return program


def _compile(code: str, version: int, body: DefinitionIn, faults: Faults) -> Program:
    for name in _FOREIGN[body.type]:
        if getattr(body, name) is not None:
            faults.bound(f"/{name}", f"is not of a program of type {body.type!r}; leave it out")
    body = _settled(body)
    shared: dict[str, Any] = {
        "code": code,
        "version": version,
        "name": body.name,
        "valid_from": body.valid_from,
        "valid_to": body.valid_to,
        "scope": Scope(
            frozenset(body.scope.channels),
            frozenset(body.scope.stores),
            frozenset(body.scope.store_groups),
            frozenset(body.scope.exclude_stores),
        ),
        "lines": _lines(body.lines, faults),
        "when": _condition(body.when, "/when", faults),
    }
    if body.type == "redemption":
        return _redemption(shared, body.redemption or RedemptionIn(), faults)
    return _giving(shared, body, faults)


def read_definition(stored: object) -> DefinitionIn:
    """What `stored_definition` made, whatever the bounds of today. Raises ValidationFailed."""
    return _read(stored, Stored)


def read_draft(stored: object) -> DefinitionIn:
    """The same, within the bounds of today."""
    return _read(stored, DefinitionIn)


def _read(stored: object, kind: type[DefinitionIn]) -> DefinitionIn:
    try:
        return msgspec.convert(stored, kind, dec_hook=read_hook)
    except msgspec.ValidationError:
        raise ValidationFailed(find_faults(stored, kind)) from None


def stored_definition(body: DefinitionIn) -> dict[str, Any]:
    """`body` as plain JSON that says all that it means: defaults of today are written out."""
    told: dict[str, Any] = msgspec.json.decode(encode(_settled(body)))
    for name in _FOREIGN[body.type]:
        told.pop(name, None)
    return told


def _settled(body: DefinitionIn) -> DefinitionIn:
    """With every default in its place."""
    if body.type == "redemption":
        return replace(body, redemption=body.redemption or RedemptionIn())
    return replace(
        body,
        base=body.base or "net_of_points",
        payment_types=body.payment_types or [],
        rounding=body.rounding or RoundingIn(),
        bucket=body.bucket or "base",
        stacking=body.stacking or StackingIn(),
        limits=body.limits or LimitsIn(),
        on_return=body.on_return or "debt",
    )


def _giving(shared: dict[str, Any], body: DefinitionIn, faults: Faults) -> ProgramVersion:
    rounding = body.rounding or RoundingIn()
    stacking = body.stacking or StackingIn()
    limits = body.limits or LimitsIn()
    return ProgramVersion(
        **shared,
        reward=compile_reward(shared["code"], body.reward, faults),
        base=body.base or "net_of_points",
        payment_types=frozenset(body.payment_types or ()),
        rounding=Rounding(
            rounding.mode, faults.check("/rounding/step", step_of, rounding.step, 1), rounding.per
        ),
        bucket=body.bucket or "base",
        available=_available(body.available, faults),
        expires=_expires(body.expires, faults),
        stacking=Stacking(stacking.group, stacking.policy, stacking.priority),
        limits=Limits(
            limits.per_receipt,
            limits.per_customer_day,
            limits.budget,
            limits.times_per_customer_day,
        ),
        scenario=_scenario(body.type, body.scenario, faults),
        on_return=body.on_return or "debt",
    )


def _redemption(shared: dict[str, Any], body: RedemptionIn, faults: Faults) -> RedemptionRule:
    return RedemptionRule(
        **shared,
        legal=frozenset(body.legal),
        max_share=faults.check("/redemption/max_share", share_of, body.max_share, 1),
        min_line_price=body.min_line_price,
        min_money=body.min_money,
        order=body.order,
        priority=body.priority,
    )


def _condition(
    value: object, pointer: str, faults: Faults, of_line: bool = False
) -> Condition | None:
    if value is None:
        return None
    return compile_condition(value, pointer, faults, of_line=of_line)


def _lines(body: LinesIn, faults: Faults) -> LineFilter:
    return LineFilter(
        frozenset(body.groups),
        frozenset(body.products),
        frozenset(body.exclude_groups),
        frozenset(body.exclude_products),
        body.exclude_promo,
        _condition(body.when, "/lines/when", faults, of_line=True),
    )


def _available(body: AvailableIn | None, faults: Faults) -> Availability | None:
    if body is None:
        return None
    _one_of("/available", body.after, body.at, faults, needed=body.instalments is None)
    parts = body.instalments
    if parts is not None:
        _period("/available/instalments/every", parts.every, faults)
    return Availability(
        _period("/available/after", body.after, faults),
        body.at,
        None if parts is None else Instalments(parts.count, parts.every),
    )


def _expires(body: ExpiryIn | None, faults: Faults) -> Expiry | None:
    if body is None:
        return None
    _one_of("/expires", body.after, body.at, faults, needed=True)
    if body.round_up_to is not None and body.at is not None:
        faults.add("/expires/round_up_to", "goes with `after`: a moment needs no rounding")
    return Expiry(_period("/expires/after", body.after, faults), body.round_up_to, body.at)


def _one_of(
    pointer: str, after: str | None, at: datetime | None, faults: Faults, *, needed: bool
) -> None:
    if after is not None and at is not None:
        faults.add(pointer, "has both `after` and `at`; one of them says when")
    if needed and after is None and at is None:
        faults.add(pointer, "needs `after`, a period, or `at`, a moment")


def _period(pointer: str, text: str | None, faults: Faults) -> str | None:
    if text is not None:
        faults.check(pointer, parse_period, text, _NO_PERIOD)
    return text


def _scenario(kind: ProgramType, body: ScenarioIn | None, faults: Faults) -> ScenarioRule | None:
    if kind != "scenario":
        return None
    if body is None:
        faults.add("/scenario", "is missing: say on what the program gives")
        return None
    for name, on in (("days_before", "birthday"), ("days_after", "birthday"),
                     ("known_before", "birthday"), ("to", "referral")):  # fmt: skip
        if getattr(body, name) is not None and body.on != on:
            faults.add(f"/scenario/{name}", f"goes with on: {on!r} alone; leave it out")
    return ScenarioRule(
        body.on,
        body.days_before or 0,
        body.days_after or 0,
        body.known_before or 0,
        body.to or "customer",
    )
