"""The faults of each Russian provider, by the mechanism it has: SMS.ru signs its reports, SMSC does
when a secret is set, and Exolve never does; where nothing is signed, what the provider answers to
our question counts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest

from billing.common.errors import Forbidden, NotFound
from billing.messages.model import Message
from integrations.sms.inquiry import Inquirer
from integrations.sms.protocol import Ack
from tests.conftest import TestDatabase
from tests.integrations.sms.house import House
from tests.integrations.sms.peers import Peer, Sms, peer_of
from tests.integrations.webhooks.receiver import never, status

PATIENCE_S = 0.2


@dataclass(frozen=True)
class Way:
    """How one provider tells what became of a message: its words, and what it wants to hear."""

    kind: str
    sent: str
    delivered: str
    thanks: bytes
    error: Any
    signed: bool = True
    secrets: dict[str, Any] = field(default_factory=dict)
    finds: bool = True
    """Whether it can be asked about a message whose answer got lost."""

    async def report(self, house: House, sms: Sms, word: str, *, forged: bool = False) -> Ack:
        """A report as the provider sends it; `forged` is what somebody else makes of it."""
        if self.kind == "exolve":
            body = json.dumps({"message_id": sms.id, "delivery_status": word}).encode()
            return await house.hook("exolve", body, content_type="application/json")
        fields = {"id": sms.id, "phone": sms.phone[1:], "status": word}
        if self.kind == "smsc" and self.signed and not forged:
            return await house.smsc(**fields)
        if self.kind == "smsc":
            forgery = {"md5": "0" * 32} if forged else {}
            return await house.hook("smsc", urlencode(fields | forgery).encode())
        entry = f"sms_status\n{sms.id}\n{word}\n1767225600"
        if forged:
            pairs = {"data[0]": entry, "hash": "0" * 64}
            return await house.hook("smsru", urlencode(pairs).encode())
        return await house.smsru(entry)


WAYS = {
    "smsc": Way("smsc", "0", "1", b"OK", 9),
    "smsc without a secret": Way(
        "smsc", "0", "1", b"OK", 9, signed=False, secrets={"callback_secret": None}
    ),
    "smsru": Way("smsru", "102", "103", b"100", 200, finds=False),
    "exolve": Way(
        "exolve",
        "SMS_DELIVERY_STATUS_SENT",
        "SMS_DELIVERY_STATUS_DELIVERED",
        b"{}",
        "TOO_MANY",
        signed=False,
    ),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture
async def peer(house: House, way: Way) -> AsyncIterator[Peer]:
    async with peer_of(way.kind) as made:
        await house.add(made, secrets=way.secrets)
        yield made


@every_way
@pytest.mark.parametrize(
    "order", [("sent", "delivered"), ("delivered", "sent"), ("delivered", "delivered", "sent")]
)
async def test_reports_in_any_order_end_in_delivered(
    house: House, peer: Peer, way: Way, order: tuple[str, ...]
) -> None:
    """Also when the provider itself, asked, says the older thing after the newer one."""
    message = (await house.sent()).id
    (sms,) = peer.sms
    delivered: list[Message] = []
    for word in order:
        house.clock.seconds += 1
        sms.status = getattr(way, word)
        await way.report(house, sms, sms.status)
        await house.work()
        one = await house.get(message)
        delivered += [one] if one.status == "delivered" else []
    assert one.status == "delivered"
    assert {(one.status_at, one.provider_message_id) for one in delivered} == {
        (delivered[0].status_at, sms.id)
    }
    await house.later(days=1)
    assert (await house.get(message)).status == "delivered"
    assert (len(peer.sms), len(await house.history(message))) == (1, 1)


@every_way
async def test_the_same_report_again_is_thanked_for_and_not_even_kept(
    house: House, peer: Peer, way: Way, shared_database: TestDatabase
) -> None:
    message = (await house.sent()).id
    (sms,) = peer.sms
    sms.status = way.delivered
    for _ in range(5):
        assert (await way.report(house, sms, way.delivered)).body == way.thanks
    assert house.woken == 1
    owner = await asyncpg.connect(shared_database.owner_url)
    assert await owner.fetchval("SELECT count(*) FROM billing.sms_webhooks") == 1
    await house.work()
    assert (await way.report(house, sms, way.delivered)).body == way.thanks
    assert (house.woken, await house.reports.step()) == (1, 0)
    # What was worked on is not kept: it has phones and texts.
    assert await owner.fetchval("SELECT content FROM billing.sms_webhooks") is None
    await owner.close()
    assert (await house.get(message)).status == "delivered"


@every_way
async def test_a_forged_report_changes_nothing(house: House, peer: Peer, way: Way) -> None:
    """By a wrong signature where there is one; else the provider is asked, and knows better."""
    message = (await house.sent()).id
    (sms,) = peer.sms
    sms.status = way.sent
    with pytest.raises(NotFound):
        await house.hook(way.kind, b"", token="0" * 32)
    if way.signed:
        with pytest.raises(Forbidden):
            await way.report(house, sms, way.delivered, forged=True)
        assert house.woken == 0
    else:
        await way.report(house, sms, way.delivered)
    await house.work()
    assert (await house.get(message)).status == ("accepted" if way.signed else "sent")


@every_way
async def test_a_send_that_hangs_is_not_waited_for_and_not_repeated(
    house: House, peer: Peer, way: Way
) -> None:
    """The provider has taken it: one that can be asked says so, and nobody gets it twice."""
    peer.faults = ["hang after"]
    message = await house.enqueue()
    # Long enough for a busy machine to bring the message there.
    await house.new_sender(house.new_fleet(timeout_s=5 * PATIENCE_S)).run(linger=False)
    assert (await house.get(message)).status == "unknown"
    peer.sms[0].status = way.sent
    await house.later(seconds=6)
    one = await house.get(message)
    assert (one.status, one.provider_message_id) == (
        ("sent", peer.sms[0].id) if way.finds else ("unknown", None)
    )
    await house.later(days=1)
    assert len(peer.sms) == 1


@every_way
@pytest.mark.parametrize("fault", ["error", "hang", "page"])
async def test_a_question_that_is_not_answered_proves_nothing(
    house: House, peer: Peer, way: Way, fault: str
) -> None:
    """HTTP 200 with an error in it, silence, or a page: it is asked again, and sent once."""
    message = (await house.sent()).id
    peer.sms[0].status = way.delivered
    body = json.dumps(peer.refusal(way.error)[1]).encode()
    answers = {"error": status(200, body), "hang": never, "page": status(200, b"<html>")}
    peer.receiver.answer = answers[fault]
    fleet = house.new_fleet(timeout_s=PATIENCE_S)
    impatient = Inquirer(house.database, fleet, house.vault, clock=house.clock)
    house.clock.seconds += 180
    assert await impatient.step() == 1
    assert (await house.get(message)).status == "accepted"
    peer.receiver.answer = peer.handle
    await house.later(hours=1)
    assert (await house.get(message)).status == "delivered"
    assert len(peer.sms) == 1
