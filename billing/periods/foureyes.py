"""The reopening of months among all that waits for a second person."""

from __future__ import annotations

from typing import Any

from billing.approvals.model import Approval, TurnedDown
from billing.common.auth import Principal, Role
from billing.periods.service import REOPENING, Periods


class PeriodApprovals:
    """`POST /v1/ledger/periods/{period}/reopen/approve` is the same decision: it is an event of
    the month, whichever way it comes, written in one transaction with the approval's."""

    kind = REOPENING
    approvers: tuple[Role, ...] = ("finance", "admin")
    records_itself = True

    def __init__(self, periods: Periods) -> None:
        self._periods = periods

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        await self._periods.reopen(approval.subject, principal, approval=approval.id)

    async def turned_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> None:
        """The month stays closed."""
        await self._periods.withdraw(
            approval.subject, principal, approval=approval.id, reason=reason
        )
