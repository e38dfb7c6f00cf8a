"""Providers of SMS over HTTP, and the door for what they send."""

from __future__ import annotations

from uuid import UUID

import msgspec

from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.errors import ValidationFailed
from billing.common.http import Call, operation
from billing.common.wire import page
from integrations.sms.schemas import (
    SmsBalanceOut,
    SmsProviderDetail,
    SmsProviderIn,
    SmsProviderList,
    SmsProviderOut,
    SmsTestIn,
    SmsTestOut,
    SmsWebhookOut,
    SmsWebhookPage,
    SmsWebhooksQuery,
)
from integrations.sms.service import SmsProviders
from integrations.sms.store import ProviderRow
from integrations.sms.webhooks import MAX_BODY, Intake

_TAG = "SMS"
_ADMIN: tuple[Role, ...] = ("admin",)
_PROVIDERS = "/v1/sms-providers"
_PROVIDER = f"{_PROVIDERS}/{{code}}"
_HOOKS = "/v1/sms-webhooks"
_NEWEST = 2**62


def shown(providers: SmsProviders, row: ProviderRow) -> SmsProviderOut:
    given = {
        name: getattr(row, name) for name in SmsProviderOut.__struct_fields__ if hasattr(row, name)
    }
    return SmsProviderOut(
        **given
        | {
            "settings": msgspec.json.decode(row.settings),
            "secrets": providers.secret_names(row),
            "webhook_url": providers.webhook_url(row),
        }
    )


@operation(
    "GET",
    _PROVIDERS,
    summary="List the SMS providers",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SmsProviderList},
)
async def list_sms_providers(call: Call) -> Answer:
    """In the order in which they are asked. Give `webhook_url` to the provider, for its reports
    and for what customers write; it is a secret. Without any provider, messages go to a file if
    BONUS_SMS_CONSOLE allows it, and else wait until they expire."""
    providers = call.use(SmsProviders)
    rows = await providers.all()
    return Answer.json(SmsProviderList([shown(providers, row) for row in rows]))


@operation(
    "GET",
    _PROVIDER,
    summary="Read an SMS provider",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SmsProviderDetail},
)
async def read_sms_provider(call: Call) -> Answer:
    """With its newest attempts that did not go well."""
    providers = call.use(SmsProviders)
    row, errors = await providers.get(call.path["code"])
    out = msgspec.structs.asdict(shown(providers, row))
    return Answer.json(SmsProviderDetail(**out, errors=errors))


@operation(
    "PUT",
    _PROVIDER,
    summary="Set up an SMS provider",
    tag=_TAG,
    may=_ADMIN,
    body=SmsProviderIn,
    answers={200: SmsProviderOut, 201: SmsProviderOut},
    conflicts=("too_many_providers",),
    examples={
        "smsru": {
            "kind": "smsru",
            "priority": 10,
            "rate_per_minute": 1200,
            "settings": {"sender": "Fresh"},
            "secrets": {"api_id": "env:BONUS_SMS_SECRET_SMSRU"},
        }
    },
)
async def put_sms_provider(call: Call[SmsProviderIn]) -> Answer:
    """Secrets are kept encrypted and never shown. A provider that is set up anew keeps the
    address of its webhooks."""
    providers = call.use(SmsProviders)
    row, new = await providers.put(call.path["code"], call.body)
    return Answer.json(shown(providers, row), 201 if new else 200)


@operation(
    "DELETE",
    _PROVIDER,
    summary="Remove an SMS provider",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SmsProviderOut},
)
async def delete_sms_provider(call: Call) -> Answer:
    """Its webhooks are no longer taken."""
    providers = call.use(SmsProviders)
    return Answer.json(shown(providers, await providers.delete(call.path["code"])))


@operation(
    "POST",
    f"{_PROVIDER}/rotate-token",
    summary="Change the address of a provider's webhooks",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SmsProviderOut},
)
async def rotate_sms_token(call: Call) -> Answer:
    """The old address is closed at once: give the new one to the provider."""
    providers = call.use(SmsProviders)
    return Answer.json(shown(providers, await providers.rotate_token(call.path["code"])))


@operation(
    "POST",
    f"{_PROVIDER}/test",
    summary="Send a test through an SMS provider",
    tag=_TAG,
    may=_ADMIN,
    body=SmsTestIn,
    answers={202: SmsTestOut},
    conflicts=("provider_paused",),
    examples={"to me": {"phone": "+79161234567", "text": "Test"}},
)
async def test_sms_provider(call: Call[SmsTestIn]) -> Answer:
    """Through this provider and no other. Read the message to see what became of it."""
    message_id = await call.use(SmsProviders).test(call.path["code"], call.body)
    return Answer.json(SmsTestOut(message_id), 202)


@operation(
    "GET",
    f"{_PROVIDER}/balance",
    summary="Ask an SMS provider for the balance",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SmsBalanceOut},
    conflicts=("balance_unknown",),
    patience_s=25.0,
)
async def read_sms_balance(call: Call) -> Answer:
    """Asked now, at the provider."""
    found = await call.use(SmsProviders).balance(call.path["code"])
    return Answer.json(SmsBalanceOut(f"{found.amount:f}", found.currency))


@operation(
    "GET",
    _HOOKS,
    summary="List webhooks of SMS providers",
    tag=_TAG,
    may=_ADMIN,
    query=SmsWebhooksQuery,
    answers={200: SmsWebhookPage},
)
async def list_sms_webhooks(call: Call[None, SmsWebhooksQuery]) -> Answer:
    """Newest first. What came again is not listed twice."""
    query = call.query
    (before,) = query.after(int) or (_NEWEST,)
    found = await call.use(SmsProviders).webhooks(
        min(before, _NEWEST), query.limit + 1, query.state
    )
    items = [one for _, one in found[: query.limit]]
    more = (found[query.limit - 1][0],) if len(found) > query.limit else ()
    return Answer.json(page(items, query.limit, *more))


@operation(
    "POST",
    f"{_HOOKS}/{{id}}/replay",
    summary="Work on a webhook of an SMS provider once more",
    tag=_TAG,
    may=_ADMIN,
    answers={202: SmsWebhookOut},
)
async def replay_sms_webhook(call: Call) -> Answer:
    """One that is not dead stays as it is."""
    try:
        webhook_id = UUID(call.path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be a UUID") from None
    return Answer.json(await call.use(SmsProviders).replay_webhook(webhook_id), 202)


@operation(
    "POST",
    "/v1/webhooks/sms/{provider}/{token}",
    summary="Take what an SMS provider sends",
    tag=_TAG,
    may=None,
    raw_bytes=MAX_BODY,
    answers={200: str},
)
async def take_sms_webhook(call: Call) -> Answer:
    """For providers: reports of delivery, and what customers wrote, in the provider's own form;
    answered as it wants. A wrong token is 404, a wrong signature 403. What comes twice counts
    once."""
    ack = await call.use(Intake).take(
        call.path["provider"], call.path["token"], call.query_string, call.headers, call.raw
    )
    return Answer(ack.body, ack.status, media_type=ack.media_type)


OPERATIONS = [
    list_sms_providers,
    read_sms_provider,
    put_sms_provider,
    delete_sms_provider,
    rotate_sms_token,
    test_sms_provider,
    read_sms_balance,
    list_sms_webhooks,
    replay_sms_webhook,
    take_sms_webhook,
]
