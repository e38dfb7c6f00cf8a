"""Programs over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from billing.common.answer import Answer
from billing.common.errors import NotFound
from billing.common.http import Call, operation
from billing.common.wire import PageQuery, page
from billing.programs.examples import PROGRAMS, VERSIONS
from billing.programs.ownership import check_scope, check_scopes
from billing.programs.schemas import DefinitionIn, ProgramIn, ProgramPage, PublishIn, VersionOut
from billing.programs.service import Programs

_TAG = "Programs"


@operation(
    "POST",
    "/v1/programs",
    summary="Draft a program",
    tag=_TAG,
    may=("marketer", "admin"),
    body=ProgramIn,
    answers={201: VersionOut},
    examples=PROGRAMS,
)
async def create_program(call: Call[ProgramIn]) -> Answer:
    """Makes the program and its version 1, a draft: nothing is earned until it is published."""
    check_scope(call.principal, call.body.scope)
    return Answer.json(await call.use(Programs).create(call.body, call.principal.name), 201)


@operation(
    "POST",
    "/v1/programs/{code}/versions",
    summary="Draft a new version",
    tag=_TAG,
    may=("marketer", "admin"),
    body=DefinitionIn,
    answers={201: VersionOut},
    conflicts=("program_archived",),
    examples=VERSIONS,
)
async def draft_version(call: Call[DefinitionIn]) -> Answer:
    """The version that counts goes on counting until the new one is published."""
    programs = await _own_programs(call)
    check_scope(call.principal, call.body.scope)
    return Answer.json(await programs.draft(call.path["code"], call.body, call.principal.name), 201)


@operation(
    "POST",
    "/v1/programs/{code}/publish",
    summary="Publish the newest draft",
    tag=_TAG,
    may=("marketer", "admin"),
    body=PublishIn,
    answers={200: VersionOut},
    conflicts=("program_archived",),
    examples={"now": {}, "later": {"from": "2027-01-01T00:00:00+03:00"}},
)
async def publish_program(call: Call[PublishIn]) -> Answer:
    """From then on the version never changes; receipts remember which version they used.

    Programs of one stacking group that run at the same time have the same policy, and a multiplier
    names programs that give points then.
    """
    programs, now = await _own_programs(call), datetime.now(UTC)
    published = await programs.publish(call.path["code"], call.body.from_, call.principal.name, now)
    return Answer.json(published)


@operation(
    "POST",
    "/v1/programs/{code}/archive",
    summary="End a program",
    tag=_TAG,
    may=("marketer", "admin"),
    answers={200: VersionOut},
    conflicts=("program_archived",),
)
async def archive_program(call: Call) -> Answer:
    """Later receipts earn nothing by it. What was given stays."""
    programs = await _own_programs(call)
    return Answer.json(await programs.archive(call.path["code"], datetime.now(UTC)))


async def _own_programs(call: Call[Any, Any]) -> Programs:
    """Raises Forbidden when a bound key asks about a program of another place."""
    programs = call.use(Programs)
    if call.principal.channel is not None or call.principal.store is not None:
        check_scopes(call.principal, await programs.scopes(call.path["code"]))
    return programs


@operation(
    "GET",
    "/v1/programs",
    summary="List programs",
    tag=_TAG,
    may=("pos", "site", "marketer", "finance", "support", "bi", "admin"),
    query=PageQuery,
    answers={200: ProgramPage},
)
async def list_programs(call: Call[None, PageQuery]) -> Answer:
    """The newest version of each program, by code."""
    after = call.query.after(str)
    items = await call.use(Programs).page(after[0] if after else "", call.query.limit)
    return Answer.json(page(items, call.query.limit, *([items[-1].code] if items else [])))


@operation(
    "GET",
    "/v1/programs/{code}/versions/{version}",
    summary="Read a version of a program",
    tag=_TAG,
    may=("pos", "site", "marketer", "finance", "support", "bi", "admin"),
    answers={200: VersionOut},
)
async def read_version(call: Call) -> Answer:
    """Published versions stay readable for ever: receipts refer to them."""
    code, version = call.path["code"], call.path["version"]
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise NotFound(f"Program {code!r} has no version {version!r}.")
    return Answer.json(await call.use(Programs).version(code, int(version)))


OPERATIONS = [
    create_program,
    draft_version,
    publish_program,
    archive_program,
    list_programs,
    read_version,
]
