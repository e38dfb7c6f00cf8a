"""The actors by name, apart from what they do: whoever only sends loads none of it."""

from __future__ import annotations

from typing import Final

POST_DUE: Final = "post_due"
RUN_JOBS: Final = "run_jobs"
RUN_CAMPAIGNS: Final = "run_campaigns"
POST_SCENARIOS: Final = "post_scenarios"

ROLL_UP: Final = "roll_up"
TELL_EXPIRING: Final = "tell_expiring"
GIVE_BIRTHDAYS: Final = "give_birthdays"
FORGET: Final = "forget"
SETTLE_MERGES: Final = "settle_merges"
NAME_CUSTOMERS: Final = "name_customers"

DISPATCH_EVENTS: Final = "dispatch_events"
DELIVER_WEBHOOKS: Final = "deliver_webhooks"
FORGET_DELIVERIES: Final = "forget_deliveries"

SEND_MESSAGES: Final = "send_messages"
HEAR_MESSAGES: Final = "hear_messages"
FORGET_MESSAGES: Final = "forget_messages"

SEAL: Final = "seal"
AUDIT: Final = "audit"
