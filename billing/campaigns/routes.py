"""Campaigns over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from billing.campaigns import store
from billing.campaigns.crowd import FIRST
from billing.campaigns.examples import CAMPAIGNS, LIST, PATCHES
from billing.campaigns.model import Campaign
from billing.campaigns.schemas import (
    AudienceList,
    CampaignIn,
    CampaignOut,
    CampaignPage,
    CampaignPatch,
    FailureOut,
    FailurePage,
    PreviewQueued,
    RunPage,
    UploadOut,
)
from billing.campaigns.service import Campaigns
from billing.campaigns.upload import Lists
from billing.campaigns.views import campaigns_out, run_out
from billing.common.answer import Answer
from billing.common.auth import Principal, Role
from billing.common.db import Database
from billing.common.errors import NotFound, ValidationFailed
from billing.common.http import Call, operation
from billing.common.wire import PageQuery, page

_TAG = "Campaigns"
_PATH = "/v1/campaigns"
_ONE = f"{_PATH}/{{code}}"
MAKERS: tuple[Role, ...] = ("marketer", "admin")
READERS: tuple[Role, ...] = ("marketer", "finance", "admin")
APPROVERS: tuple[Role, ...] = ("finance", "admin")
UPLOAD_PATIENCE_S = 30


@operation(
    "POST", _PATH, summary="Draft a campaign", tag=_TAG, may=MAKERS, body=CampaignIn,
    answers={201: CampaignOut}, examples=CAMPAIGNS,
)  # fmt: skip
async def create_campaign(call: Call[CampaignIn]) -> Answer:
    """A draft gives nothing: preview it, then submit it. Points go to verified customers who are
    not blocked, once a customer and run."""
    made = await call.use(Campaigns).create(call.body, call.principal)
    return await _told(call, made, 201)


@operation(
    "GET", _PATH, summary="List campaigns", tag=_TAG, may=READERS, query=PageQuery,
    answers={200: CampaignPage},
)  # fmt: skip
async def list_campaigns(call: Call[None, PageQuery]) -> Answer:
    """By code."""
    call.principal.covers(None, None)
    after = call.query.after(str)
    found = await store.read_page(call.use(Database), after[0] if after else "", call.query.limit)
    items = await campaigns_out(call.use(Database), found)
    return Answer.json(page(items, call.query.limit, *([items[-1].code] if items else [])))


@operation("GET", _ONE, summary="Read a campaign", tag=_TAG, may=READERS,
           answers={200: CampaignOut})  # fmt: skip
async def read_campaign(call: Call) -> Answer:
    return await _told(call, await call.use(Campaigns).read(call.path["code"], call.principal))


@operation(
    "PATCH", _ONE, summary="Change a draft", tag=_TAG, may=MAKERS, body=CampaignPatch,
    answers={200: CampaignOut}, conflicts=("campaign_state",), examples=PATCHES,
)  # fmt: skip
async def change_campaign(call: Call[CampaignPatch]) -> Answer:
    """Members that are left out stay, null clears. A preview made before does not count."""
    code, campaigns = call.path["code"], call.use(Campaigns)
    return await _told(call, await campaigns.change(code, call.body, call.principal))


@operation(
    "POST", f"{_ONE}/audience", summary="Add customers to the list", tag=_TAG, may=MAKERS,
    body=AudienceList, ndjson=True, patience_s=UPLOAD_PATIENCE_S, answers={200: UploadOut},
    conflicts=("campaign_state", "campaign_list_full"), examples=LIST,
)  # fmt: skip
async def upload_audience(call: Call[AudienceList]) -> Answer:
    """For a draft whose audience is `{"list": "uploaded"}`: up to 10,000 phones, cards or ids at
    a time, up to 1,000,000 in all; as a JSON array, or an object a line as application/x-ndjson.
    A part sent twice adds nobody twice. Unknown customers are reported and not kept."""
    return Answer.json(await call.use(Lists).add(call.path["code"], call.body, call.principal))


@operation(
    "POST", f"{_ONE}/audience/clear", summary="Empty the list", tag=_TAG, may=MAKERS,
    answers={200: CampaignOut}, conflicts=("campaign_state",),
)  # fmt: skip
async def clear_audience(call: Call) -> Answer:
    """To begin the list of a draft anew."""
    return await _told(call, await call.use(Lists).clear(call.path["code"], call.principal))


@operation(
    "POST", f"{_ONE}/preview", summary="Preview a draft", tag=_TAG, may=MAKERS,
    answers={202: PreviewQueued}, conflicts=("campaign_state",),
)  # fmt: skip
async def preview_campaign(call: Call) -> Answer:
    """How many customers, how many points at most, and when it would run. Nothing is given: a
    worker counts, and the job named in `Location` has the result (`PreviewOut`), as the campaign
    itself has. A preview counts for the revision it was made of."""
    job, campaign = await call.use(Campaigns).preview(call.path["code"], call.principal)
    queued = PreviewQueued(job.id, job.state, campaign.code, campaign.revision)
    return Answer.json(queued, 202, ((b"location", f"/v1/jobs/{job.id}".encode()),))


@operation(
    "POST", f"{_ONE}/submit", summary="Let a campaign run", tag=_TAG, may=MAKERS,
    answers={200: CampaignOut},
    conflicts=("campaign_state", "campaign_not_previewed", "campaign_list_empty",
               "campaign_too_late"),
)  # fmt: skip
async def submit_campaign(call: Call) -> Answer:
    """It runs at its time, `state` being `scheduled`; or it is `waiting_approval`, when the
    previewed cost of all its runs, or its budget, is above BONUS_CAMPAIGN_APPROVAL_POINTS. One
    that recurs without an end needs a budget or an approval."""
    return await _act(call, call.use(Campaigns).submit)


@operation(
    "POST", f"{_ONE}/approve", summary="Approve a campaign", tag=_TAG, may=APPROVERS,
    answers={200: CampaignOut},
    conflicts=("campaign_state", "campaign_own_approval", "campaign_too_late"),
)  # fmt: skip
async def approve_campaign(call: Call) -> Answer:
    """By a key that neither wrote, changed nor submitted it. When its time has passed meanwhile,
    it runs at once."""
    return await _act(call, call.use(Campaigns).approve)


@operation(
    "POST", f"{_ONE}/withdraw", summary="Make a campaign a draft again", tag=_TAG, may=READERS,
    answers={200: CampaignOut}, conflicts=("campaign_state",),
)  # fmt: skip
async def withdraw_campaign(call: Call) -> Answer:
    """Instead of an approval, or before the first run."""
    return await _act(call, call.use(Campaigns).withdraw)


@operation(
    "POST", f"{_ONE}/pause", summary="Pause a campaign", tag=_TAG, may=READERS,
    answers={200: CampaignOut}, conflicts=("campaign_state",),
)  # fmt: skip
async def pause_campaign(call: Call) -> Answer:
    """Only the group that is being posted, at most 1,000 customers, still gets its points."""
    return await _act(call, call.use(Campaigns).pause)


@operation(
    "POST", f"{_ONE}/resume", summary="Resume a campaign", tag=_TAG, may=MAKERS,
    answers={200: CampaignOut}, conflicts=("campaign_state", "campaign_too_late"),
)  # fmt: skip
async def resume_campaign(call: Call) -> Answer:
    """After a pause, or after the cause of a failure is mended: it goes on where it stopped.
    Runs that fell into the pause are not made up for."""
    return await _act(call, call.use(Campaigns).resume)


@operation(
    "POST", f"{_ONE}/cancel", summary="Cancel a campaign", tag=_TAG, may=READERS,
    answers={200: CampaignOut}, conflicts=("campaign_state",),
)  # fmt: skip
async def cancel_campaign(call: Call) -> Answer:
    """For good. What was given stays given."""
    return await _act(call, call.use(Campaigns).cancel)


@operation(
    "GET", f"{_ONE}/runs", summary="List the runs of a campaign", tag=_TAG, may=READERS,
    query=PageQuery, answers={200: RunPage},
)  # fmt: skip
async def list_runs(call: Call[None, PageQuery]) -> Answer:
    """Progress and results, the newest first."""
    after = call.query.after(datetime)
    before = _aware(after[0]) if after else datetime.max.replace(tzinfo=UTC)
    campaign = await call.use(Campaigns).read(call.path["code"], call.principal)
    runs = await store.read_runs(call.use(Database), campaign.code, before, call.query.limit)
    last = [runs[-1].scheduled_at] if runs else []
    return Answer.json(page(list(map(run_out, runs)), call.query.limit, *last))


@operation(
    "GET", f"{_ONE}/runs/{{id}}/failures", summary="List the customers a run set aside",
    tag=_TAG, may=READERS, query=PageQuery, answers={200: FailurePage},
)  # fmt: skip
async def list_failures(call: Call[None, PageQuery]) -> Answer:
    """Customers of the audience to whom nothing could be given, with what was wrong."""
    run_id, after = _id(call.path["id"]), call.query.after(UUID)
    campaign = await call.use(Campaigns).read(call.path["code"], call.principal)
    database, limit = call.use(Database), call.query.limit
    if not await store.has_run(database, campaign.code, run_id):
        raise NotFound(f"Campaign {campaign.code!r} has no run {run_id}.")
    rows = await store.read_failures(database, run_id, after[0] if after else FIRST, limit)
    items = [FailureOut(**row) for row in rows]
    return Answer.json(page(items, limit, *([items[-1].customer_id] if items else [])))


async def _act(call: Call, action: Callable[[str, Principal], Awaitable[Campaign]]) -> Answer:
    return await _told(call, await action(call.path["code"], call.principal))


async def _told(call: Call[Any, Any], campaign: Campaign, status: int = 200) -> Answer:
    (told,) = await campaigns_out(call.use(Database), [campaign])
    return Answer.json(told, status)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValidationFailed.at(
            "/query/cursor", "is not a cursor of this list; start again without it"
        )
    return moment


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be a run's id, a UUID") from None


OPERATIONS = [
    create_campaign,
    list_campaigns,
    read_campaign,
    change_campaign,
    upload_audience,
    clear_audience,
    preview_campaign,
    submit_campaign,
    approve_campaign,
    withdraw_campaign,
    pause_campaign,
    resume_campaign,
    cancel_campaign,
    list_runs,
    list_failures,
]
