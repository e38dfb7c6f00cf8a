"""What describes a provider of no kind we know: its requests, answers, webhooks and signature."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from billing.messages.model import Status

Template = Annotated[str, msgspec.Meta(max_length=2000)]
Fields = Annotated[dict[str, Template], msgspec.Meta(max_length=50)]
Path = Annotated[str, msgspec.Meta(max_length=200, examples=["data.0.id"])]


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request to the provider. `form` or `json` is its body: strings of `json` are templates,
    whatever it is nested in."""

    url: Template
    method: Literal["GET", "POST", "PUT"] = "POST"
    query: Fields = {}
    headers: Fields = {}
    form: Fields | None = None
    json: Any = None


class Answered(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where things are in an answer of JSON: names and numbers with dots between. Something is
    accepted when `id` is there and `error`, if named, is empty."""

    id: Path | None = None
    error: Path | None = None
    status: Path | None = None
    price: Path | None = None
    segments: Path | None = None
    amount: Path | None = None


class Hook(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where things are in a webhook of JSON or a form."""

    id: Path
    status: Path | None = None
    phone: Path | None = None
    text: Path | None = None


class Signature(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """HMAC-SHA256 over the raw body under the secret of that name."""

    header: str
    secret: str
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""


class GenericSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`own_id`: the provider knows a message by `{number}`. `statuses` maps the provider's words
    to ours. `missing` is the word for a message it never got. `acknowledge` is what a webhook is
    answered with."""

    send: Request
    sent: Answered
    own_id: bool = False
    fetch: Request | None = None
    fetched: Answered | None = None
    account: Request | None = None
    balance: Answered | None = None
    currency: str | None = None
    statuses: Annotated[dict[str, Status], msgspec.Meta(max_length=100)] = {}
    missing: str | None = None
    report: Hook | None = None
    inbound: Hook | None = None
    signature: Signature | None = None
    acknowledge: Annotated[str, msgspec.Meta(max_length=1000)] = "OK"
    sender: str = ""


class GenericSecrets(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """By name, for `{secret.NAME}`."""

    named: Annotated[dict[str, str], msgspec.Meta(max_length=20)] = {}
