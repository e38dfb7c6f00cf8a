"""Signatures, as the specification's own library and a published vector have them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from billing.common.crypto import CannotDecrypt
from integrations.webhooks.signing import Seals, new_secret, shown, signature
from ledger.ids import uuid7
from ledger.service import utc_now
from tests.integrations.webhooks.house import House
from tests.integrations.webhooks.receiver import Message, Receiver

VECTOR = b'{"type":"points.accrued","timestamp":"2026-01-01T00:00:00Z","data":{"id":"x"}}'


def test_the_known_answer() -> None:
    secret = base64.b64decode("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")
    assert shown(secret) == "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
    made = signature([secret], "msg_1", 1767225600, VECTOR)
    assert made == "v1,rkxTZ3RCwlTb21Lt8jyZuNmKiPXwu2ccIN3CFgr7CEQ="


def test_a_secret_is_sealed_for_its_own_subscription() -> None:
    seals, mine, secret = Seals(bytes(32)), uuid7(), new_secret()
    sealed = seals.seal(mine, secret)
    assert seals.unseal(mine, sealed) == secret
    assert secret not in sealed
    for other, of in ((seals, uuid7()), (Seals(bytes(31) + b"1"), mine)):
        with pytest.raises(CannotDecrypt):
            other.unseal(of, sealed)


def verified(secret: str, message: Message) -> bool:
    try:
        told: Any = Webhook(secret).verify(message.body, message.headers)
    except WebhookVerificationError:
        return False
    assert told == message.event
    return True


async def test_subscribers_verify_before_during_and_after_a_rotation(
    house: House, receiver: Receiver
) -> None:
    # The library looks at the clock on the wall.
    house.clock.seconds = (utc_now() - house.clock.at(0)).total_seconds()
    subscription = await house.subscribe(receiver)
    _, first = await house.webhooks.rotate(subscription)
    customer = house.customer()
    await customer.give(1)
    await house.tell()
    _, second = await house.webhooks.rotate(subscription)
    await customer.give(1)
    await house.tell()
    before, during = receiver.messages
    assert verified(first, before)
    assert not verified(second, before)
    assert verified(first, during)
    assert verified(second, during)
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    await customer.give(1)
    await house.dispatch()
    await house.later(hours=24, seconds=1)
    after = receiver.messages[-1]
    assert len(after.headers["webhook-signature"].split(" ")) == 1
    assert (
        signature(
            [base64.b64decode(second[6:])],
            after.id,
            int(after.headers["webhook-timestamp"]),
            after.body,
        )
        == after.headers["webhook-signature"]
    )
    changed = Message(during.path, during.headers, during.body.replace(b"1", b"2", 1))
    assert not verified(second, changed)
