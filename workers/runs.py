"""Every run of every actor is written down, and none runs twice in a process that must not.

An actor that returns a number says how much it did. Runs that go on are shown while they do; so is
the worker itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

import structlog
from dramatiq import Actor, Broker, MessageProxy, Middleware, Worker
from dramatiq.asyncio import async_to_sync
from dramatiq.middleware import SkipMessage
from msgspec.structs import replace

from billing.common.db import Database
from billing.common.errors import Overloaded
from billing.common.tasks import end
from billing.work import store
from billing.work.store import RunRow
from ledger.ids import uuid7
from workers.presence import seen, this_process

BEAT_S: Final = 10.0

_log = structlog.get_logger("workers.runs")


class RecordRuns(Middleware):
    """Stands behind AsyncIO in the broker's list. An actor with `alone=True` runs once at a time
    in a process: the message that comes too early is dropped, for the scheduler sends another."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._database: Database | None = None
        self._running: dict[int, RunRow] = {}
        self._lock = threading.Lock()
        self._beat: asyncio.Task[None] | None = None
        self._process = this_process("worker")

    @property
    def actor_options(self) -> set[str]:
        return {"alone"}

    def after_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        actor.fn = self._counting(actor.fn)

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        async_to_sync(self._open)()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        async_to_sync(self._close)()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        name = message.actor_name
        alone = broker.get_actor(name).options.get("alone")
        run = RunRow(id=uuid7(), name=name, started_at=datetime.now(UTC))
        with self._lock:
            if alone and any(one.name == name for one in self._running.values()):
                raise SkipMessage(f"{name} runs here already")
            self._running[threading.get_ident()] = run

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        run = self._running.pop(threading.get_ident(), None)
        if run is None:
            return  # refused before it began, such as for its age
        run.finished_at = datetime.now(UTC)
        run.outcome = "done" if exception is None else "failed"
        run.error = None if exception is None else repr(exception)
        async_to_sync(self._save)(run)

    def _counting(self, function: Callable[..., Any]) -> Callable[..., None]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            handled = function(*args, **kwargs)
            row = self._running.get(threading.get_ident())
            if row is not None and isinstance(handled, int):
                row.handled = handled

        return run

    async def _open(self) -> None:
        self._database = Database(self._url, application="bonus-runs", size=1)
        self._beat = asyncio.create_task(self._show(self._database), name="worker presence")

    async def _close(self) -> None:
        if self._database is None or self._beat is None:
            return
        await end(self._beat)
        try:
            await store.leave(self._database, self._process.id)
        except Overloaded as error:
            _log.warning("worker_not_taken_off", error=str(error))
        await self._database.close()

    async def _show(self, database: Database) -> None:
        """Show this worker, and the runs that go on for longer than a moment."""
        while True:
            now = datetime.now(UTC)
            long = [
                replace(run)
                for run in list(self._running.values())
                if now - run.started_at > timedelta(seconds=BEAT_S)
            ]
            try:
                await store.see(database, seen(self._process))
                for run in long:
                    await store.save(database, run, now)
            except Overloaded as error:
                _log.warning("worker_not_shown", error=str(error))
            except Exception:
                # Nothing but what operators see depends on it: the next beat tries again.
                _log.exception("worker_not_shown")
            await asyncio.sleep(BEAT_S)

    async def _save(self, run: RunRow) -> None:
        if self._database is None:
            return
        try:
            await store.save(self._database, run, datetime.now(UTC))
        except Overloaded as error:
            _log.warning("run_not_recorded", actor=run.name, outcome=run.outcome, error=str(error))
