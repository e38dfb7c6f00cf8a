"""What is kept of a person, on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from billing.balances.schemas import StatementItemOut
from billing.consents.schemas import ConsentOut
from billing.customers.schemas import CustomerOut, MergeOut
from billing.verifications.schemas import VerificationOut


class PersonOut(msgspec.Struct, kw_only=True):
    """Everything, newest first. With `statement_complete` false the statement is longer: its list
    has the rest. Receipts are read by their numbers."""

    exported_at: datetime
    customer: CustomerOut
    consents: list[ConsentOut]
    verifications: list[VerificationOut]
    merges: list[MergeOut]
    balance: dict[str, Any]
    statement: list[StatementItemOut]
    statement_complete: bool
