"""The HTTP application: every feature's operations, bound to the running services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response

from billing.adjustments.routes import OPERATIONS as ADJUSTMENTS
from billing.app.pages import PAGES
from billing.app.services import build_services
from billing.approvals.routes import OPERATIONS as APPROVALS
from billing.audits.routes import OPERATIONS as AUDITS
from billing.balances.routes import OPERATIONS as BALANCES
from billing.batches.routes import OPERATIONS as BATCHES
from billing.campaigns.routes import OPERATIONS as CAMPAIGNS
from billing.catalog.routes import OPERATIONS as CATALOG
from billing.common.http import Operation, Runtime, bind, request_id_of
from billing.common.problems import problem_answer
from billing.common.refusals import as_problem
from billing.common.settings import Settings
from billing.consents.routes import OPERATIONS as CONSENTS
from billing.customers.card_routes import OPERATIONS as CARDS
from billing.customers.routes import OPERATIONS as CUSTOMERS
from billing.finance.routes import OPERATIONS as FINANCE
from billing.health.routes import OPERATIONS as HEALTH
from billing.imports.routes import OPERATIONS as IMPORTS
from billing.jobs.routes import OPERATIONS as JOBS
from billing.merges.routes import OPERATIONS as MERGES
from billing.messages.routes import OPERATIONS as MESSAGES
from billing.operators.routes import OPERATIONS as OPERATORS
from billing.periods.routes import OPERATIONS as PERIODS
from billing.persons.routes import OPERATIONS as PERSONS
from billing.programs.routes import OPERATIONS as PROGRAMS
from billing.quotes.routes import OPERATIONS as QUOTES
from billing.receipts.routes import OPERATIONS as RECEIPTS
from billing.redemptions.routes import OPERATIONS as REDEMPTIONS
from billing.returns.routes import OPERATIONS as RETURNS
from billing.revenue.routes import OPERATIONS as REVENUE
from billing.scenarios.routes import OPERATIONS as EVENTS
from billing.simulations.routes import OPERATIONS as SIMULATIONS
from billing.transfers.routes import OPERATIONS as TRANSFERS
from billing.verifications.routes import OPERATIONS as VERIFICATIONS
from billing.work.routes import OPERATIONS as WORK
from integrations.sms.routes import OPERATIONS as SMS
from integrations.webhooks.routes import OPERATIONS as WEBHOOKS

OPERATIONS: list[Operation] = [
    *CATALOG,
    *CUSTOMERS,
    *CARDS,
    *MERGES,
    *CONSENTS,
    *PERSONS,
    *VERIFICATIONS,
    *PROGRAMS,
    *SIMULATIONS,
    *CAMPAIGNS,
    *JOBS,
    *QUOTES,
    *RECEIPTS,
    *REDEMPTIONS,
    *RETURNS,
    *ADJUSTMENTS,
    *TRANSFERS,
    *BATCHES,
    *EVENTS,
    *WEBHOOKS,
    *MESSAGES,
    *SMS,
    *BALANCES,
    *FINANCE,
    *PERIODS,
    *REVENUE,
    *AUDITS,
    *IMPORTS,
    *APPROVALS,
    *OPERATORS,
    *WORK,
    *HEALTH,
]
"""All operations of the wire, in the order of the documentation."""


def create_app(settings: Settings) -> Litestar:
    """The ASGI application. Its lifespan starts and stops the services."""
    services = build_services(settings)
    runtime = Runtime(
        authenticator=services.keys,
        services=services.by_class(),
        max_body_bytes=settings.max_body_bytes,
        operators=services.operators,
        readers={
            one.path: one.handler
            for one in OPERATIONS
            if one.method == "GET" and one.query is None and "{" in one.path
        },
        observer=services.metrics.observer,
    )
    unmatched = services.metrics.observer("-", "unmatched")

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with services.running():
            yield

    def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        """What litestar itself refuses, before any operation is found."""
        request_id = request_id_of(dict(request.scope["headers"]))
        answer = problem_answer(as_problem(error, request_id), request_id)
        unmatched(answer.status, 0.0)
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        return Response(
            answer.content,
            status_code=answer.status,
            media_type=answer.media_type.decode(),
            headers=headers | {"x-request-id": request_id},
        )

    return Litestar(
        route_handlers=[bind(declared, runtime) for declared in [*OPERATIONS, *PAGES]],
        lifespan=[lifespan],
        exception_handlers={Exception: refuse},
        openapi_config=None,
        logging_config=None,
    )
