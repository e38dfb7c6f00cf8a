"""What a provider of SMS can be asked, and what it may answer.

Two things matter more than the rest. A provider that may have taken a message is *unknown*, never
failed: it is asked before anything is repeated. And what arrives from outside is looked at as raw
bytes: signatures are of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Protocol

import msgspec

from billing.messages.statuses import Said

Scope = Literal["message", "route", "provider", "busy"]
"""Whom a refusal concerns: this `message` anywhere; this message at this provider (`route`); the
`provider` altogether, such as no money; or the moment (`busy`)."""

Trust = Literal["signed", "unsigned", "forged"]

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A setting or secret of a provider: a name, an address, a key."""


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent. `number` is 1 to 2^31-1, another for each attempt. `callback` is where
    reports may be sent, empty when the service has no public address."""

    number: int
    phone: str
    text: str
    ttl_s: int
    callback: str = ""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Taken, under this id."""

    said: Said


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """Certainly not taken."""

    code: str
    detail: str
    scope: Scope


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Not even asked: the provider could not be reached."""

    detail: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """It may have been taken."""

    detail: str


Outcome = Accepted | Rejected | Refused | Unknown


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is asked about. `provider_message_id` None: the provider never told one;
    `phone` and `text` are empty when they were dropped."""

    number: int
    provider_message_id: str | None
    phone: str
    text: str
    at: datetime


class Missing(msgspec.Struct, frozen=True):
    """The provider says that it never got such a message."""


class NotTold(msgspec.Struct, frozen=True):
    """The provider could not be asked, or does not say."""

    detail: str


StatusAnswer = Said | Missing | NotTold


class Inbox(msgspec.Struct, frozen=True, kw_only=True):
    """An SMS from a telephone. A provider without ids of its own gets one made of the content."""

    provider_message_id: str
    phone: str
    text: str


class RawRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as it came. `url` is the public one, with its query; header names lower-case."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider wants to hear, or it sends the same again."""

    status: int = 200
    body: bytes = b""
    media_type: bytes = b"text/plain; charset=utf-8"


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    amount: Decimal
    currency: str | None


class Malformed(Exception):
    """A webhook that cannot be one of this provider's; the message says why."""


class CannotAsk(Exception):
    """The provider did not tell; the message says why."""


class Provider(Protocol):
    """One connection to a provider, made by the registry from its settings and secrets."""

    def reference(self, number: int) -> str | None:
        """The provider's id of a message before it is sent, if it lets us choose."""

    async def send(self, message: Outbound) -> Outcome:
        """Never raises what the network raises."""

    async def fetch_status(self, sent: Sent) -> StatusAnswer:
        """Never raises what the network raises."""

    def verify(self, raw: RawRequest) -> Trust:
        """Whether the raw bytes are signed by the provider. `unsigned`: it does not sign, so what
        it says is confirmed by asking."""

    def parse_reports(self, raw: RawRequest) -> Sequence[Said]:
        """What it tells of messages. Raises Malformed."""

    def parse_inbound(self, raw: RawRequest) -> Sequence[Inbox]:
        """What telephones sent. Raises Malformed."""

    async def confirm_inbound(self, inbound: Inbox) -> Inbox | None:
        """The SMS as the provider itself shows it; None when it cannot be asked. Raises CannotAsk
        when it should be asked again later, Malformed when there is no such SMS."""

    def acknowledge(self, raw: RawRequest) -> Ack: ...

    async def balance(self) -> Balance:
        """Raises CannotAsk."""

    async def close(self) -> None: ...
