"""Customers over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from billing.common.answer import Answer
from billing.common.auth import ROLES, Principal, Role
from billing.common.errors import ValidationFailed
from billing.common.http import Call, Operation, operation
from billing.common.wire import encode_cursor
from billing.customers.model import Profile
from billing.customers.schemas import (
    CustomerIn,
    CustomerOut,
    CustomerPage,
    CustomerPatch,
    CustomersQuery,
)
from billing.customers.search import NameSearch
from billing.customers.service import Customers
from billing.scenarios.waiting import WaitingScenarios

READERS: tuple[Role, ...] = tuple(ROLES)
WRITERS: tuple[Role, ...] = ("pos", "site", "support", "admin")
_TAG = "Customers"
TILL_FINDS = 10
"""How many customers of a name a till is shown: a cashier looks somebody up, not through all."""
_ANNA = {
    "phone": "+7 916 765-43-21",
    "name": "Anna",
    "birth_date": "1990-12-31",
    "channel": "shop",
    "store": "333",
    "cards": ["2900000000024"],
}


def customer_id_of(call: Call[Any, Any]) -> UUID:
    """The id in the path. Raises ValidationFailed."""
    try:
        return UUID(call.path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be a customer's id, a UUID") from None


def shown(profile: Profile, principal: Principal) -> CustomerOut:
    """What `principal` may see: roles that do not serve customers get no personal data."""
    out = CustomerOut(
        id=profile.id,
        status=profile.status,
        phone_masked=profile.phone_masked,
        channel=profile.channel,
        store=profile.store,
        seller=profile.seller,
        tags=profile.tags,
        created_at=profile.created_at,
        updated_at=profile.updated_at,
        verified_at=profile.verified_at,
        merged_into=profile.merged_into,
    )
    if principal.role not in WRITERS:
        return out
    return msgspec.structs.replace(
        out,
        phone=profile.phone,
        cards=profile.cards,
        external_ids=profile.external_ids,
        **msgspec.structs.asdict(profile.person),
    )


@operation("POST", "/v1/customers", summary="Register a customer", tag=_TAG, may=WRITERS,
           body=CustomerIn, answers={201: CustomerOut}, conflicts=("customer_exists",),
           examples={"anna": _ANNA})  # fmt: skip
async def register(call: Call[CustomerIn]) -> Answer:
    """Safe to repeat: a phone, card or external id already known is 409 `customer_exists` with
    the `customer_id` of its owner. A key bound to a channel and store registers for these."""
    profile = await call.use(Customers).register(call.principal, call.body)
    if profile.status == "verified":
        await call.use(WaitingScenarios).hurry(profile.id)
    return Answer.json(shown(profile, call.principal), 201)


@operation("GET", "/v1/customers", summary="Find a customer", tag=_TAG, may=READERS,
           query=CustomersQuery, answers={200: CustomerPage})  # fmt: skip
async def find(call: Call[None, CustomersQuery]) -> Answer:
    """By exactly one of `phone`, `card`, `external_id` (`system:value`), `name`. A name is found
    by the beginnings of its words, whatever their order (`iva an` finds Anna Ivanova), by keys
    that see personal data; a till gets ten of them, without their phones."""
    query = call.query
    if (query.phone, query.card, query.external_id, query.name).count(None) != 3:
        raise ValidationFailed.at("/query", "give exactly one of phone, card, external_id, name")
    if query.name is not None:
        return await _find_by_name(call, query.name)
    external_id = None
    if query.external_id is not None:
        system, colon, value = query.external_id.partition(":")
        if not colon:
            raise ValidationFailed.at("/query/external_id", "must be system:value")
        external_id = (system, value)
    profile = await call.use(Customers).find(
        phone=query.phone, card=query.card, external_id=external_id
    )
    items = [] if profile is None else [shown(profile, call.principal)]
    return Answer.json(CustomerPage(items, None))


async def _find_by_name(call: Call[None, CustomersQuery], name: str) -> Answer:
    call.principal.require(*WRITERS)
    at_till = call.principal.role == "pos"
    limit = min(call.query.limit, TILL_FINDS) if at_till else call.query.limit
    after = call.query.after(UUID)
    found, last = await call.use(NameSearch).find(name, limit, after[0] if after else None)
    items = [shown(profile, call.principal) for profile in found]
    if at_till:
        items = [msgspec.structs.replace(one, phone=UNSET, email=UNSET) for one in items]
    cursor = None if last is None or at_till else encode_cursor(last)
    return Answer.json(CustomerPage(items, cursor))


@operation("GET", "/v1/customers/{id}", summary="Get a customer", tag=_TAG, may=READERS,
           answers={200: CustomerOut})  # fmt: skip
async def get(call: Call) -> Answer:
    """Keys of finance, marketer and bi see neither phone nor person."""
    profile = await call.use(Customers).get(customer_id_of(call))
    return Answer.json(shown(profile, call.principal))


@operation("PATCH", "/v1/customers/{id}", summary="Change a customer", tag=_TAG,
           may=("site", "support", "admin"),
           body=CustomerPatch, answers={200: CustomerOut},
           conflicts=("customer_exists", "customer_merged", "customer_erased"),
           examples={"block": {"status": "blocked"}, "name": {"name": "Anna K."}})  # fmt: skip
async def change(call: Call[CustomerPatch]) -> Answer:
    """What is left out stays, `null` clears, lists are replaced, `external_ids` are merged.
    Support blocks and unblocks; only an admin verifies. A new phone has to be verified again.
    A site adds cards and external ids; support and admin also take them away."""
    profile = await call.use(Customers).change(call.principal, customer_id_of(call), call.body)
    if call.body.status == "verified":
        await call.use(WaitingScenarios).hurry(profile.id)
    return Answer.json(shown(profile, call.principal))


OPERATIONS: list[Operation] = [register, find, get, change]
