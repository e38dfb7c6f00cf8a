"""Balance, statement and lots over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.balances.schemas import (
    BalanceOut,
    BalanceQuery,
    LotPage,
    LotsQuery,
    StatementPage,
    Version,
)
from billing.balances.service import read_balance, read_lots, read_statement
from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.errors import NotFound
from billing.common.http import Call, operation
from billing.common.wire import PageQuery
from billing.customers.directory import CustomerDirectory
from billing.customers.routes import customer_id_of
from ledger.service import Ledger

_TAG = "Balances"
_READERS: tuple[Role, ...] = ("pos", "site", "marketer", "finance", "support", "bi", "admin")


@operation(
    "GET",
    "/v1/customers/{id}/balance",
    summary="Read a customer's balance",
    tag=_TAG,
    may=_READERS,
    query=BalanceQuery,
    answers={200: BalanceOut},
)
async def read_customer_balance(call: Call[None, BalanceQuery]) -> Answer:
    """Now, or at a time: `as_of` asks what had happened by then, `known_at` what had been
    recorded by then; with `known_at` alone both are that time. `as_of` may lie ahead.

    Points whose day has come are available, and expired ones are gone, at that very instant.
    `base` and `promo` add up to `available`, `future_accruals` and what is
    `awaiting_verification` to `deferred`; `spendable` is `available` less `debt`. A sale recorded
    late may leave a past balance below zero.
    """
    customer_id = await _customer(call)
    return Answer.json(
        await read_balance(
            call.use(Ledger),
            customer_id,
            call.use(ZoneInfo),
            call.query.as_of,
            call.query.known_at,
        )
    )


@operation(
    "GET",
    "/v1/customers/{id}/statement",
    summary="List a customer's transactions",
    tag=_TAG,
    may=_READERS,
    query=PageQuery,
    answers={200: StatementPage},
)
async def read_customer_statement(call: Call[None, PageQuery]) -> Answer:
    """Newest first, with the balances after each. `program` is the only program of the
    transaction, or null; `programs` are all. Shows what is posted: an activation or expiry that
    is due already counts in the balance and comes here with the next transaction or sweep.
    """
    after = call.query.after(Version)
    customer_id = await _customer(call)
    return Answer.json(
        await read_statement(
            call.use(Ledger),
            customer_id,
            call.use(ZoneInfo),
            call.query.limit,
            after[0] if after else None,
        )
    )


@operation(
    "GET",
    "/v1/customers/{id}/lots",
    summary="List a customer's lots",
    tag=_TAG,
    may=_READERS,
    query=LotsQuery,
    answers={200: LotPage},
)
async def read_customer_lots(call: Call[None, LotsQuery]) -> Answer:
    """Newest first, as they are now: where the points of each accrual are. A page of open lots
    may be shorter than `limit`; `next_cursor` tells whether there are more.
    """
    after = call.query.after(UUID)
    customer_id = await _customer(call)
    return Answer.json(
        await read_lots(
            call.use(Ledger),
            customer_id,
            call.use(ZoneInfo),
            call.query.limit,
            after[0] if after else None,
            call.query.open,
        )
    )


async def _customer(call: Call[Any, Any]) -> UUID:
    customer_id = customer_id_of(call)
    if await call.use(CustomerDirectory).resolve(customer_id=customer_id) is None:
        raise NotFound(f"There is no customer {customer_id}.")
    return customer_id


OPERATIONS = [read_customer_balance, read_customer_statement, read_customer_lots]
