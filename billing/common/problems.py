"""Refusals as they leave the house: application/problem+json (RFC 9457)."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import structlog
from litestar.exceptions import HTTPException

from billing.common.answer import Answer
from billing.common.db import is_away
from billing.common.errors import NotFound, Overloaded, Problem, RateLimited, ValidationFailed
from billing.common.wire import encode

PROBLEM_JSON = b"application/problem+json"

log = structlog.stdlib.get_logger(__name__)

told: Counter[tuple[str, int]] = Counter()
"""Refusals by code and status since the process began, also of single operations of a batch; a
kept one counts when it is decided, not when it is repeated."""


class BodyTooLarge(ValidationFailed):
    status: ClassVar[int] = 413
    title = "The body is too large"


class MethodNotAllowed(Problem):
    status: ClassVar[int] = 405
    code = "method_not_allowed"
    title = "This address does not take that method"

    def __init__(self, detail: str, allow: str) -> None:
        super().__init__(detail)
        self.allow = allow


class UnsupportedMediaType(Problem):
    status: ClassVar[int] = 415
    code = "unsupported_media_type"
    title = "The body must be JSON"


def problem_answer(problem: Problem, request_id: str) -> Answer:
    """The answer that tells `problem`, with the headers its kind needs."""
    return Answer(
        encode(problem_document(problem, request_id)),
        problem.status,
        headers=_headers(problem),
        media_type=PROBLEM_JSON,
    )


def problem_document(problem: Problem, request_id: str | None = None) -> dict[str, Any]:
    """The members of the document; without `request_id` for one operation of a batch."""
    told[problem.code, problem.status] += 1
    document: dict[str, Any] = {
        "type": f"urn:bonus-ledger:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if request_id is not None:
        document["request_id"] = request_id
    if isinstance(problem, ValidationFailed):
        document["errors"] = [
            {"pointer": error.pointer, "detail": error.detail} for error in problem.errors
        ]
    return document | problem.members


def as_problem(error: Exception, request_id: str) -> Problem:
    """The problem to tell for any exception; what nobody foresaw is logged and told as a 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _of_litestar(error)
    if is_away(error):
        return Overloaded("The database does not answer; repeat the request shortly.")
    log.error("request failed", request_id=request_id, exc_info=error)
    return Problem("The fault is ours and was logged; quote the request_id when you report it.")


def _of_litestar(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return NotFound("There is nothing at this address; /docs lists every address.")
        case 405:
            allow = (error.headers or {}).get("allow", "")
            return MethodNotAllowed(f"This address takes {allow}.", allow)
        case 413:
            return BodyTooLarge.at("", "is too large")
        case 415:
            return UnsupportedMediaType(error.detail)
        case _:
            return ValidationFailed.at("", error.detail)


def _headers(problem: Problem) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(problem, MethodNotAllowed):
        return ((b"allow", problem.allow.encode()),)
    if problem.status == 401:
        return ((b"www-authenticate", b"Bearer"),)
    if isinstance(problem, Overloaded):
        return ((b"retry-after", str(problem.retry_after_s).encode()),)
    if isinstance(problem, RateLimited):
        seconds = problem.members.get("retry_after_s", 1)
        return ((b"retry-after", str(seconds).encode()),)
    return ()
