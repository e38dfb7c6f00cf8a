"""The ledger over HTTP, for finance."""

from __future__ import annotations

from uuid import UUID
from zoneinfo import ZoneInfo

from billing.common.answer import Answer
from billing.common.errors import ValidationFailed
from billing.common.http import Call, operation
from billing.common.wire import decode_cursor
from billing.finance import service
from billing.finance.schemas import (
    CURSOR_KEY,
    LedgerPostingPage,
    PostingsQuery,
    TransactionOut,
    TrialBalanceOut,
    TrialBalanceQuery,
)
from ledger.service import Ledger

_TAG = "Ledger"


@operation(
    "GET",
    "/v1/ledger/trial-balance",
    summary="Read the trial balance",
    tag=_TAG,
    may=("finance", "bi", "admin"),
    query=TrialBalanceQuery,
    answers={200: TrialBalanceOut},
    patience_s=30,
)
async def read_trial_balance(call: Call[None, TrialBalanceQuery]) -> Answer:
    """What left (`debit`) and what arrived in (`credit`) every account: both columns have the
    same sum, and all balances together are zero, unless one `account` is asked for. `debt` has
    the balance that customers owe, with a minus.

    `as_of`: what had happened by then; `known_at`: what had been recorded by then; with
    `known_at` alone both are that time; without either, all there is. Counts what is posted:
    activations and expiries come with the next transaction or sweep. A key bound to a channel
    or store sees that part only.
    """
    return Answer.json(
        await service.trial_balance(
            call.use(Ledger), call.principal, call.query, call.use(ZoneInfo)
        )
    )


@operation(
    "GET",
    "/v1/ledger/postings",
    summary="List postings",
    tag=_TAG,
    may=("finance", "bi", "admin"),
    query=PostingsQuery,
    answers={200: LedgerPostingPage},
    patience_s=30,
)
async def list_ledger_postings(call: Call[None, PostingsQuery]) -> Answer:
    """In the order they were written: what a trial balance with the same filters adds up. A
    posting is listed as soon as nothing older is still being written, so that whoever reads on
    by `next_cursor` misses nothing."""
    cursor = call.query.cursor
    after = decode_cursor(cursor, *CURSOR_KEY) if cursor is not None else None
    return Answer.json(
        await service.list_postings(
            call.use(Ledger), call.principal, call.query, call.use(ZoneInfo), after
        )
    )


@operation(
    "GET",
    "/v1/ledger/transactions/{id}",
    summary="Read a transaction",
    tag=_TAG,
    may=("finance", "support", "bi", "admin"),
    answers={200: TransactionOut},
)
async def read_ledger_transaction(call: Call) -> Answer:
    """Its postings, the balances after it, and the transactions that correct it."""
    try:
        transaction_id = UUID(call.path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be a transaction's id, a UUID") from None
    return Answer.json(
        await service.read_transaction(
            call.use(Ledger), call.principal, transaction_id, call.use(ZoneInfo)
        )
    )


OPERATIONS = [read_trial_balance, list_ledger_postings, read_ledger_transaction]
