"""Many customers registered in one transaction: each as if it had been alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from billing.app.services import Services, build_services
from billing.common.auth import NOBODY
from billing.common.errors import Conflict, Forbidden, Problem, ValidationFailed
from billing.common.settings import Settings
from billing.common.wire import Code
from billing.customers.model import Profile
from billing.customers.schemas import CustomerIn

ADMIN = type(NOBODY)(key_id=UUID(int=1), name="the test", role="admin")
TIMEOUT_S = 30.0

_STORED = """
SELECT status, phone_hash IS NOT NULL AS hashed, phone_masked, channel, store, seller, tags,
       created_at = verified_at AS at_once, created_at = updated_at AS fresh, birth_date,
       birth_date_since = created_at AS since, name_tokens,
       (SELECT array_agg(e.type ORDER BY e.seq) FROM billing.events e WHERE e.customer_id = c.id)
           AS told,
       (SELECT array_agg(data - 'customer_id' ORDER BY e.seq) FROM billing.events e
        WHERE e.customer_id = c.id) AS data,
       (SELECT array_agg((q.event, q.details::text, q.occurred_at = c.created_at)::text
                         ORDER BY q.event)
        FROM billing.scenario_queue q WHERE q.customer_id = c.id) AS waiting
FROM billing.customers c WHERE c.id = $1
"""


@pytest.fixture
async def services(shared_settings: Settings) -> AsyncIterator[Services]:
    made = build_services(shared_settings)
    async with made.running():
        yield made


async def stored(services: Services, customer: UUID) -> dict[str, Any]:
    (row,) = await services.database.fetch(_STORED, customer, timeout_s=TIMEOUT_S)
    return dict(row)


async def register(services: Services, *new: CustomerIn) -> list[Profile | Problem]:
    return await services.customers.register_many(ADMIN, new, TIMEOUT_S)


def of(made: Profile | Problem) -> Profile:
    assert isinstance(made, Profile), made
    return made


@pytest.mark.parametrize("status", ["verified", "unverified"])
async def test_each_is_stored_and_told_as_if_registered_alone(
    services: Services, phone: Callable[[], str], status: Any
) -> None:
    said: dict[str, Any] = {
        "name": "Anna-Maria Петрова",
        "email": "anna@example.org",
        "tags": ["a"],
    }

    def new() -> CustomerIn:
        born = date(1990, 2, 28)
        return CustomerIn(phone=phone(), status=status, seller="Boris", birth_date=born, **said)

    alone = await services.customers.register(ADMIN, new())
    many = [of(one) for one in await register(services, new(), new(), new())]
    for one in many:
        found, expected = await stored(services, one.id), await stored(services, alone.id)
        masked = found.pop("phone_masked"), expected.pop("phone_masked")
        assert all(text.startswith("+7******") for text in masked)
        assert found == expected
        read = await services.customers.get(one.id)
        assert (read.phone, read.person) == (one.phone, alone.person)
        named = await services.customers.find(phone=one.phone, card=None, external_id=None)
        assert named is not None
        assert named.id == one.id
    keys = await services.database.fetch(
        "SELECT DISTINCT data_key FROM billing.customers WHERE id = ANY($1)",
        [one.id for one in many],
        timeout_s=TIMEOUT_S,
    )
    assert len(keys) == len(many)  # A key of one's own: each can be forgotten alone.


async def test_what_is_wrong_with_one_hinders_no_other(
    services: Services, phone: Callable[[], str]
) -> None:
    known, twice = phone(), phone()
    owner = await services.customers.register(ADMIN, CustomerIn(phone=known))
    written = f"8 ({twice[2:5]}) {twice[5:]}"
    made = await register(
        services,
        CustomerIn(phone=known),
        CustomerIn(phone="12"),
        CustomerIn(phone=twice),
        CustomerIn(phone=written),
        CustomerIn(phone=phone(), store=Code("nowhere")),
        CustomerIn(phone=phone()),
    )
    taken, no_phone, first, again, nowhere, good = made
    assert isinstance(taken, Conflict)
    assert (taken.code, taken.members["customer_id"]) == ("customer_exists", str(owner.id))
    assert isinstance(no_phone, ValidationFailed)
    assert isinstance(again, Conflict)
    assert again.members["customer_id"] == str(of(first).id)
    assert isinstance(nowhere, ValidationFailed)
    assert (await services.customers.get(of(good).id)).phone == of(good).phone
    assert await register(services) == []


async def test_a_till_verifies_nobody_by_decree(
    services: Services, phone: Callable[[], str]
) -> None:
    till = type(NOBODY)(key_id=UUID(int=1), name="a till", role="pos")
    new = CustomerIn(phone=phone(), status="verified")
    (made,) = await services.customers.register_many(till, [new], TIMEOUT_S)
    assert isinstance(made, Forbidden)


async def test_many_at_once_who_want_the_same_phones_share_them(
    services: Services, phone: Callable[[], str]
) -> None:
    """In opposite orders: nobody waits in a ring; each phone has one owner, of whom all hear."""
    phones = [phone() for _ in range(60)]
    orders = [phones, phones[::-1], phones[30:] + phones[:30]]
    alone = [services.customers.register(ADMIN, CustomerIn(phone=one)) for one in phones[::10]]
    groups = [register(services, *(CustomerIn(phone=one) for one in order)) for order in orders]
    told = await asyncio.gather(*groups, *alone, return_exceptions=True)
    owners: dict[str, set[str]] = {}
    made = 0
    for order, fates in zip(orders, told, strict=False):
        assert isinstance(fates, list)
        for number, fate in zip(order, fates, strict=True):
            made += isinstance(fate, Profile)
            owner = fate.id if isinstance(fate, Profile) else fate.members["customer_id"]
            owners.setdefault(number, set()).add(str(owner))
    made += sum(isinstance(one, Profile) for one in told[len(orders) :])
    assert made == len(phones)
    assert all(len(one) == 1 for one in owners.values())


async def test_cards_are_for_those_who_come_alone(
    services: Services, phone: Callable[[], str], unique: Callable[[str], str]
) -> None:
    with pytest.raises(ValueError, match="one by one"):
        await register(services, CustomerIn(phone=phone(), cards=[Code(unique("card"))]))
