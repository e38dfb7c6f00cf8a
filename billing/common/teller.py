"""Between HTTP and the ledger: commands in, stored answers out.

The answer of every command that moves points is rendered before the commit, kept with its
idempotency key, and given again to whoever repeats the request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from billing.common import deadline
from billing.common.answer import JSON, Answer
from billing.common.auth import Principal
from billing.common.errors import (
    Conflict,
    IdempotencyKeyReused,
    NotFound,
    Overloaded,
    Problem,
)
from billing.common.money import format_amount
from billing.common.problems import PROBLEM_JSON, problem_document
from billing.common.wire import encode
from ledger import commands
from ledger.errors import KeyReused, Refusal, Unavailable
from ledger.flows import TransactionKind
from ledger.group import Result
from ledger.service import Ledger

_canonical = msgspec.json.Encoder(order="deterministic")
_NOT_FOUND = frozenset(("hold_not_found", "transaction_not_found", "not_found"))
_NAMES = {"correction_exceeds": "return_exceeds_sale"}
_HIT = ((b"idempotency-hit", b"true"),)


def fingerprint(path: str, raw: bytes, principal: Principal) -> bytes:
    """32 bytes that differ when the operation, its body or the place it is for differs.

    Taken over the JSON that came, with its members sorted: white space and order do not matter,
    and a later version of ours, with more fields, still recognises the request. What the key is
    bound to counts as said: two stores that send the same words mean two operations.
    """
    document = msgspec.json.decode(raw) if raw else None
    if isinstance(document, dict):
        for name, bound in (("channel", principal.channel), ("store", principal.store)):
            if bound is not None and document.get(name) is None:
                document[name] = bound
    canonical = _canonical.encode(document) if raw else b""
    return hashlib.sha256(path.encode() + b"\n" + canonical).digest()


class Request(msgspec.Struct, frozen=True):
    """An operation that moves points: who asks, under which key, and the body as it came."""

    principal: Principal
    key: str
    request_id: str | None
    path: str
    raw: bytes

    def fingerprint(self) -> bytes:
        return fingerprint(self.path, self.raw, self.principal)

    def refusing(
        self,
        kind: TransactionKind,
        occurred_at: datetime,
        problem: Problem,
        customer_id: UUID | None = None,
    ) -> commands.Command:
        """The command that refuses, unless the key was answered before: then it says that again.

        What the state refuses is kept under the key; what is wrong with the request is not.
        """
        kept = isinstance(problem, NotFound | Conflict)
        return commands.Command(
            customer_id=customer_id,
            kind=kind,
            occurred_at=occurred_at,
            key=self.key,
            fingerprint=self.fingerprint(),
            refusal=refusal_of(problem) if kept else NotKept(problem),
            refuse=refuser(self.request_id) if kept else None,
        )


class NotKept(Refusal):
    """A request that cannot be carried out as it is: its key may be used again once it is right."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code, problem.detail)
        self.problem = problem


def answer_of(status: int, body: object) -> commands.Answer:
    """An answer to be kept."""
    return commands.Answer(status, encode(body))


def refuser(request_id: str | None = None) -> Callable[[Refusal], commands.Answer]:
    """How a refusal of the ledger is told: as a problem document, kept under the key."""

    def refuse(refusal: Refusal) -> commands.Answer:
        problem = problem_of(refusal)
        return commands.Answer(problem.status, encode(problem_document(problem, request_id)))

    return refuse


def problem_of(refusal: Refusal) -> Problem:
    """The problem that a refusal of the ledger is on the wire."""
    if isinstance(refusal, NotKept):
        return refusal.problem
    members: dict[str, Any] = {
        name: format_amount(value) if isinstance(value, int) else str(value)
        for name, value in refusal.members.items()
    }
    if refusal.code in _NOT_FOUND:
        return NotFound(refusal.detail, **members)
    if refusal.code == "source_exists":
        kind, _, place = members.pop("source").partition("/")
        if kind == "approval":
            return Conflict("approval_state", refusal.detail, **members)
        what = "This receipt is posted already"
        if kind == "redemption":
            what = "This receipt is paid with points already"
        read = f" GET /v1/receipts/{place[2:]} shows it." if kind == "sale" else ""
        return Conflict(
            "receipt_exists",
            f"{what}. To hear the answer again, repeat the request with the Idempotency-Key it "
            f"was posted with.{read}",
            **members,
        )
    return Conflict(_NAMES.get(refusal.code, refusal.code), refusal.detail, **members)


def refusal_of(problem: Problem) -> Refusal:
    """A refusal by the state that was found before the ledger was asked, to be kept as its own."""
    return Refusal(problem.code, problem.detail, **problem.members)


async def carry_out(ledger: Ledger, command: commands.Command) -> Answer:
    """Give a command with a key to the ledger; back after its commit.

    Raises IdempotencyKeyReused, and Overloaded when it is not known to have happened.
    """
    with told():
        result = await ledger.execute(command, deadline.left())
    return answered(result)


def answered(result: Result) -> Answer:
    """The answer to send for a result that was kept."""
    kept = result.answer
    if kept is None:
        raise RuntimeError("a command over HTTP keeps an answer")
    media_type = JSON if kept.status < 400 else PROBLEM_JSON
    return Answer(kept.body, kept.status, _HIT if result.replayed else (), media_type)


class told:
    """Turns what the ledger raises into the problems of the wire."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and (problem := problem_of_fate(error)) is not None:
            raise problem from None


def problem_of_fate(error: BaseException) -> Problem | None:
    """The problem that an error of the ledger is on the wire; None for a fault of ours."""
    if isinstance(error, KeyReused):
        return IdempotencyKeyReused(str(error))
    if isinstance(error, Unavailable):
        return Overloaded(str(error), error.retry_after_s)
    return problem_of(error) if isinstance(error, Refusal) else None
