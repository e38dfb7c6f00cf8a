"""Webhooks over HTTP."""

from __future__ import annotations

from uuid import UUID

from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.http import Call, operation
from billing.common.wire import PageQuery, page
from integrations.webhooks.schemas import (
    DeliveriesQuery,
    DeliveryDetail,
    DeliveryOut,
    DeliveryPage,
    SubscriptionIn,
    SubscriptionMade,
    SubscriptionOut,
    SubscriptionPage,
    SubscriptionPatch,
    TestOut,
    delivery_detail,
    delivery_out,
    id_of,
    subscription_out,
)
from integrations.webhooks.service import Webhooks

_TAG = "Webhooks"
_ADMIN: tuple[Role, ...] = ("admin",)
_SUBSCRIPTIONS = "/v1/webhook-subscriptions"
_DELIVERIES = "/v1/webhook-deliveries"
_NEWEST = 2**62


@operation(
    "POST",
    _SUBSCRIPTIONS,
    summary="Subscribe to events",
    tag=_TAG,
    may=_ADMIN,
    body=SubscriptionIn,
    answers={201: SubscriptionMade},
    conflicts=("too_many_subscriptions",),
    examples={
        "points": {
            "url": "https://crm.example.org/hooks/bonus",
            "events": ["points.*", "receipt.returned"],
            "description": "The CRM",
        }
    },
)
async def subscribe(call: Call[SubscriptionIn]) -> Answer:
    """Events are sent by the Standard Webhooks specification, at least once, each customer's in
    order, from now on. The `secret` is shown this once: signatures are verified with it. The
    address must be of the public internet, by https."""
    made, secret = await call.use(Webhooks).subscribe(call.body)
    return Answer.json(subscription_out(made) | {"secret": secret}, 201)


@operation(
    "GET",
    _SUBSCRIPTIONS,
    summary="List webhook subscriptions",
    tag=_TAG,
    may=_ADMIN,
    query=PageQuery,
    answers={200: SubscriptionPage},
)
async def list_subscriptions(call: Call[None, PageQuery]) -> Answer:
    """Oldest first."""
    (after,) = call.query.after(UUID) or (UUID(int=0),)
    limit = call.query.limit
    rows = await call.use(Webhooks).page(after, limit + 1)
    items = [subscription_out(one) for one in rows[:limit]]
    more = (rows[limit - 1].id,) if len(rows) > limit else ()
    return Answer.json(page(items, limit, *more))


@operation(
    "GET",
    f"{_SUBSCRIPTIONS}/{{id}}",
    summary="Read a webhook subscription",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SubscriptionOut},
)
async def read_subscription(call: Call) -> Answer:
    """Whether it is sent to, and for how long it has been failing."""
    return Answer.json(subscription_out(await call.use(Webhooks).get(id_of(call.path))))


@operation(
    "PATCH",
    f"{_SUBSCRIPTIONS}/{{id}}",
    summary="Change, pause or resume a webhook subscription",
    tag=_TAG,
    may=_ADMIN,
    body=SubscriptionPatch,
    answers={200: SubscriptionOut},
    conflicts=("subscription_not_active",),
    examples={"pause": {"state": "paused"}, "resume": {"state": "active"}},
)
async def change_subscription(call: Call[SubscriptionPatch]) -> Answer:
    """A paused one keeps events for later, for 30 days at most. To make one active that was
    disabled is to go on with what waited when it was; what happened since is not sent."""
    changed = await call.use(Webhooks).change(id_of(call.path), call.body)
    return Answer.json(subscription_out(changed))


@operation(
    "DELETE",
    f"{_SUBSCRIPTIONS}/{{id}}",
    summary="Delete a webhook subscription",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SubscriptionOut},
)
async def delete_subscription(call: Call) -> Answer:
    """Nothing more is sent; what was waiting is dropped."""
    return Answer.json(subscription_out(await call.use(Webhooks).delete(id_of(call.path))))


@operation(
    "POST",
    f"{_SUBSCRIPTIONS}/{{id}}/rotate-secret",
    summary="Replace the secret of a webhook subscription",
    tag=_TAG,
    may=_ADMIN,
    answers={200: SubscriptionMade},
)
async def rotate_secret(call: Call) -> Answer:
    """The new secret is shown this once. For 24 hours messages are signed with both."""
    changed, secret = await call.use(Webhooks).rotate(id_of(call.path))
    return Answer.json(subscription_out(changed) | {"secret": secret})


@operation(
    "POST",
    f"{_SUBSCRIPTIONS}/{{id}}/test",
    summary="Send a test to a webhook subscription",
    tag=_TAG,
    may=_ADMIN,
    answers={202: TestOut},
    conflicts=("subscription_not_active",),
)
async def test_subscription(call: Call) -> Answer:
    """Sends a `webhook.test` within seconds, whatever the subscription asks for."""
    return Answer.json(TestOut(await call.use(Webhooks).test(id_of(call.path))), 202)


@operation(
    "GET",
    _DELIVERIES,
    summary="List webhook deliveries",
    tag=_TAG,
    may=_ADMIN,
    query=DeliveriesQuery,
    answers={200: DeliveryPage},
)
async def list_deliveries(call: Call[None, DeliveriesQuery]) -> Answer:
    """Newest first. `state=dead`: the last of ten attempts over three days failed, and somebody
    should look. Delivered ones are forgotten after 30 days."""
    query = call.query
    (before,) = query.after(int) or (_NEWEST,)
    rows = await call.use(Webhooks).deliveries(
        min(before, _NEWEST), query.limit + 1, query.state, query.subscription_id
    )
    items = [delivery_out(one) for one in rows[: query.limit]]
    more = (rows[query.limit - 1].position,) if len(rows) > query.limit else ()
    return Answer.json(page(items, query.limit, *more))


@operation(
    "GET",
    f"{_DELIVERIES}/{{id}}",
    summary="Read a webhook delivery",
    tag=_TAG,
    may=_ADMIN,
    answers={200: DeliveryDetail},
)
async def read_delivery(call: Call) -> Answer:
    """What was sent, and every attempt."""
    return Answer.json(delivery_detail(*await call.use(Webhooks).delivery(id_of(call.path))))


@operation(
    "POST",
    f"{_DELIVERIES}/{{id}}/replay",
    summary="Send a webhook delivery once more",
    tag=_TAG,
    may=_ADMIN,
    answers={202: DeliveryOut},
)
async def replay_delivery(call: Call) -> Answer:
    """Under the same `webhook-id`, with all its attempts anew. One that is still on its way
    stays as it is."""
    return Answer.json(delivery_out(await call.use(Webhooks).replay(id_of(call.path))), 202)


OPERATIONS = [
    subscribe,
    list_subscriptions,
    read_subscription,
    change_subscription,
    delete_subscription,
    rotate_secret,
    test_subscription,
    list_deliveries,
    read_delivery,
    replay_delivery,
]
