"""Deliveries are sent: each customer's in order, those of different customers side by side.

Subscribers do not wait for each other, and attempts not for the slowest of their batch: what is
finished is written down and makes room for more, a transaction for all that came together.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from integrations.webhooks import queue
from integrations.webhooks.model import Reply, judge
from integrations.webhooks.queue import Job, Outcome, Target
from integrations.webhooks.sender import Sender
from integrations.webhooks.signing import Seals, signature
from ledger.group import Clock
from ledger.service import utc_now

PATIENCE: Final = timedelta(days=5)
LOOK_EVERY_S: Final = 0.5
"""How often a running deliverer looks for something new."""
RUN_S: Final = 60.0
"""After so long no more is claimed; the next run goes on."""
WRITE_TIMEOUT_S: Final = 15.0
DATABASE_AT_ONCE: Final = 3

log = structlog.stdlib.get_logger(__name__)


class Deliverer:
    """Sends what is due. Several may run, in as many processes as you like."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        seals: Seals,
        *,
        clock: Clock = utc_now,
        patience: timedelta = PATIENCE,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._sender = sender
        self._seals = seals
        self._clock = clock
        self._patience = patience
        self._luck = luck
        self._writing = asyncio.Semaphore(DATABASE_AT_ONCE)
        self._running = False
        self._stopping = False

    def stop(self) -> None:
        """Claim no more; what is on its way is finished."""
        self._stopping = True

    async def run(self, *, for_s: float = RUN_S) -> int:
        """Send until nothing is due, or for so long; how many attempts were made. While one
        runs, others of the process return at once: it sees what they came for. Raises Overloaded
        when the database is away."""
        if self._running:
            return 0
        self._running = True
        try:
            return await self._run(asyncio.get_running_loop().time() + for_s)
        finally:
            self._running = False

    async def _run(self, end: float) -> int:
        attempts = 0
        serving: dict[UUID, asyncio.Task[int]] = {}
        broken: dict[UUID, Exception] = {}
        try:
            while True:
                if not self._is_over(end):
                    for one in await queue.due(self._database, self._clock()):
                        if one not in serving and one not in broken:
                            serving[one] = asyncio.create_task(self._serve(one, end))
                if not serving:
                    break
                await asyncio.wait(serving.values(), timeout=LOOK_EVERY_S)
                sent = 0
                for one in [one for one, task in serving.items() if task.done()]:
                    try:
                        sent += serving.pop(one).result()
                    except Exception as error:
                        # The others go on; this one is due again in the next run.
                        broken[one] = error
                attempts += sent
                if not serving and not sent:
                    break
        finally:
            await _end(serving.values())
        if broken:
            raise next(iter(broken.values()))
        return attempts

    def _is_over(self, end: float) -> bool:
        return self._stopping or asyncio.get_running_loop().time() >= end

    async def _serve(self, subscription_id: UUID, end: float) -> int:
        """Send to one subscriber until nothing is due; how much was sent."""
        sending: set[asyncio.Task[Outcome]] = set()
        done: set[asyncio.Task[Outcome]] = set()
        sent = 0
        try:
            while True:
                target, jobs = await self._turn(
                    subscription_id, [task.result() for task in done], claim=not self._is_over(end)
                )
                if target is not None:
                    sending |= {asyncio.create_task(self._attempt(target, job)) for job in jobs}
                sent += len(jobs)
                if not sending:
                    return sent
                done, sending = await asyncio.wait(
                    sending, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            await _end(sending)

    async def _turn(
        self, subscription_id: UUID, outcomes: list[Outcome], *, claim: bool
    ) -> tuple[Target | None, list[Job]]:
        """One transaction: write down what came back, claim what there is room for."""
        now = self._clock()
        async with (
            self._writing,
            self._database.transaction(timeout_s=WRITE_TIMEOUT_S) as tx,
        ):
            target = await queue.lock(tx, subscription_id)
            if target is None:
                return None, []
            state = target.state
            if outcomes:
                target = await queue.settle(tx, target, outcomes, now, self._patience)
            jobs = await queue.claim(tx, target, now) if claim else []
        if target.state != state:
            log.warning("webhook_disabled", subscription=str(subscription_id))
        return target, jobs

    async def _attempt(self, target: Target, job: Job) -> Outcome:
        at = self._clock()
        try:
            headers = self._headers(target, job, at)
        except CannotDecrypt as error:
            reply = Reply(error="secret_unreadable", answer=str(error))
        else:
            reply = await self._sender.send(target.url, headers, job.body.encode())
        verdict = judge(reply, job.attempts + 1, self._clock(), self._luck)
        return Outcome(job, at, reply, verdict)

    def _headers(self, target: Target, job: Job, at: datetime) -> dict[str, str]:
        secrets = [self._seals.unseal(target.id, target.secret)]
        if target.previous_until is not None and at < target.previous_until:
            secrets.append(self._seals.unseal(target.id, target.previous_secret or b""))
        message_id, timestamp = str(job.event_id), int(at.timestamp())
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secrets, message_id, timestamp, job.body.encode()),
        }


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
