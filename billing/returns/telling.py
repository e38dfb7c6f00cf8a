"""A return as a command of the ledger, and what the till is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.balances.model import balance_document
from billing.common.errors import Conflict, Problem
from billing.common.problems import problem_document
from billing.common.teller import answer_of, problem_of, refuser
from billing.common.wire import encode
from billing.customers.model import Customer
from billing.receipts.basket import Place
from billing.receipts.sale import SaleRequest
from billing.receipts.schemas import Quantity
from billing.returns import store
from billing.returns.posting import Decision, Exceeded
from billing.returns.schemas import ReturnIn
from billing.returns.slip import return_slip
from billing.returns.totals import line_documents, totals_of
from ledger.commands import Answer, Command, Completion
from ledger.decide import Outcome
from ledger.errors import Refusal

Decided = Callable[[], Decision]
"""What the plan of the command decided, once it has run."""


class Telling:
    """`customer` None: a person who was erased; the goods come back all the same."""

    def __init__(
        self, request: SaleRequest, place: Place, body: ReturnIn, customer: Customer | None
    ) -> None:
        self._request = request
        self._place = place
        self._body = body
        self._customer = customer

    def command(self, customer_id: UUID, decided: Decided | None, **more: Any) -> Command:
        """The command; `more` are its steps or its plan. Without `decided` it is by hand."""
        place = self._place
        return Command(
            customer_id=customer_id,
            kind="return",
            occurred_at=self._body.occurred_at,
            key=self._request.key,
            fingerprint=self._request.fingerprint(),
            source=store.return_source(place.channel, place.store, self._body.number),
            channel=place.channel,
            store=place.store,
            author=self._request.principal.name,
            reason=self._body.reason,
            complete=lambda outcome: self._complete(outcome, decided and decided()),
            refuse=self._refuse,
            **more,
        )

    def _complete(self, outcome: Outcome, decided: Decision | None) -> Completion:
        transaction = outcome.transaction
        if transaction is None:
            raise RuntimeError("a return is a transaction")
        lines = decided.lines if decided else ()
        totals = totals_of(transaction.postings, lines, by_hand=decided is None)
        document = {
            "id": transaction.id,
            "number": str(self._body.number),
            "receipt_number": self._body.receipt_number,
            "customer_id": transaction.customer_id,
            **totals.document(),
            **line_documents(lines),
            "balance": balance_document(
                outcome.state,
                at=outcome.recorded_at,
                zone=ZoneInfo(self._place.timezone),
                complete=True,
            ),
            "slip": self._slip(outcome, totals.revoked, totals.restored),
        }
        row = store.return_row(
            transaction.id,
            transaction.customer_id,
            decided.receipt_id if decided else None,
            self._place.channel,
            self._place.store,
            str(self._body.number),
            self._body.occurred_at,
            outcome.recorded_at,
            totals.revoked,
            totals.restored,
            store.kept_json(lines),
        )
        if decided is None:
            return Completion(answer_of(201, document), (row,))
        rows, facts = decided.counted(transaction.postings)
        return Completion(answer_of(201, document), (row, *rows), facts)

    def _slip(self, outcome: Outcome, revoked: int, restored: int) -> object:
        if self._customer is None:
            return None
        return return_slip(
            outcome.state,
            phone_masked=self._customer.phone_masked,
            revoked=revoked,
            restored=restored,
            language=self._request.language,
            columns=self._request.columns,
        )

    def _refuse(self, refusal: Refusal) -> Answer:
        if isinstance(refusal, Exceeded):
            return self._told(Conflict(refusal.code, refusal.detail, left=_left(refusal.left)))
        if refusal.code == "source_exists":
            detail = (
                "This return number is posted already. To hear the answer again, repeat the "
                "request with the Idempotency-Key it was posted with; a further return of the "
                "receipt needs a number of its own."
            )
            members = problem_of(refusal).members
            return self._told(Conflict("return_exists", detail, **members))
        return refuser(self._request.request_id)(refusal)

    def _told(self, problem: Problem) -> Answer:
        return Answer(problem.status, encode(problem_document(problem, self._request.request_id)))


def _left(left: Mapping[int, int]) -> Sequence[Mapping[str, object]]:
    return [
        {"line": number, "quantity": Quantity(quantity).text()}
        for number, quantity in sorted(left.items())
    ]
