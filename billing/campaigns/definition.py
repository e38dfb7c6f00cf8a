"""From what a marketer wrote to what runs, or a list of what is wrong with it."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from billing.campaigns.rrule import check_rule, parse_rule
from billing.campaigns.schedule import Once, Recurring, Schedule
from billing.campaigns.schemas import AudienceIn, CampaignPatch, DefinitionIn, RecurrenceIn
from billing.common.errors import FieldError, ValidationFailed
from billing.common.money import format_amount
from billing.common.wire import Code, Instant, read_hook, write_hook
from billing.programs import schemas as programs
from billing.programs.definition import compile_definition
from billing.programs.faults import Faults
from billing.programs.model import Condition, Expiry, Leaf, ProgramVersion

_EVENT = "campaign-gift"
_EARLY = Instant(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
_POINTERS = {"/when": "/audience/when", "/reward/value": "/points"}
"""Where a campaign says what a program says elsewhere."""
_OF_POINTS = ("bucket", "available", "expires")


class Terms(msgspec.Struct, frozen=True):
    """A campaign ready to run. `audience` None: the uploaded list. `gift` is what everybody
    gets, as a program of type scenario, unless `program` names another one."""

    audience: Condition | None
    schedule: Schedule
    gift: ProgramVersion
    points: int
    program: str | None
    budget: int | None
    name: str
    reason: str


def settle(body: DefinitionIn, today: date) -> DefinitionIn:
    """With every default of today in its place."""
    recurrence = body.recurrence
    if recurrence is not None and recurrence.from_ is None:
        body = replace(body, recurrence=replace(recurrence, from_=today))
    if body.points is not None and body.bucket is None:
        body = replace(body, bucket="promo")
    return body


def stored(body: DefinitionIn) -> dict[str, Any]:
    """`body` as plain JSON."""
    told: dict[str, Any] = msgspec.to_builtins(body, enc_hook=_plain)
    told.pop("code", None)
    return told


def read(told: dict[str, Any]) -> DefinitionIn:
    """What `stored` made."""
    return msgspec.convert(told, DefinitionIn, dec_hook=read_hook)


def patched(told: dict[str, Any], patch: CampaignPatch) -> DefinitionIn:
    """A stored definition with some members replaced or cleared. Raises ValidationFailed."""
    given = msgspec.to_builtins(patch, enc_hook=_plain)
    merged = {name: value for name, value in (told | given).items() if value is not None}
    return read(merged)


def compile_terms(code: str, body: DefinitionIn, zone: ZoneInfo) -> Terms:
    """What `body` (settled) means. Raises ValidationFailed with every fault.

    What was started once must always compile: what is wrong only for new ones belongs into
    `billing.campaigns.service`.
    """
    faults = Faults()
    _check_shape(body, faults)
    gift = _gift(code, body, faults)
    schedule = _schedule(body, zone, faults)
    if body.budget is not None and body.budget < (body.points or 1):
        less = format_amount(body.points or 1)
        faults.add("/budget", f"is less than the {less} points given each time")
    faults.raise_if_any()
    if gift is None:
        raise RuntimeError("what does not compile has faults")
    tag = body.audience.tag
    return Terms(
        audience=gift.when if tag is None else Leaf("customer.tags", "has", str(tag)),
        schedule=schedule,
        gift=gift,
        points=body.points or 0,
        program=body.program,
        budget=body.budget,
        name=body.name,
        reason=body.reason or body.name,
    )


def _check_shape(body: DefinitionIn, faults: Faults) -> None:
    who = [getattr(body.audience, name) for name in AudienceIn.__struct_fields__]
    if len(who) - who.count(None) != 1:
        faults.add("/audience", "must have exactly one of `when`, `tag` and `list`")
    if (body.points is None) == (body.program is None):
        faults.add("/points", "or `program` says what to give: exactly one of them is needed")
    if body.points == 0:
        faults.add("/points", "must be more than 0")
    if body.run_at is not None and body.recurrence is not None:
        faults.add("/run_at", "goes without `recurrence`: one of them says when")
    for name in _OF_POINTS if body.program is not None else ():
        if getattr(body, name) is not None:
            faults.add(f"/{name}", "goes with `points`; the program says it itself")


def _gift(code: str, body: DefinitionIn, faults: Faults) -> ProgramVersion | None:
    """What is given, checked as a program of type scenario is. Its condition is the audience's."""
    expires = body.expires
    ends = expires.at if expires is not None and expires.after is None else None
    if ends is not None:
        # A program must end before its points do; of a campaign that is checked with its runs.
        expires = None
    definition = programs.DefinitionIn(
        name=body.name,
        type="scenario",
        valid_from=_EARLY,
        when=body.audience.when,
        scenario=programs.ScenarioIn(on=Code(_EVENT)),
        reward=programs.RewardIn(kind="fixed", value=format_amount(body.points or 100)),
        bucket=body.bucket,
        available=body.available,
        expires=expires,
    )
    try:
        gift = compile_definition(code, 0, definition)
    except ValidationFailed as failed:
        for error in failed.errors:
            here = moved(error)
            faults.add(here.pointer, here.detail)
        return None
    if not isinstance(gift, ProgramVersion):
        raise TypeError("a scenario gives points")
    return gift if ends is None else replace(gift, expires=Expiry(at=ends))


def moved(error: FieldError) -> FieldError:
    """A fault of a program, where the campaign says it."""
    for there, here in _POINTERS.items():
        if error.pointer == there or error.pointer.startswith(f"{there}/"):
            return FieldError(here + error.pointer.removeprefix(there), error.detail)
    return error


def _schedule(body: DefinitionIn, zone: ZoneInfo, faults: Faults) -> Schedule:
    if body.recurrence is None:
        return Once(body.run_at)
    return _recurring(body.recurrence, zone, faults) or Once()


def _recurring(body: RecurrenceIn, zone: ZoneInfo, faults: Faults) -> Recurring | None:
    begin = body.from_
    if begin is None:
        raise ValueError("a settled recurrence has a first day")
    if not 1970 <= begin.year <= 2190:
        faults.add("/recurrence/from", "must be between the years 1970 and 2190")
        return None
    at = time.fromisoformat(body.at)
    try:
        rule = parse_rule(body.rule, zone)
        check_rule(rule, datetime.combine(begin, at))
    except ValueError as error:
        faults.add("/recurrence/rule", str(error))
        return None
    return Recurring(rule, begin, at, zone)


def _plain(value: Any) -> Any:
    """msgspec's `enc_hook`: as on the wire; a text of ours is a text."""
    return str(value) if isinstance(value, str) else write_hook(value)
