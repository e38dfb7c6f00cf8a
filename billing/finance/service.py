"""What finance asks the ledger: sums, the postings behind them, single transactions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.common.auth import Principal
from billing.common.errors import NotFound, ValidationFailed
from billing.common.money import format_amount
from billing.common.wire import page
from billing.finance.model import listed_posting, local, trial_row, whole_transaction
from billing.finance.schemas import (
    Filters,
    PostingsQuery,
    TransactionOut,
    TrialBalanceOut,
    TrialBalanceQuery,
    TrialTotalsOut,
)
from ledger import reads, totals
from ledger.model import Transaction
from ledger.service import Ledger
from ledger.totals import PostingKey, Selection

MAX_ROWS = 50_000
_INSTANT = timedelta(microseconds=1)


async def trial_balance(
    ledger: Ledger, principal: Principal, query: TrialBalanceQuery, zone: ZoneInfo
) -> TrialBalanceOut:
    """Debits and credits of every account, by the dimensions that `query.by` names."""
    by = query.dimensions()
    as_of = query.as_of or query.known_at
    found = await totals.trial_balance(ledger, _selection(principal, query, query.from_, as_of), by)
    if len(found) > MAX_ROWS:
        raise ValidationFailed.at(
            "/query/by",
            f"gives more than {MAX_ROWS} rows; name fewer dimensions, or one store or program",
        )
    return TrialBalanceOut(
        from_=local(query.from_, zone),
        as_of=local(as_of, zone),
        known_at=local(query.known_at, zone),
        by=list(by),
        rows=[trial_row(total, by) for total in found],
        totals=TrialTotalsOut(
            format_amount(sum(total.debit for total in found)),
            format_amount(sum(total.credit for total in found)),
        ),
    )


async def list_postings(
    ledger: Ledger,
    principal: Principal,
    query: PostingsQuery,
    zone: ZoneInfo,
    after: PostingKey | None,
) -> dict[str, Any]:
    """A page of postings in the order they were written."""
    until = query.to - _INSTANT if query.to is not None else None
    rows = await totals.list_postings(
        ledger,
        _selection(principal, query, query.from_, until),
        query.limit,
        after,
    )
    items = [listed_posting(tuple(row), zone) for row in rows]
    return page(items, query.limit, *(tuple(rows[-1])[1:5] if rows else ()))


async def read_transaction(
    ledger: Ledger, principal: Principal, transaction_id: UUID, zone: ZoneInfo
) -> TransactionOut:
    """A transaction with its postings and what corrects it. Raises NotFound."""
    found = await reads.transaction_by_id(ledger, transaction_id)
    if found is None:
        raise NotFound(f"There is no transaction {transaction_id}.")
    for place in _places(found):
        principal.covers(*place)
    corrections = await reads.corrections_of(ledger, found.customer_id, found.id)
    return whole_transaction(found, corrections, zone)


def _places(one: Transaction) -> set[tuple[str | None, str | None]]:
    """Where it happened; of what no till did, where its points came from."""
    own = (one.channel, one.store)
    if own == (None, None) and one.postings:
        return {(posting.channel, posting.store) for posting in one.postings}
    return {own}


def _selection(
    principal: Principal, filters: Filters, since: datetime | None, as_of: datetime | None
) -> Selection:
    """A key bound to a channel or store sees the postings of that channel or store only."""
    channel, shop = principal.bind(filters.channel, filters.store)
    return Selection(
        since=since,
        as_of=as_of,
        known_at=filters.known_at,
        account=filters.account,
        customer_id=filters.customer_id,
        channel=channel,
        store=shop,
        product_group=filters.product_group,
        program=filters.program,
        bucket=filters.bucket,
    )
