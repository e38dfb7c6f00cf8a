"""Campaigns and runs as they are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from billing.campaigns import store
from billing.campaigns.model import Campaign, Run
from billing.campaigns.schemas import CampaignOut, DefinitionIn, RunOut
from billing.common.db import Database
from billing.common.money import format_amount

_WRITTEN = DefinitionIn.__struct_fields__
_KEPT = ("code", "state", "revision", "author", "created_at", "updated_at", "submitted_by",
         "submitted_at", "approved_by", "approved_at", "next_run_at", "failure")  # fmt: skip
_COUNTED = ("id", "scheduled_at", "state", "started_at", "finished_at", "total", "seen",
            "customers", "given", "skipped", "failed", "error")  # fmt: skip


async def campaigns_out(database: Database, campaigns: Sequence[Campaign]) -> list[CampaignOut]:
    """With their previews, through one query."""
    asked = [one.preview_job for one in campaigns if one.preview_job is not None]
    previews = await store.read_previews(database, asked) if asked else {}
    found: list[CampaignOut] = []
    for one in campaigns:
        told: dict[str, Any] = {name: one.definition.get(name) for name in _WRITTEN}
        told |= {name: getattr(one, name) for name in _KEPT}
        preview = previews.get(one.preview_job) if one.preview_job is not None else None
        found.append(CampaignOut(**told, in_list=one.audience_size, preview=preview))
    return found


def run_out(run: Run) -> RunOut:
    return RunOut(
        **{name: getattr(run, name) for name in _COUNTED},
        campaign=run.code,
        points=format_amount(run.points),
    )
