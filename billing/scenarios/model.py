"""Scenarios: what happened to a customer, and what makes it this one occurrence and no other."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from billing.customers.member import member_of
from billing.customers.model import Customer
from billing.programs.birthdays import nearest_birthday
from billing.programs.model import Basket, Situation

BIRTHDAY: Final = "birthday"
REFERRAL: Final = "referral"

BY_THEMSELVES: Final = {
    "registration": "registering and verifying the customer posts it",
    "verification": "verifying the customer posts it",
    "first_purchase": "the first sale posts it",
}
"""Events that nobody sends, and what does instead."""


class Spot(msgspec.Struct, frozen=True):
    """Where an event counts; all None: nowhere in particular, where only programs without a
    scope run. `timezone` is an IANA name."""

    channel: str | None
    store: str | None
    store_group: str | None
    timezone: str


def situation_of(
    event: str, key: str, customer: Customer, spot: Spot, occurred_at: datetime
) -> Situation:
    """An event as programs see it: a basket without lines."""
    basket = Basket(spot.channel, spot.store, spot.store_group, spot.timezone, occurred_at, ())
    return Situation(basket, member_of(customer), event, key)


def birthday_key(customer: Customer, spot: Spot, occurred_at: datetime) -> str:
    """The year of the birthday that is nearest: gifts around New Year are of one birthday."""
    today = occurred_at.astimezone(ZoneInfo(spot.timezone)).date()
    born = customer.birth_date
    return str((today if born is None else nearest_birthday(born, today)).year)


def source_of(event: str, key: str, customer_id: UUID) -> str:
    """The natural key of an occurrence."""
    return f"event/{event}/{customer_id}/{key}"


def referred_claim(referred: UUID) -> str:
    """Somebody is referred once, whoever it was that referred them."""
    return f"event/referred/{referred}"


def welcome_source(referred: UUID) -> str:
    """The natural key of what the referred customer gets."""
    return f"event/welcome/{referred}"
