"""What the scheduler sends, and how often: an actor that has not run for much longer is late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workers.names import (
    AUDIT,
    DELIVER_WEBHOOKS,
    DISPATCH_EVENTS,
    FORGET,
    FORGET_DELIVERIES,
    FORGET_MESSAGES,
    GIVE_BIRTHDAYS,
    HEAR_MESSAGES,
    NAME_CUSTOMERS,
    POST_DUE,
    POST_SCENARIOS,
    ROLL_UP,
    RUN_CAMPAIGNS,
    RUN_JOBS,
    SEAL,
    SEND_MESSAGES,
    SETTLE_MERGES,
    TELL_EXPIRING,
)

EVERY_S: Final[Mapping[str, int]] = {
    POST_DUE: 30,
    RUN_JOBS: 30,  # only to find jobs whose worker died, or that nobody was woken for
    POST_SCENARIOS: 60,
    RUN_CAMPAIGNS: 30,
    DISPATCH_EVENTS: 2,  # only to be followed at once when whoever follows has ended or died
    DELIVER_WEBHOOKS: 10,
    SEND_MESSAGES: 2,
    HEAR_MESSAGES: 2,
    ROLL_UP: 15,
    TELL_EXPIRING: 300,
    GIVE_BIRTHDAYS: 1800,
    SETTLE_MERGES: 60,
    NAME_CUSTOMERS: 3600,
    SEAL: 30,
    AUDIT: 600,  # only to look whether a night has passed
    FORGET: 3600,
    FORGET_DELIVERIES: 3600,
    FORGET_MESSAGES: 3600,
}
