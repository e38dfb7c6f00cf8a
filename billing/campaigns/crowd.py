"""The customers a campaign may be for, as a stream: a page at a time, in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from billing.common.db import Database
from billing.customers.model import STORED, Customer

FIRST: Final = UUID(int=0)
"""Before all customers."""
READ_TIMEOUT_S: Final = 30

_FIELDS = ", ".join(f"c.{name}" for name in STORED)
_ALL = f"""
SELECT {_FIELDS} FROM billing.customers c
WHERE c.id > $1 AND c.created_at <= $2 AND c.merged_into IS NULL ORDER BY c.id LIMIT $3
"""  # noqa: S608
_LISTED = f"""
SELECT {_FIELDS} FROM billing.campaign_audience a JOIN billing.customers c ON c.id = a.customer_id
WHERE a.customer_id > $1 AND c.created_at <= $2 AND a.code = $4 AND c.merged_into IS NULL
ORDER BY a.customer_id LIMIT $3
"""  # noqa: S608


class Crowd:
    """All customers, or those in the list uploaded for `listed`, who were registered by `until`:
    so that it has an end however many register meanwhile."""

    def __init__(self, database: Database, until: datetime, listed: str | None) -> None:
        self._database = database
        self._until = until
        self._listed = listed

    async def page(self, after: UUID, limit: int) -> Sequence[Customer]:
        """The next ones after a customer; fewer than `limit` at the end. Raises Overloaded."""
        query, listed = (_ALL, ()) if self._listed is None else (_LISTED, (self._listed,))
        rows = await self._database.fetch(
            query, after, self._until, limit, *listed, timeout_s=READ_TIMEOUT_S
        )
        return [Customer(*row) for row in rows]
