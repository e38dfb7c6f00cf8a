"""Whether a campaign needs a second person: when it may cost more than a setting says."""

from __future__ import annotations

import msgspec

from billing.campaigns.definition import Terms
from billing.campaigns.model import Campaign
from billing.campaigns.schemas import PreviewOut
from billing.common.db import Database
from billing.common.errors import Conflict
from billing.common.money import parse_amount
from billing.jobs import store as jobs


class Approval:
    """`limit` in 1/100 points: whatever may cost more is approved by another key."""

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit

    async def previewed(self, campaign: Campaign) -> PreviewOut:
        """The preview of this revision. Raises Conflict when there is none yet."""
        asked = campaign.preview_job
        job = None if asked is None else await jobs.read(self._database, asked)
        if job is None or job.state != "done":
            state = "has none" if job is None else f"is {job.state}"
            raise Conflict(
                "campaign_not_previewed",
                f"The preview of this revision {state}; ask for one by "
                f"POST /v1/campaigns/{campaign.code}/preview and wait until it is done.",
            )
        return msgspec.convert(job.result, PreviewOut)

    def is_needed(self, terms: Terms, preview: PreviewOut) -> bool:
        """Whether the cost, over all runs, or the budget is above the limit."""
        cost = parse_amount(preview.points)
        if terms.budget is not None:
            return max(cost, terms.budget) > self._limit
        return preview.runs is None or cost * preview.runs > self._limit

    def allowance(self, terms: Terms) -> int | None:
        """What a campaign that nobody approved may give, though its audience may have grown since
        the preview; None when its budget says so."""
        return self._limit if terms.budget is None else None
