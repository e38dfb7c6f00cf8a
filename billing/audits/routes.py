"""The last audit and the seals over HTTP."""

from __future__ import annotations

from billing.audits.reading import AuditReader
from billing.audits.schemas import LedgerAuditOut
from billing.common.answer import Answer
from billing.common.http import Call, Operation, operation


@operation(
    "GET",
    "/v1/ledger/audit",
    summary="Read the last audit and the seals",
    tag="Ledger",
    may=("finance", "bi", "admin"),
    answers={200: LedgerAuditOut},
)
async def read_audit(call: Call) -> Answer:
    """What the last audit that was kept saw and found, how far the journal is sealed, and the
    newest signed checkpoint. The chain audits itself every night (`BONUS_AUDIT_AT`); `bonus audit`
    does it at once. For keys that are bound to no channel or store."""
    call.principal.covers(None, None)
    return Answer.json(await call.use(AuditReader).read())


OPERATIONS: list[Operation] = [read_audit]
