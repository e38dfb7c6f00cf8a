"""A customer's balance, statement and lots, as the wire shows them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from billing.balances import store
from billing.balances.model import Document, balance_document, receipt_of
from billing.balances.schemas import LotOut, StatementItemOut
from billing.common.db import ANSWER_TIMEOUT_S
from billing.common.money import format_amount
from billing.common.wire import encode_cursor
from ledger import reads
from ledger.commands import WAITING
from ledger.due import roll_forward
from ledger.model import Hold, Lot
from ledger.reads import StatementItem
from ledger.service import Ledger
from ledger.state import CustomerState

_EVER = datetime.max.replace(tzinfo=UTC)


async def read_balance(
    ledger: Ledger,
    customer_id: UUID,
    zone: ZoneInfo,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
) -> Document:
    """The balance now, or as of `as_of` by what was recorded until `known_at`.

    Activations and expiries that are due count, whether or not a worker has posted them.
    """
    moment = as_of or known_at
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        if moment is None:
            moment = ledger.clock()
            state = await reads.balance_now(ledger, customer_id)
        else:
            state = await reads.balance_as_of(ledger, customer_id, moment, known_at or _EVER)
    return balance_document(state, at=moment, zone=zone, complete=True)


async def read_statement(
    ledger: Ledger, customer_id: UUID, zone: ZoneInfo, limit: int, before: int | None
) -> dict[str, Any]:
    """A page of what was posted, newest first, from below version `before`."""
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        found = await reads.statement(ledger, customer_id, limit, before)
    items = [_statement_item(one, zone) for one in found]
    more = len(items) == limit and items[-1].version > 1
    return {"items": items, "next_cursor": encode_cursor(items[-1].version) if more else None}


async def read_lots(
    ledger: Ledger,
    customer_id: UUID,
    zone: ZoneInfo,
    limit: int,
    before: UUID | None,
    open_: bool | None,
) -> dict[str, Any]:
    """A page of lots as they are now, newest first, from below id `before`.

    A lot that time alone has closed is found among the closed ones at once, so that a page of
    open ones may hold fewer than `limit` and still name a next one.
    """
    now = ledger.clock()
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        lots, holds = await store.lots_page(
            ledger, customer_id, limit, before or store.LAST, now, open_
        )
    items = [
        _lot(lot, zone)
        for lot in _as_they_are(customer_id, lots, holds, now)
        if open_ in (None, lot.open)
    ]
    cursor = encode_cursor(lots[-1].id) if len(lots) == limit else None
    return {"items": items, "next_cursor": cursor}


def _as_they_are(customer_id: UUID, lots: list[Lot], holds: list[Hold], now: datetime) -> list[Lot]:
    """`lots`, in their order, after everything that is due by `now`."""
    state = CustomerState(customer_id)
    state.lots = {lot.id: lot for lot in lots}
    for hold in holds:
        parts = tuple(part for part in hold.parts if part[0] in state.lots)
        state.holds[hold.id] = replace(hold, parts=parts)
    roll_forward(state, now, now)
    return list(state.lots.values())


def _statement_item(item: StatementItem, zone: ZoneInfo) -> StatementItemOut:
    transaction = item.transaction
    after = transaction.after
    return StatementItemOut(
        transaction_id=transaction.id,
        version=transaction.version,
        kind=transaction.kind,
        occurred_at=transaction.occurred_at.astimezone(zone),
        recorded_at=transaction.recorded_at.astimezone(zone),
        points=format_amount(item.points),
        available_after=format_amount(after.available),
        deferred_after=format_amount(after.deferred),
        held_after=format_amount(after.held),
        debt_after=format_amount(after.debt),
        store=transaction.store,
        channel=transaction.channel,
        receipt=receipt_of(transaction.source),
        program=item.programs[0] if len(item.programs) == 1 else None,
        programs=list(item.programs),
        corrects=transaction.corrects,
    )


def _lot(lot: Lot, zone: ZoneInfo) -> LotOut:
    return LotOut(
        id=lot.id,
        bucket=lot.bucket,
        points=format_amount(lot.amount),
        available=format_amount(lot.available),
        deferred=format_amount(lot.deferred),
        held=format_amount(lot.held),
        redeemed=format_amount(lot.redeemed),
        revoked=format_amount(lot.revoked),
        available_from=None if lot.active_from == WAITING else lot.active_from.astimezone(zone),
        expires_at=lot.expires_at.astimezone(zone) if lot.expires_at else None,
        program=lot.program,
        program_version=lot.program_version,
        occurred_at=lot.occurred_at.astimezone(zone),
    )
