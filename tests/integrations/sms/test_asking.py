"""Unknown is asked about before it is repeated (DESIGN 6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integrations.sms.inquiry import UNKNOWN
from tests.integrations.sms.house import House
from tests.integrations.sms.peers import Peer, peer_of


@pytest.mark.parametrize("kind", ["smsc", "exolve", "twilio"])
async def test_a_message_whose_answer_got_lost_is_found(house: House, kind: str) -> None:
    """By the id we chose, or by phone and text."""
    async with peer_of(kind) as peer:
        await house.add(peer)
        peer.faults = ["drop after"]
        message = (await house.sent()).id
        assert (await house.get(message)).status == "unknown"
        await house.later(seconds=6)
        one = await house.get(message)
        assert one.status in ("accepted", "sent")
        assert one.provider_message_id == peer.sms[0].id
        await house.later(hours=1)
        assert len(peer.sms) == 1


@pytest.mark.parametrize("kind", ["smsc", "twilio"])
async def test_a_message_that_never_came_is_sent_after_two_answers(house: House, kind: str) -> None:
    async with peer_of(kind) as peer:
        await house.add(peer)
        peer.faults = ["drop before"]
        message = (await house.sent()).id
        await house.later(seconds=6)
        assert ((await house.get(message)).status, peer.sms) == ("unknown", [])
        await house.later(seconds=20)
        assert (await house.get(message)).status == "accepted"
        assert len(peer.sms) == 1
        assert [one.outcome for one in await house.history(message)] == ["lost", "accepted"]


async def test_answers_count_and_not_questions(house: House, smsc: Peer) -> None:
    """A question that nobody answered says nothing: never came is to be said twice."""
    await house.add(smsc)
    smsc.faults = ["drop before"]
    message = (await house.sent()).id
    smsc.down = True
    await house.later(seconds=6)
    await house.later(seconds=20)
    smsc.down = False
    await house.later(seconds=60)
    assert ((await house.get(message)).status, smsc.sms) == ("unknown", [])
    await house.later(seconds=300)
    assert (await house.get(message)).status == "accepted"
    assert len(smsc.sms) == 1


async def test_what_no_provider_can_tell_about_is_never_repeated(house: House, smsru: Peer) -> None:
    """SMS.ru knows a message by its own id alone. A code is let go; a notice waits for a person."""
    await house.add(smsru)
    smsru.faults = ["drop after", "drop after"]
    expires = house.clock() + timedelta(days=3)
    code = (await house.sent()).id
    notice = (await house.sent(purpose="notice", expires_at=expires)).id
    for delay in (timedelta(seconds=6), *UNKNOWN, timedelta(days=1)):
        await house.later(seconds=delay.total_seconds())
    assert len(smsru.sms) == 2
    for message, dead in ((code, False), (notice, True)):
        one = await house.get(message)
        assert (one.status, one.dead) == ("unknown", dead)
    await house.messages.replay(notice)
    await house.send()
    assert (await house.get(notice)).status == "accepted"


async def test_silence_of_a_list_that_may_leave_things_out_proves_nothing(
    house: House, exolve: Peer
) -> None:
    await house.add(exolve)
    exolve.faults = ["drop before"]
    message = (await house.sent()).id
    for _ in range(9):
        await house.later(hours=3)
    assert ((await house.get(message)).status, exolve.sms) == ("unknown", [])


async def test_a_provider_that_cannot_be_asked_now_is_asked_again(house: House, smsc: Peer) -> None:
    await house.add(smsc)
    smsc.faults = ["drop after"]
    message = (await house.sent()).id
    smsc.down = True
    await house.later(seconds=6)
    assert (await house.get(message)).status == "unknown"
    smsc.down = False
    await house.later(seconds=25)
    assert (await house.get(message)).status == "sent"
    assert len(smsc.sms) == 1


@pytest.mark.parametrize(
    ("kind", "word", "status"),
    [
        ("smsc", "1", "delivered"), ("smsc", "20", "failed"), ("smsc", "3", "expired"),
        ("smsru", "103", "delivered"), ("smsru", "150", "failed"), ("smsru", "104", "expired"),
        ("exolve", "SMS_DELIVERY_STATUS_DELIVERED", "delivered"),
        ("exolve", "SMS_DELIVERY_STATUS_NOT_DELIVERED", "failed"),
        ("twilio", "delivered", "delivered"), ("twilio", "undelivered", "failed"),
        ("http", "DELIVRD", "delivered"), ("http", "UNDELIV", "failed"),
    ],
)  # fmt: skip
async def test_what_nobody_reports_is_asked_for(
    house: House, kind: str, word: str, status: str
) -> None:
    async with peer_of(kind) as peer:
        await house.add(peer)
        message = (await house.sent()).id
        peer.sms[0].status = word
        await house.later(minutes=3)
        assert (await house.get(message)).status == status
        asked = len(peer.asked)
        await house.later(days=3)
        assert len(peer.asked) == asked


async def test_a_message_that_stays_on_its_way_is_not_asked_for_ever(
    house: House, smsc: Peer
) -> None:
    await house.add(smsc)
    message = (await house.sent()).id
    for _ in range(20):
        await house.later(days=1)
    one = await house.get(message)
    assert (one.status, one.dead) == ("sent", False)
    assert len(smsc.asked) < 10


async def test_the_price_comes_with_the_status(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    message = (await house.sent()).id
    assert (await house.get(message)).price is None
    twilio.sms[0].status = "delivered"
    await house.later(minutes=3)
    one = await house.get(message)
    assert (f"{one.price:.3f}", one.currency) == ("0.015", "USD")
