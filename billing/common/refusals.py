"""Whatever an operation raises, as the problem to tell."""

from __future__ import annotations

import structlog
from litestar.exceptions import HTTPException

from billing.common.db import is_away
from billing.common.errors import NotFound, Overloaded, Problem, ValidationFailed
from billing.common.problems import BodyTooLarge, MethodNotAllowed, UnsupportedMediaType

log = structlog.stdlib.get_logger(__name__)


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
