"""The ledger over HTTP, for finance."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.catalog.service import Catalog
from billing.common.answer import Answer
from billing.common.errors import ValidationFailed
from billing.common.http import Call, operation
from billing.common.wire import decode_cursor
from billing.finance import service
from billing.finance.files import MEDIA_TYPES
from billing.finance.reports import Reports
from billing.finance.schemas import (
    CURSOR_KEY,
    ENTRY_KEY,
    AgeingOut,
    AgeingQuery,
    EntriesQuery,
    EntryPage,
    LedgerPostingPage,
    LiabilityOut,
    LiabilityQuery,
    PostingsQuery,
    ProgramsOut,
    ProgramsQuery,
    TransactionOut,
    TrialBalanceOut,
    TrialBalanceQuery,
)
from ledger.service import Ledger

_TAG = "Ledger"


def _reports(call: Call[Any, Any]) -> Reports:
    return Reports(call.use(Ledger), call.use(Catalog).current(), call.use(ZoneInfo))


_REPORT: dict[str, Any] = {
    "tag": _TAG,
    "may": ("finance", "bi", "admin"),
    "files": tuple(kind.decode().split(";")[0] for kind in MEDIA_TYPES.values()),
    "patience_s": 120,
}


@operation(
    "GET",
    "/v1/ledger/trial-balance",
    summary="Read the trial balance",
    query=TrialBalanceQuery,
    answers={200: TrialBalanceOut},
    **_REPORT,
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
    reports = _reports(call)
    table = await reports.trial_balance(call.query, call.principal)
    return await service.answer_report(table, call.query, reports.zone)


@operation(
    "GET",
    "/v1/ledger/liability",
    summary="Read the liability's roll-forward",
    query=LiabilityQuery,
    answers={200: LiabilityOut},
    **_REPORT,
)
async def read_liability(call: Call[None, LiabilityQuery]) -> Answer:
    """What is owed to customers: opening + accrued - redeemed - expired + adjusted + transferred =
    closing, for any period. `accrued` is net of what returned goods took back, `redeemed` of what
    they restored; `activated` became available and changes nothing.

    By channel and store: of the place where each movement was posted, so points given here and
    spent there leave here more, and there less than nothing; time alone (activation, expiry)
    happens nowhere. By program and bucket: of the lot, so each line stands for itself.
    """
    reports = _reports(call)
    table = await reports.liability(call.query, call.principal)
    return await service.answer_report(table, call.query, reports.zone)


@operation(
    "GET",
    "/v1/ledger/ageing",
    summary="Read what is owed by its expiry",
    query=AgeingQuery,
    answers={200: AgeingOut},
    **_REPORT,
)
async def read_ageing(call: Call[None, AgeingQuery]) -> Answer:
    """The closing of the roll-forward, by the day, month, quarter or year its points expire in."""
    reports = _reports(call)
    table = await reports.ageing(call.query, call.principal)
    return await service.answer_report(table, call.query, reports.zone)


@operation(
    "GET",
    "/v1/ledger/programs",
    summary="Read issuance, redemption and cost by program",
    query=ProgramsQuery,
    answers={200: ProgramsOut},
    **_REPORT,
)
async def read_programs_report(call: Call[None, ProgramsQuery]) -> Answer:
    """What each program gave in the period, what became of what it gave, and what that cost at
    `point_value` a point. Points of no program were given by hand or brought in."""
    reports = _reports(call)
    table = await reports.programs(call.query, call.principal)
    return await service.answer_report(table, call.query, reports.zone)


@operation(
    "GET",
    "/v1/ledger/general-ledger",
    summary="Read an account's postings with the running balance",
    query=EntriesQuery,
    answers={200: EntryPage},
    **_REPORT,
)
async def read_general_ledger(call: Call[None, EntriesQuery]) -> Answer:
    """From the opening balance on, in the order of `time`. With `customer_id` and no account: the
    customer's statement. A page goes on with the balance of the one before."""
    reports = _reports(call)
    cursor = call.query.cursor
    after: Any = decode_cursor(cursor, *ENTRY_KEY) if cursor is not None else None
    return await service.list_entries(reports, call.use(Ledger), call.principal, call.query, after)


@operation(
    "GET",
    "/v1/ledger/postings",
    summary="List postings",
    query=PostingsQuery,
    answers={200: LedgerPostingPage},
    **_REPORT,
)
async def list_ledger_postings(call: Call[None, PostingsQuery]) -> Answer:
    """In the order they were written: what any total with the same filters adds up. A posting is
    listed as soon as nothing older is still being written, so that whoever reads on by
    `next_cursor` misses nothing."""
    cursor = call.query.cursor
    after: Any = decode_cursor(cursor, *CURSOR_KEY) if cursor is not None else None
    return await service.list_postings(
        _reports(call), call.use(Ledger), call.principal, call.query, after
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


OPERATIONS = [
    read_trial_balance,
    read_liability,
    read_ageing,
    read_programs_report,
    read_general_ledger,
    list_ledger_postings,
    read_ledger_transaction,
]
