"""A house whose clock the test sets: the reading side over HTTP, its ledger beside it.

No worker runs here: what is due is posted only by the customer's next transaction.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
from litestar import Litestar

from billing.adjustments.routes import OPERATIONS as ADJUSTMENTS
from billing.app.services import Services, build_services
from billing.balances.routes import OPERATIONS as BALANCES
from billing.common.auth import NOBODY, Role
from billing.common.http import Operation, Runtime, bind
from billing.common.settings import Settings
from billing.customers.model import Status
from billing.customers.schemas import CustomerIn
from billing.finance.routes import OPERATIONS as FINANCE
from ledger.commands import Accrue, Command, Grant, Step
from ledger.decide import Outcome
from ledger.flows import Bucket, TransactionKind
from ledger.model import Transaction
from ledger.service import Ledger

DAY = timedelta(days=1)
START = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
_ADMIN = type(NOBODY)(key_id=UUID(int=1), name="the test", role="admin")
_numbers = itertools.count(1)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class House:
    clock: Clock
    services: Services
    app: Litestar
    stack: AsyncExitStack
    clients: dict[Any, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        return self.services.ledger

    async def client(
        self, role: Role = "finance", channel: str | None = None, store: str | None = None
    ) -> httpx.AsyncClient:
        made = self.clients.get((role, channel, store))
        if made is None:
            _, secret = await self.services.keys.create(role, f"the {role}", channel, store)
            made = httpx.AsyncClient(
                transport=httpx.ASGITransport(cast(Any, self.app)),
                base_url="http://test",
                headers={"authorization": f"Bearer {secret}"},
            )
            await self.stack.enter_async_context(made)
            self.clients[role, channel, store] = made
        return made

    async def get(self, path: str, role: Role = "finance", **query: Any) -> Any:
        """The answer of a GET that must succeed; times in `query` may be datetimes."""
        params = {
            name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else value
            for name, value in query.items()
            if value is not None
        }
        answer = await (await self.client(role)).get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pages(self, path: str, limit: int, **query: Any) -> list[Any]:
        """All items of a list, page by page."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, limit=limit, cursor=cursor, **query)
            assert len(page["items"]) <= limit
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    async def customer(self, status: Status = "verified") -> UUID:
        new = CustomerIn(phone=f"+7917{next(_numbers):07d}", status=status)
        return (await self.services.customers.register(_ADMIN, new)).id

    async def do(
        self, customer: UUID, kind: TransactionKind, *steps: Step, **more: Any
    ) -> Transaction:
        """Carry out a command, now unless `occurred_at` says otherwise."""
        more.setdefault("occurred_at", self.clock())
        result = await self.ledger.execute(
            Command(customer_id=customer, kind=kind, steps=steps, **more)
        )
        return own(result.outcome)

    async def accrue(
        self,
        customer: UUID,
        points: int,
        bucket: Bucket = "base",
        *,
        after: timedelta | None = None,
        lives: timedelta | None = None,
        program: str | None = None,
        occurred_at: datetime | None = None,
        **more: Any,
    ) -> Transaction:
        """One lot of `points` (1/100), from `after` its occurrence on, for `lives` since it."""
        at = occurred_at or self.clock()
        grant = Grant(
            bucket,
            ((None, points),),
            at + after if after else None,
            at + lives if lives else None,
            program,
            1 if program else None,
        )
        return await self.do(customer, "accrual", Accrue((grant,)), occurred_at=at, **more)


def own(outcome: Outcome | None) -> Transaction:
    assert outcome is not None
    assert outcome.transaction is not None
    return outcome.transaction


@asynccontextmanager
async def opened(settings: Settings, more: Sequence[Operation] = ()) -> AsyncIterator[House]:
    """`more` operations than those of balances, finance and adjustments."""
    clock = Clock()
    services = build_services(settings, clock)
    runtime = Runtime(
        authenticator=services.keys,
        services=services.by_class(),
        max_body_bytes=settings.max_body_bytes,
    )
    app = Litestar(
        route_handlers=[bind(one, runtime) for one in (*BALANCES, *FINANCE, *ADJUSTMENTS, *more)],
        openapi_config=None,
        logging_config=None,
    )
    async with services.running(), AsyncExitStack() as stack:
        yield House(clock, services, app, stack)
