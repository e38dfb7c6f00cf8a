"""What needs four eyes before it reaches the ledger: kept under its key, posted on approval."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from billing.approvals.model import Approval, id_of, key_of
from billing.approvals.schemas import WaitingOut
from billing.approvals.service import Approvals
from billing.common import deadline
from billing.common.answer import Answer
from billing.common.errors import IdempotencyKeyReused
from billing.common.teller import Request, answer_of, answered, problem_of, told
from ledger.commands import Command
from ledger.errors import Refusal
from ledger.flows import TransactionKind
from ledger.service import Ledger

_KNOWN: Final = "SELECT fingerprint FROM ledger.idempotency_keys WHERE key = $1"


async def ask_first(
    ledger: Ledger,
    approvals: Approvals,
    request: Request,
    kind: TransactionKind,
    *,
    approval_kind: str,
    summary: str,
    content: Any,
) -> Answer:
    """Ask for approval of a request that moves points; 202, kept under the request's key.

    Raises IdempotencyKeyReused, Overloaded.
    """
    fingerprint = request.fingerprint()
    approval_id = id_of(request.key, fingerprint)
    known = await ledger.pool.fetchval(_KNOWN, request.key)
    if known is None:
        await approvals.ask(
            approval_kind, str(approval_id), summary, content, request.principal, id=approval_id
        )
    elif bytes(known) != fingerprint:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used for another request; use a new key for a new one."
        )
    waiting = WaitingOut(approval_id=approval_id, state="pending", summary=summary)
    command = Command(
        customer_id=None,
        kind=kind,
        occurred_at=ledger.clock(),
        key=request.key,
        fingerprint=fingerprint,
        refusal=Refusal("approval_needed", "It waits for a second person."),
        refuse=lambda _: answer_of(202, waiting),
    )
    with told():
        return answered(await ledger.execute(command, deadline.left()))


async def post_approved(ledger: Ledger, approval: Approval, command: Command) -> Any:
    """Post a command once, under the approval's own key; the document it answers with.

    Raises the Problem that the state gives.
    """
    once = msgspec.structs.replace(
        command,
        key=key_of(approval),
        fingerprint=hashlib.sha256(approval.id.bytes).digest(),
        source=key_of(approval),
        author=f"{approval.asked_by}; approved by {approval.decided_by}",
        refuse=None,
    )
    with told():
        result = await ledger.execute(once, deadline.left())
    kept = result.answer
    if kept is None:
        raise RuntimeError("a command that is approved keeps an answer")
    return msgspec.json.decode(kept.body)


def raise_refusal(command: Command) -> None:
    """Raise the problem for which a prepared command would be refused, if there is one."""
    if command.refusal is not None:
        raise problem_of(command.refusal)
