"""A customer as programs see one."""

from __future__ import annotations

from billing.customers.model import Customer
from billing.programs.model import Member


def member_of(customer: Customer, first_purchase: bool | None = None) -> Member:
    """`first_purchase` None: nobody looked, as no program asks."""
    return Member(
        id=customer.id,
        tags=frozenset(customer.tags),
        registered_at=customer.created_at,
        channel=customer.channel,
        store=customer.store,
        birth_date=customer.birth_date,
        birth_date_since=customer.birth_date_since,
        verified_at=customer.verified_at,
        first_purchase=first_purchase,
    )
