"""What workers do. An actor may run twice, late or beside itself: each leaves the same."""

from __future__ import annotations

import dramatiq
from dramatiq import Broker

from ledger.sweep import post_due
from workers.campaigns import OpenCampaigns
from workers.jobs import OpenJobs
from workers.ledger import OpenLedger
from workers.names import POST_DUE, POST_SCENARIOS, RUN_CAMPAIGNS, RUN_JOBS
from workers.scenarios import OpenScenarios

POST_DUE_LIMIT = 1000
POST_SCENARIOS_LIMIT = 1000

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def declare(
    broker: Broker,
    opened: OpenLedger,
    jobs: OpenJobs,
    scenarios: OpenScenarios,
    campaigns: OpenCampaigns,
) -> None:
    """Register the actors with the broker. Times are in milliseconds."""

    async def post_all_due() -> int:
        """Activations, expiries and hold timeouts whose time has come, for a while."""
        handled, found, go_on = 0, POST_DUE_LIMIT, opened.a_while()
        while found and go_on():
            found = await post_due(opened.ledger, limit=POST_DUE_LIMIT)
            handled += found
        return handled

    dramatiq.actor(
        broker=broker,
        actor_name=POST_DUE,
        alone=True,
        max_retries=3,
        min_backoff=1 * SECOND,
        max_backoff=10 * SECOND,
        max_age=2 * MINUTE,  # the scheduler sends a fresh one every half minute
        time_limit=10 * MINUTE,
    )(post_all_due)

    async def run_jobs() -> int:
        """Long work that somebody asked for; a job that goes on too long is ended by its runner."""
        return await jobs.runner.run_all()

    dramatiq.actor(
        broker=broker,
        actor_name=RUN_JOBS,
        max_retries=0,  # the scheduler's next message finds what is left
        max_age=2 * MINUTE,
        time_limit=24 * HOUR,
    )(run_jobs)

    async def post_all_scenarios() -> int:
        """What registrations and verifications give, for a while."""
        handled, found, go_on = 0, POST_SCENARIOS_LIMIT, opened.a_while()
        while found == POST_SCENARIOS_LIMIT and go_on():
            found = await scenarios.waiting.sweep(limit=POST_SCENARIOS_LIMIT)
            handled += found
        return handled

    dramatiq.actor(
        broker=broker,
        actor_name=POST_SCENARIOS,
        alone=True,
        max_retries=3,
        min_backoff=1 * SECOND,
        max_backoff=10 * SECOND,
        max_age=2 * MINUTE,  # the scheduler sends a fresh one every minute
        time_limit=10 * MINUTE,
    )(post_all_scenarios)

    async def run_campaigns() -> None:
        """Campaigns that are due, in turns; it comes to an end in time and is sent again."""
        await campaigns.runner.run_all()

    dramatiq.actor(
        broker=broker,
        actor_name=RUN_CAMPAIGNS,
        max_retries=0,  # the scheduler's next message goes on with what is left
        max_age=2 * MINUTE,
        time_limit=30 * MINUTE,
    )(run_campaigns)
