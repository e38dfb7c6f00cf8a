"""The queue. No results and no groups: whoever wants to know the outcome asks PostgreSQL."""

from __future__ import annotations

from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AgeLimit, AsyncIO, Retries, TimeLimit

from billing.common.settings import Settings
from workers.actors import declare
from workers.audits import OpenAudits, declare_audits
from workers.campaigns import OpenCampaigns
from workers.jobs import OpenJobs
from workers.ledger import OpenLedger
from workers.messages import OpenMessages, declare_messages
from workers.redis import NAMESPACE, connect
from workers.runs import RecordRuns
from workers.scenarios import OpenScenarios
from workers.upkeep import OpenUpkeep, declare_upkeep
from workers.webhooks import OpenWebhooks, declare_webhooks


def make_broker(settings: Settings) -> RedisBroker:
    """A broker that knows all actors."""
    opened = OpenLedger(settings.database_url)
    jobs = OpenJobs(settings, opened)
    scenarios = OpenScenarios(settings, opened)
    campaigns = OpenCampaigns(settings, opened)
    upkeep = OpenUpkeep(settings, opened)
    webhooks = OpenWebhooks(settings, opened)
    messages = OpenMessages(settings, opened)
    audits = OpenAudits(settings, opened)
    broker = RedisBroker(  # type: ignore[no-untyped-call]
        client=connect(settings.redis_url),
        namespace=NAMESPACE,
        # The defaults also hold callbacks, pipelines and shutdown notices: none is used here.
        middleware=[
            AgeLimit(),
            TimeLimit(),
            Retries(),
            AsyncIO(),
            RecordRuns(settings.database_url),
            opened,
            jobs,
            scenarios,
            campaigns,
            upkeep,
            webhooks,
            messages,
            audits,
        ],
    )
    declare(broker, opened, jobs, scenarios, campaigns)
    declare_upkeep(broker, upkeep)
    declare_webhooks(broker, webhooks)
    declare_messages(broker, messages)
    declare_audits(broker, audits)
    return broker
