"""Carrying out many operations at once: looked up and prepared together, posted in large groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Any

import msgspec
import structlog

from billing.adjustments.schemas import AdjustmentIn
from billing.adjustments.service import Adjustments
from billing.batches.runs import runs
from billing.batches.schemas import BatchIn, OperationIn, ResultOut
from billing.catalog.service import Catalog
from billing.common.auth import Principal, Role
from billing.common.decoding import decode_body
from billing.common.errors import Conflict, Overloaded, Problem, ValidationFailed
from billing.common.problems import problem_document
from billing.common.teller import Request, problem_of_fate, told
from billing.common.wire import encode
from billing.customers.directory import CustomerDirectory
from billing.receipts.sale import SaleRequest
from billing.receipts.schemas import AccrualIn, ReceiptIn, SaleIn
from billing.receipts.service import Sales
from billing.receipts.slip import Language
from billing.redemptions.schemas import RedemptionIn
from billing.redemptions.service import Redemptions
from billing.returns.schemas import ReturnIn
from billing.returns.service import Returns
from ledger.commands import Command
from ledger.errors import TooLarge
from ledger.group import TURN, Aborted, Fate, Result, too_large
from ledger.service import Ledger

_log = structlog.get_logger()

_TILLS: tuple[Role, ...] = ("pos", "site", "admin")
_MAY: dict[str, tuple[Role, ...]] = {
    "receipt": _TILLS,
    "accrual": (*_TILLS, "finance"),
    "redemption": (*_TILLS, "finance"),
    "return": (*_TILLS, "finance"),
    "adjustment": ("finance", "admin"),
}
_BODIES: dict[str, Any] = {
    "receipt": SaleIn,
    "accrual": AccrualIn,
    "redemption": RedemptionIn,
    "return": ReturnIn,
    "adjustment": AdjustmentIn,
}
_PATHS = {kind: f"/v1/{kind}s" for kind in _BODIES}

Prepare = Callable[[Any, Any], Awaitable[Command]]


class Draft(msgspec.Struct, frozen=True):
    """An operation whose body was understood."""

    kind: str
    request: Request
    body: Any


class Batches:
    """Runs batches: `independent` or `atomic`."""

    def __init__(
        self,
        ledger: Ledger,
        catalog: Catalog,
        customers: CustomerDirectory,
        sales: Sales,
        redemptions: Redemptions,
        returns: Returns,
        adjustments: Adjustments,
    ) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._customers = customers
        self._prepare: dict[str, Prepare] = {
            "receipt": sales.prepare,
            "accrual": sales.prepare,
            "redemption": redemptions.prepare,
            "return": returns.prepare,
            "adjustment": adjustments.prepare,
        }

    async def run(self, principal: Principal, body: BatchIn, language: Language) -> list[ResultOut]:
        """A result for each operation, in order. Raises Overloaded, and ValidationFailed for an
        atomic batch that is more than one group of the ledger."""
        if body.mode == "atomic":
            return await self._atomic(await self._ready_together(principal, body, language))
        results: list[ResultOut] = []
        for run in runs(body.operations):
            results += await self._independent(await self._all_ready(principal, run, language))
        return results

    async def _ready_together(
        self, principal: Principal, body: BatchIn, language: Language
    ) -> list[Command | Problem]:
        """The command of each operation. Raises ValidationFailed as soon as those that are ready
        are known to be too much: what else there is, is not calculated."""
        most = self._ledger.most_together
        prepared = await self._all_ready(principal, body.operations, language, most)
        if len(prepared) < len(body.operations):
            raise _too_large(too_large(most))
        return prepared

    async def _all_ready(
        self,
        principal: Principal,
        operations: Sequence[OperationIn],
        language: Language,
        most: float = inf,
    ) -> list[Command | Problem]:
        """The command of each operation, or why it cannot be one; of fewer, once they are known to
        make `most` postings."""
        drafts: list[Draft | Problem] = []
        for operation in operations:
            drafts.append(_read(principal, operation, language))
            if len(drafts) % TURN == 0:
                await asyncio.sleep(0)
        bodies = [draft.body for draft in drafts if isinstance(draft, Draft)]
        with suppress(Overloaded):
            # It keeps what it was asked for; what it could not answer is asked again, and told.
            await self._catalog.products(sku for body in bodies for sku in _skus(body))
        async with self._customers.foreseeing(body.customer for body in bodies if body.customer):
            return await self._prepare_all(drafts, most)

    async def _prepare_all(
        self, drafts: Sequence[Draft | Problem], most: float
    ) -> list[Command | Problem]:
        """Prepare side by side: some must ask the database. One each, then others have a turn."""
        prepared: dict[int, Command | Problem] = {}
        rest = iter(enumerate(drafts))
        postings = 0

        async def work() -> None:
            nonlocal postings
            while postings < most and (found := next(rest, None)) is not None:
                at, draft = found
                prepared[at] = command = await self._command(draft)
                postings += command.least_postings if isinstance(command, Command) else 0
                await asyncio.sleep(0)

        await asyncio.gather(*(work() for _ in range(min(TURN, len(drafts)))))
        return [prepared[at] for at in sorted(prepared)]

    async def _command(self, draft: Draft | Problem) -> Command | Problem:
        if isinstance(draft, Problem):
            return draft
        try:
            return await self._prepare[draft.kind](draft.request, draft.body)
        except Problem as problem:
            return problem

    async def _independent(self, prepared: Sequence[Command | Problem]) -> list[ResultOut]:
        commands = [one for one in prepared if isinstance(one, Command)]
        with told():
            fates = iter(await self._ledger.execute_many(commands) if commands else ())
        return [
            _problem(one) if isinstance(one, Problem) else _result(next(fates)) for one in prepared
        ]

    async def _atomic(self, prepared: Sequence[Command | Problem]) -> list[ResultOut]:
        """All or none. Of an aborted batch nothing is kept, refusals neither: they were decided
        in a state that the batch itself had made. Raises ValidationFailed."""
        faults = [isinstance(one, Problem) for one in prepared]
        if any(faults):
            return [
                _problem(one) if isinstance(one, Problem) else _problem(_ABORTED)
                for one in prepared
            ]
        commands = [one for one in prepared if isinstance(one, Command)]
        with told():
            try:
                return [_result(fate) for fate in await self._ledger.execute_whole(commands)]
            except Aborted as aborted:
                fates = aborted.fates
            except TooLarge as error:
                raise _too_large(str(error)) from None
        return [_result(fate) if Aborted.failed(fate) else _problem(_ABORTED) for fate in fates]


def _read(principal: Principal, operation: OperationIn, language: Language) -> Draft | Problem:
    raw, kind = bytes(operation.body), operation.kind
    try:
        principal.require(*_MAY[kind])
        body = decode_body(raw, _BODIES[kind])
    except Problem as problem:
        return problem
    asked = (principal, operation.idempotency_key, None, _PATHS[kind], raw)
    if kind in ("receipt", "accrual", "return"):
        return Draft(kind, SaleRequest(*asked, language=language), body)
    return Draft(kind, Request(*asked), body)


def _skus(body: Any) -> list[str]:
    receipt: ReceiptIn | None = getattr(body, "receipt", None)
    return [line.sku for line in receipt.lines] if receipt else []


_ABORTED = Conflict(
    "batch_aborted",
    "Another operation of this atomic batch was refused, so this one did not happen either; "
    "its key may be used again.",
)


def _too_large(why: str) -> ValidationFailed:
    return ValidationFailed.at(
        "/operations",
        f"{why}: send fewer at a time, or, if they need not happen together, as independent",
    )


def _result(fate: Fate | BaseException) -> ResultOut:
    if isinstance(fate, Result) and fate.answer is not None:
        return ResultOut(fate.answer.status, msgspec.Raw(fate.answer.body))
    problem = problem_of_fate(fate) if isinstance(fate, BaseException) else None
    if problem is None:
        _log.error("batch_operation_failed", error=repr(fate))
        problem = Problem("The fault is ours and was logged; the operation did not happen.")
    return _problem(problem)


def _problem(problem: Problem) -> ResultOut:
    return ResultOut(problem.status, msgspec.Raw(encode(problem_document(problem))))
