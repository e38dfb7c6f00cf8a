"""Sending: the most urgent first, to the first provider that takes it, within its rate."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from billing.messages.acts import Willing
from billing.messages.sealing import MessageVault
from billing.messages.templates import read_settings
from integrations.sms import queue
from integrations.sms.fleet import Fleet, Unusable
from integrations.sms.protocol import Outbound, Outcome, Rejected, Unknown
from integrations.sms.queue import Job
from integrations.sms.settling import Result, settle
from ledger.group import Clock
from ledger.service import utc_now

IN_FLIGHT: Final = 32
LOOK_EVERY_S: Final = 0.25
RUN_S: Final = 30.0
"""After so long no more is claimed; the next run goes on."""
WRITE_TIMEOUT_S: Final = 15.0

log = structlog.stdlib.get_logger(__name__)


class Sender:
    """Sends what is due. Several may run, in as many processes as you like."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        vault: MessageVault,
        willing: Willing,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._vault = vault
        self._willing = willing
        self._clock = clock
        self._running = False
        self._stopping = False

    def stop(self) -> None:
        """Claim no more; what is on its way is finished."""
        self._stopping = True

    async def run(self, *, for_s: float = RUN_S, linger: bool = True) -> int:
        """Send what comes, for so long, or (without `linger`) what is due now; how many attempts
        were made. While one runs, others of the process return at once. Raises Overloaded when
        the database is away."""
        if self._running:
            return 0
        self._running = True
        sending: set[asyncio.Task[Result]] = set()
        made = 0
        end = asyncio.get_running_loop().time() + for_s
        try:
            while True:
                over = self._stopping or asyncio.get_running_loop().time() >= end
                done = {task for task in sending if task.done()}
                sending -= done
                jobs = await self._turn(
                    [task.result() for task in done], 0 if over else IN_FLIGHT - len(sending)
                )
                made += len(jobs)
                sending |= {asyncio.create_task(self._attempt(job)) for job in jobs}
                if (over or not linger) and not sending and not done:
                    return made
                if sending:
                    await asyncio.wait(
                        sending, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                    )
                elif linger:
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._running = False
            await _end(sending)

    async def _turn(self, results: list[Result], most: int) -> list[Job]:
        """One transaction: write down what came back, claim what there is room for."""
        now = self._clock()
        claims = most > 0 and await queue.is_anything(self._database, now)
        if not results and not claims:
            return []
        async with self._database.transaction(timeout_s=WRITE_TIMEOUT_S) as tx:
            if results:
                await settle(tx, results, now)
            if not claims:
                return []
            _, settings = await read_settings(tx)
            jobs = await queue.claim(
                tx, self._fleet, now, most, settings.quiet_hours, self._willing
            )
            for job in jobs:
                await self._name(tx, job)
            return jobs

    async def _name(self, tx: AsyncConnection, job: Job) -> None:
        try:
            name = self._fleet.of(job.provider).provider.reference(job.number)
        except Unusable:
            return
        if name is not None:
            await queue.name(tx, job.attempt, name)

    async def _attempt(self, job: Job) -> Result:
        try:
            outcome = await self._send(job)
        except (CannotDecrypt, Unusable) as error:
            outcome = Rejected(code="not_usable", detail=str(error)[:200], scope="provider")
        except Exception as error:
            # A provider's code failed on an answer nobody foresaw: it may have taken the message.
            log.exception("sms_provider_failed", provider=job.provider.code)
            outcome = Unknown(detail=f"{type(error).__name__}: {error}"[:200])
        return Result(job, outcome)

    async def _send(self, job: Job) -> Outcome:
        left = (job.expires_at - self._clock()).total_seconds()
        message = Outbound(
            number=job.number,
            phone=self._vault.unseal(job.id, "phone", job.phone),
            text=self._vault.unseal(job.id, "text", job.text),
            ttl_s=max(int(left), 60),
            callback=self._fleet.callback(job.provider),
        )
        return await self._fleet.of(job.provider).provider.send(message)


async def _end(tasks: set[asyncio.Task[Result]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
