"""Campaigns among all that waits for a second person."""

from __future__ import annotations

from typing import Any

from billing.approvals.model import Approval, TurnedDown
from billing.campaigns.service import Campaigns
from billing.common.auth import Principal, Role


class CampaignApprovals:
    """`kind` campaign of approvals. `POST /v1/campaigns/{code}/approve` is the same decision:
    campaigns write it down themselves, whichever way it comes, and know who had a hand in it."""

    kind = "campaign"
    approvers: tuple[Role, ...] = ("finance", "admin")
    records_itself = True

    def __init__(self, campaigns: Campaigns) -> None:
        self._campaigns = campaigns

    async def approve(self, approval: Approval, principal: Principal) -> Any:
        await self._campaigns.approve(approval.subject, principal, approval=approval.id)

    async def turned_down(
        self, approval: Approval, state: TurnedDown, principal: Principal, reason: str | None
    ) -> None:
        """A draft again: whoever wrote it may change it."""
        await self._campaigns.withdraw(
            approval.subject, principal, approval=approval.id, state=state, reason=reason
        )
