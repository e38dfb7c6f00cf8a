"""Operations: one declaration gives the route, its checks and its documentation.

    @operation("PUT", "/v1/channels/{code}", summary="…", may=("admin", "marketer"),
               body=ChannelIn, answers={200: ChannelOut, 201: ChannelOut})
    async def put_channel(call: Call[ChannelIn]) -> Answer:
        catalog = call.use(Catalog)
        ...
        return Answer.json(channel, 201)

Before the function runs, the key is authenticated and its role checked, the Idempotency-Key read
when `idempotent`, and the body and query decoded. Whatever it raises becomes a problem document.
A feature exports `OPERATIONS`, a list of its operations; billing.app.api binds them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope
from typing_extensions import TypeVar as DefaultTypeVar

from billing.common import deadline
from billing.common.answer import Answer
from billing.common.auth import NOBODY, Authenticator, Principal, Role
from billing.common.body import pass_over, read_body, read_raw
from billing.common.db import Database
from billing.common.decoding import decode_body, decode_query
from billing.common.errors import (
    FieldError,
    Forbidden,
    IdempotencyKeyMissing,
    NotFound,
    Problem,
    ValidationFailed,
)
from billing.common.leaving import while_waited_for
from billing.common.problems import problem_answer
from billing.common.refusals import as_problem
from billing.common.wire import composed, encode

S = TypeVar("S")
B = DefaultTypeVar("B", default=None)
Q = DefaultTypeVar("Q", default=None)

_GRACE_S = 0.1
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
_ONCE = ("Authorization", "Content-Type", "Idempotency-Key")
"""Headers whose meaning would depend on which of two is taken."""


@dataclass(slots=True)
class Call(Generic[B, Q]):
    """One request, authenticated and decoded. `raw` is the body as it came, `query_string` the
    query, `peer` the address the connection comes from."""

    principal: Principal
    body: B
    query: Q
    path: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    raw: bytes
    idempotency_key: str
    request_id: str
    services: Mapping[type, Any]
    peer: str = ""
    query_string: bytes = b""

    def use(self, kind: type[S]) -> S:
        """The running service of that class."""
        return cast(S, self.services[kind])


Handler = Callable[[Call[Any, Any]], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A declared operation. `may=None` is public; `answers` maps status to the answer's type."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    description: str
    may: tuple[Role, ...] | None
    body: type | None
    query: type | None
    answers: Mapping[int, Any]
    conflicts: tuple[str, ...]
    idempotent: bool
    examples: Mapping[str, Any]
    ndjson: bool
    raw_bytes: int
    files: tuple[str, ...]
    patience_s: float
    limited: bool


def operation(
    method: str,
    path: str,
    *,
    summary: str,
    tag: str,
    may: tuple[Role, ...] | None,
    body: type | None = None,
    query: type | None = None,
    answers: Mapping[int, Any],
    conflicts: tuple[str, ...] = (),
    idempotent: bool = False,
    examples: Mapping[str, Any] | None = None,
    ndjson: bool = False,
    raw_bytes: int = 0,
    files: tuple[str, ...] = (),
    patience_s: float = deadline.PATIENCE_S,
    limited: bool = False,
) -> Callable[[Handler], Operation]:
    """Declare an operation; see the module.

    `path` names its parameters in braces. `conflicts` are the 409 codes it may give. `ndjson`
    takes a list's items a line each, too. `files` are media types it may answer with beside JSON.
    `examples` are bodies by name, for the documentation. `raw_bytes`: the body is of any type, at
    most so long, and only `Call.raw` has it. `limited` may be refused as 429. `patience_s` is how
    long the caller waits once the body is in; then it hears 503, and of a silent database at once.
    """

    def declare(handler: Handler) -> Operation:
        return Operation(
            method=method,
            path=path,
            handler=handler,
            summary=summary,
            tag=tag,
            description=(handler.__doc__ or "").strip(),
            may=may,
            body=body,
            query=query,
            answers=answers,
            conflicts=conflicts,
            idempotent=idempotent,
            examples=examples or {},
            ndjson=ndjson,
            raw_bytes=raw_bytes,
            files=files,
            patience_s=patience_s,
            limited=limited,
        )

    return declare


class Operators(Protocol):
    """Writes down what operators do: `billing.operators`."""

    def concerns(self, principal: Principal) -> bool: ...

    async def begin(
        self,
        principal: Principal,
        operation: str,
        path: Mapping[str, str],
        *,
        request_id: str,
        idempotency_key: str | None,
        raw: bytes,
        before: bytes,
    ) -> UUID: ...

    async def end(self, action: UUID, operation: str, status: int, content: bytes) -> None: ...


class Observer(Protocol):
    """Told of every answered request; `observe(status, seconds)`."""

    def __call__(self, status: int, seconds: float, /) -> None: ...


@dataclass(frozen=True)
class Runtime:
    """What bound operations run with."""

    authenticator: Authenticator
    services: Mapping[type, Any]
    max_body_bytes: int
    operators: Operators | None = None
    readers: Mapping[str, Handler] = field(default_factory=dict)
    """What reads the state of a thing, by the path of its address."""
    observer: Callable[[str, str], Observer] = field(default=lambda method, path: lambda *_: None)


def bind(declared: Operation, runtime: Runtime) -> HTTPRouteHandler:
    """The litestar handler of an operation."""
    run = _runner(declared, runtime)
    observe = runtime.observer(declared.method, declared.path)

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        started = time.perf_counter()
        headers = dict(request.scope["headers"])
        request_id = request_id_of(headers)
        before = deadline.mark()
        try:
            answer = await run(request.scope, request.receive, headers, request_id)
        except Exception as error:
            answer = problem_answer(as_problem(error, request_id), request_id)
        finally:
            deadline.restore(before)
        answer.request_id = request_id
        observe(answer.status, time.perf_counter() - started)
        return cast(ASGIApp, answer)

    return HTTPRouteHandler(
        re.sub(r"\{(\w+)\}", r"{\1:str}", declared.path),
        http_method=cast(Any, declared.method),
        status_code=200,  # the answer has its own; litestar would have 204 for DELETE
        name=f"{declared.method} {declared.path}",
        include_in_schema=False,
    )(handle)


def _runner(
    declared: Operation, runtime: Runtime
) -> Callable[[Scope, Receive, Mapping[bytes, bytes], str], Awaitable[Answer]]:
    wants_body = declared.body is not None or declared.raw_bytes > 0
    limit = declared.raw_bytes or runtime.max_body_bytes
    read = read_raw if declared.raw_bytes else partial(read_body, ndjson=declared.ndjson)
    keys, services = runtime.authenticator, runtime.services
    operators = runtime.operators if is_logged(declared) else None
    reader = _reader_of(declared, runtime.readers)
    patient = declared.patience_s > deadline.PATIENCE_S
    database = runtime.services.get(Database) if patient else None
    name = f"{declared.method} {declared.path}"
    may, body_type, query_type = declared.may, declared.body, declared.query

    async def run(
        scope: Scope, receive: Receive, headers: Mapping[bytes, bytes], request_id: str
    ) -> Answer:
        principal = NOBODY
        deadline.start(declared.patience_s)
        if len(headers) < len(list(scope["headers"])):
            _refuse_repeated(scope["headers"])
        if may is not None:
            secret = headers.get(b"authorization")
            with deadline.at_most(deadline.PATIENCE_S):
                principal = keys.known(secret) or await keys.authenticate(secret)
            principal.require(*may)
        key = idempotency_key(headers) if declared.idempotent else ""
        raw = b""
        if wants_body:
            left = deadline.left()
            raw = await read(receive, headers, limit)
            deadline.start(left)
        else:
            await pass_over(receive, headers)
        call: Call[Any, Any] = Call(
            principal=principal,
            body=decode_body(raw, body_type) if body_type is not None else None,
            query=None if query_type is None else decode_query(scope["query_string"], query_type),
            path=_path(scope["path_params"]),
            headers=headers,
            raw=raw,
            idempotency_key=key,
            request_id=request_id,
            services=services,
            peer=(scope.get("client") or ("", 0))[0],
            query_string=scope["query_string"],
        )
        # A little later than whoever waits inside: they know better what to say.
        async with asyncio.timeout(deadline.left() + _GRACE_S):
            if database is not None:
                await database.hear()
            if declared.files and operators is None:
                return await while_waited_for(receive, declared.handler(call))
            if operators is None or not operators.concerns(principal):
                return await declared.handler(call)
            before = await _state(reader, call)
            with deadline.at_most(deadline.PATIENCE_S):
                action = await operators.begin(
                    principal,
                    name,
                    call.path,
                    request_id=request_id,
                    idempotency_key=key or None,
                    raw=raw,
                    before=before,
                )
            try:
                answer = await declared.handler(call)
            except Exception as error:
                status = error.status if isinstance(error, Problem) else 500
                told = encode({"detail": str(error)}) if isinstance(error, Problem) else b""
                with deadline.at_most(deadline.PATIENCE_S):
                    await operators.end(action, name, status, told)
                raise
            with deadline.at_most(deadline.PATIENCE_S):
                await operators.end(action, name, answer.status, answer.content)
            return answer

    return run


def _refuse_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    count = Counter(name for name, _ in headers)
    faults = [
        FieldError(f"/header/{name}", "is sent more than once; send it once")
        for name in _ONCE
        if count[name.lower().encode()] > 1
    ]
    if faults:
        raise ValidationFailed(faults)


_TILL_ALIKE = frozenset(("/v1/quotes",))
"""What moves nothing, and is asked as often as a till asks."""


def is_logged(declared: Operation) -> bool:
    """What changes something, unless it is a till's: that stands in the ledger, with its key."""
    if declared.method == "GET" or declared.may is None or declared.path in _TILL_ALIKE:
        return False
    return not (declared.idempotent and "pos" in declared.may) or declared.path == "/v1/batches"


