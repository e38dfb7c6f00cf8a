"""When messages are sent, whatever the clock on the wall does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from billing.common.settings import Settings
from workers.broker import make_broker
from workers.schedule import EVERY_S
from workers.scheduler import hurry
from workers.waking import QUEUE

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


async def test_a_clock_that_is_set_back_holds_up_no_message() -> None:
    """What was planned by the old time is sent now; what comes soon, when it comes."""
    schedule = AsyncIOScheduler(timezone=UTC)
    for name, in_s in (("stuck", 3600 + 20), ("soon", 20)):
        schedule.add_job(
            print,
            IntervalTrigger(seconds=30),
            id=name,
            next_run_time=NOW + timedelta(seconds=in_s),
        )
    schedule.start(paused=True)
    hurry(schedule, NOW)
    planned = {job.id: job.next_run_time for job in schedule.get_jobs()}
    assert planned == {"stuck": NOW, "soon": NOW + timedelta(seconds=20)}
    schedule.shutdown(wait=False)


def test_every_actor_says_how_often_how_long_and_how_late(shared_settings: Settings) -> None:
    """Explicit retries, time limits and ages; and the scheduler sends each of them."""
    broker = make_broker(shared_settings)
    actors = {name: broker.get_actor(name) for name in broker.get_declared_actors()}
    broker.close()
    assert set(actors) == set(EVERY_S)
    for name, actor in actors.items():
        assert {"max_retries", "max_age", "time_limit"} <= set(actor.options), name
        assert actor.queue_name == QUEUE, "who sends knows no other"
