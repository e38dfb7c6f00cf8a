"""Uploading the list of a campaign, some thousand rows at a time, and saying what was wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from billing.campaigns import store
from billing.campaigns.model import Campaign
from billing.campaigns.schemas import UploadOut, WrongRow
from billing.campaigns.service import Campaigns
from billing.common.auth import Principal
from billing.common.errors import Conflict, ValidationFailed
from billing.customers.directory import CustomerDirectory
from billing.customers.model import Customer
from billing.customers.schemas import CustomerRef

MAX_LIST: Final = 1_000_000
AT_ONCE: Final = 500
"""Rows looked up together; between them others of the process get a turn."""


class Lists:
    """Lists of campaigns: only ids are kept, found by phone, card or id when uploaded."""

    def __init__(self, campaigns: Campaigns, customers: CustomerDirectory) -> None:
        self._campaigns = campaigns
        self._customers = customers

    async def add(self, code: str, rows: Sequence[CustomerRef], principal: Principal) -> UploadOut:
        """Add customers to the list of a draft; who is in it already stays. Raises Conflict when
        it would be too long, and then nothing is added."""
        (await self._campaigns.read(code, principal)).must_allow("change")
        out = UploadOut(0, 0, [], [], [], [], [])
        found = await self._find(rows, out)
        async with self._campaigns.editing(code, principal) as (tx, campaign):
            new = await store.add_to_list(tx, code, [one.id for one in found.values()])
            size = campaign.audience_size + len(new)
            if size > MAX_LIST:
                raise Conflict(
                    "campaign_list_full",
                    f"A list has at most {MAX_LIST:,} customers; this one has "
                    f"{campaign.audience_size:,}. Make another campaign for the rest.",
                )
            await self._campaigns.edited(tx, campaign, principal, audience_size=size)
        out.added, out.in_list = len(new), size
        out.doubled = sorted(out.doubled + [row for row, one in found.items() if one.id not in new])
        return out

    async def clear(self, code: str, principal: Principal) -> Campaign:
        """Empty the list of a draft."""
        async with self._campaigns.editing(code, principal) as (tx, campaign):
            await store.clear_list(tx, code)
            await self._campaigns.edited(tx, campaign, principal, audience_size=0)
        return await self._campaigns.read(code, principal)

    async def _find(self, rows: Sequence[CustomerRef], out: UploadOut) -> dict[int, Customer]:
        """The customers by row, each once; what is not right goes to `out`."""
        found: dict[int, Customer] = {}
        seen = set()
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            fates = await asyncio.gather(*map(self._look_up, part))
            for row, fate in enumerate(fates, start + 1):
                if fate is None:
                    out.unknown.append(row)
                elif isinstance(fate, str):
                    out.wrong.append(WrongRow(row, fate))
                elif fate.id in seen:
                    out.doubled.append(row)
                else:
                    seen.add(fate.id)
                    found[row] = fate
                    if fate.status == "blocked":
                        out.blocked.append(row)
                    elif fate.status == "unverified":
                        out.unverified.append(row)
        return found

    async def _look_up(self, ref: CustomerRef) -> Customer | str | None:
        """The customer, or what is wrong with the name."""
        try:
            return await self._customers.resolve(
                customer_id=ref.customer_id, phone=ref.phone, card=ref.card, pointer=""
            )
        except ValidationFailed as failed:
            return failed.errors[0].detail
