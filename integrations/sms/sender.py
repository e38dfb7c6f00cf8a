"""Sending: the most urgent first, to the first provider that takes it, within its rate."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from billing.common.errors import Overloaded
from billing.messages.acts import Willing
from billing.messages.masking import told_of
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
KEPT_S: Final = 240.0
KEPT_WHILE_STOPPING_S: Final = 15.0
"""How long an outcome waits for a database that is away."""
LONGEST_WAIT_S: Final = 5.0

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
                if done:
                    await self._keep([task.result() for task in done])
                jobs = await self._claim(0 if over else IN_FLIGHT - len(sending), sending)
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

    async def _keep(self, results: list[Result]) -> None:
        """Write down what came back, as soon as the database lets us: what was accepted under
        which id, nobody else knows. Raises Overloaded when it is away for too long; what is not
        written is unknown once its lease is over, and asked about."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                await self._write(results)
            except Overloaded:
                waited = loop.time() - began
                if waited > (KEPT_WHILE_STOPPING_S if self._stopping else KEPT_S):
                    raise
                await asyncio.sleep(min(LOOK_EVERY_S + waited / 4, LONGEST_WAIT_S))
            else:
                return

    async def _write(self, results: list[Result]) -> None:
        """Together; if something is wrong with one of them, each alone, and the others are kept."""
        try:
            async with self._database.transaction(timeout_s=WRITE_TIMEOUT_S) as tx:
                await settle(tx, results, self._clock())
        except Overloaded:
            raise
        except Exception as error:
            if len(results) == 1:
                log.error("sms_outcome_lost", error=told_of(error))
                return
            for one in results:
                await self._write([one])

    async def _claim(self, most: int, sending: Collection[object]) -> list[Job]:
        """What there is room for. While something is being sent a database that is away raises
        nothing: what comes back is to be written down."""
        try:
            return await self._turn(most)
        except Overloaded:
            if not sending:
                raise
            return []

    async def _turn(self, most: int) -> list[Job]:
        now = self._clock()
        if most <= 0 or not await queue.is_anything(self._database, now):
            return []
        async with self._database.transaction(timeout_s=WRITE_TIMEOUT_S) as tx:
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
            log.error("sms_provider_failed", provider=job.provider.code, error=told_of(error))
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
