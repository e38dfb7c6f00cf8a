"""How what the ledger holds is shown to finance: pure, times in the chain's zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from billing.balances.model import receipt_of
from billing.common.money import format_amount
from billing.finance.schemas import (
    AfterOut,
    CorrectionOut,
    LedgerPostingOut,
    MovementOut,
    TransactionOut,
)
from ledger.model import Posting, Transaction


def listed_posting(row: tuple[Any, ...], head: asyncpg.Record, zone: ZoneInfo) -> LedgerPostingOut:
    """A row of `ledger.listing`, with the head of its transaction."""
    customer_id, version, seq, occurred_at, recorded_at, *posting = row
    return LedgerPostingOut(
        transaction_id=head["id"],
        transaction_kind=head["kind"],
        receipt=receipt_of(head["source"]),
        author=head["author"],
        customer_id=customer_id,
        version=version,
        occurred_at=occurred_at.astimezone(zone),
        recorded_at=recorded_at.astimezone(zone),
        **_movement(seq, Posting(*posting), zone),
    )


def whole_transaction(
    transaction: Transaction, corrections: Sequence[Transaction], zone: ZoneInfo
) -> TransactionOut:
    """A transaction with its postings and what corrects it."""
    after = transaction.after
    return TransactionOut(
        id=transaction.id,
        customer_id=transaction.customer_id,
        version=transaction.version,
        kind=transaction.kind,
        occurred_at=transaction.occurred_at.astimezone(zone),
        recorded_at=transaction.recorded_at.astimezone(zone),
        operation_id=transaction.operation_id,
        corrects=transaction.corrects,
        hold_id=transaction.hold_id,
        hold_expires_at=local(transaction.hold_expires_at, zone),
        source=transaction.source,
        receipt=receipt_of(transaction.source),
        channel=transaction.channel,
        store=transaction.store,
        author=transaction.author,
        reason=transaction.reason,
        after=AfterOut(
            available=format_amount(after.available),
            promo=format_amount(after.promo),
            deferred=format_amount(after.deferred),
            held=format_amount(after.held),
            debt=format_amount(after.debt),
        ),
        postings=[
            MovementOut(**_movement(seq, posting, zone))
            for seq, posting in enumerate(transaction.postings, 1)
        ],
        corrected_by=[_correction(one, zone) for one in corrections],
    )


def local(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    """`moment` in `zone`, when there is one."""
    return moment.astimezone(zone) if moment is not None else None


def _movement(seq: int, posting: Posting, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "seq": seq,
        "kind": posting.kind,
        "debit": posting.debit,
        "credit": posting.credit,
        "points": format_amount(posting.amount),
        "lot_id": posting.lot_id,
        "bucket": posting.bucket,
        "available_from": posting.active_from.astimezone(zone),
        "expires_at": local(posting.expires_at, zone),
        "program": posting.program,
        "program_version": posting.program_version,
        "channel": posting.channel,
        "store": posting.store,
        "product_group": posting.product_group,
    }


def _correction(transaction: Transaction, zone: ZoneInfo) -> CorrectionOut:
    return CorrectionOut(
        transaction_id=transaction.id,
        version=transaction.version,
        kind=transaction.kind,
        occurred_at=transaction.occurred_at.astimezone(zone),
        recorded_at=transaction.recorded_at.astimezone(zone),
        author=transaction.author,
        reason=transaction.reason,
    )
