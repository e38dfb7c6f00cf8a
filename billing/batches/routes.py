"""Batches over HTTP."""

from __future__ import annotations

from billing.batches.schemas import BatchIn, BatchOut
from billing.batches.service import Batches
from billing.common.answer import Answer
from billing.common.http import Call, operation
from billing.receipts.examples import sale_example
from billing.receipts.slip import language_of


@operation(
    "POST",
    "/v1/batches",
    summary="Carry out many operations",
    tag="Batches",
    may=("pos", "site", "finance", "admin"),
    body=BatchIn,
    answers={200: BatchOut},
    patience_s=30,
    examples={
        "a till was offline": {
            "mode": "independent",
            "operations": [
                {
                    "kind": "accrual",
                    "idempotency_key": "333/0001-000128",
                    "body": sale_example("0001-000128"),
                }
            ],
        }
    },
)
async def run_batch(call: Call[BatchIn]) -> Answer:
    """Up to 1,000 operations, in order; each answer is what the operation's own address would
    have given, and its key is the same as there. A batch may be repeated as it is: what happened
    is answered again. In an atomic batch one refusal leaves nothing done; one that would make more
    than 10,000 postings is refused as a whole."""
    language = language_of(call.headers.get(b"accept-language"))
    results = await call.use(Batches).run(call.principal, call.body, language)
    return Answer.json({"results": results})


OPERATIONS = [run_batch]