def _reader_of(declared: Operation, readers: Mapping[str, Handler]) -> Handler | None:
    """Who reads what an operation is about: `/v1/campaigns/{code}` of `…/{code}/approve`."""
    path = declared.path
    while "{" in path:
        if path in readers:
            return readers[path]
        path = path.rpartition("/")[0]
    return None


async def _state(reader: Handler | None, call: Call[Any, Any]) -> bytes:
    """What an operation is about as it is before; nothing when it is not there yet."""
    if reader is None:
        return b""
    try:
        return (await reader(call)).content
    except (NotFound, Forbidden, ValidationFailed):
        return b""


def _path(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters of the path. PostgreSQL has no place for NUL, and servers write U+FFFD for
    bytes that are no UTF-8: two different names would become one."""
    for name, value in parameters.items():
        if "\0" in value or "\ufffd" in value:
            raise ValidationFailed.at(f"/path/{name}", "must be UTF-8, without a NUL character")
    return {name: composed(value) for name, value in parameters.items()}


def idempotency_key(headers: Mapping[bytes, bytes]) -> str:
    """The Idempotency-Key of a request: 1 to 255 visible ASCII characters."""
    given = headers.get(b"idempotency-key")
    if given is None:
        raise IdempotencyKeyMissing(
            "Send an Idempotency-Key header: a name you make and store for this operation, "
            "the same at every retry."
        )
    key = given.decode("latin-1")
    if not _VISIBLE.fullmatch(key):
        raise ValidationFailed.at(
            "/header/Idempotency-Key", "must be 1 to 255 visible ASCII characters"
        )
    return key


_prefix = os.urandom(6).hex()
_numbers = itertools.count()


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The X-Request-Id the caller sent when it is sane, else one of ours."""
    given = headers.get(b"x-request-id")
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode()
    return f"{_prefix}-{os.getpid():x}-{next(_numbers):x}"
