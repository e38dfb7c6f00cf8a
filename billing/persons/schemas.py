"""What is kept of a person, on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from billing.balances.schemas import StatementItemOut
from billing.consents.schemas import ConsentOut
from billing.customers.schemas import CustomerOut, MergeOut
from billing.messages.model import Written
from billing.messages.schemas import MessageOut
from billing.verifications.schemas import VerificationOut


class DuplicateOut(msgspec.Struct, kw_only=True):
    """Who was merged into the customer: the same person, under another name."""

    customer: CustomerOut
    statement: list[StatementItemOut]
    statement_complete: bool


class PersonOut(msgspec.Struct, kw_only=True):
    """Everything, newest first; consents, verifications and messages of duplicates among them. With
    `statement_complete` false the statement is longer: its list has the rest. `messages` are the
    newest 10,000 of the last year, without their texts, which are not kept; `written` what came
    from the person's phones. Receipts are read by their numbers."""

    exported_at: datetime
    customer: CustomerOut
    consents: list[ConsentOut]
    verifications: list[VerificationOut]
    merges: list[MergeOut]
    duplicates: list[DuplicateOut]
    messages: list[MessageOut]
    written: list[Written]
    balance: dict[str, Any]
    statement: list[StatementItemOut]
    statement_complete: bool
