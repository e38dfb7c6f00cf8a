"""Refusals as they leave the house: application/problem+json (RFC 9457)."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from billing.common.answer import Answer
from billing.common.errors import Overloaded, Problem, RateLimited, ValidationFailed
from billing.common.wire import encode

PROBLEM_JSON = b"application/problem+json"

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
