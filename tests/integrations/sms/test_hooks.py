"""Webhooks come late, twice, out of order and forged: what is true in the end is what happened."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.common.errors import Forbidden, NotFound, Overloaded, ValidationFailed
from billing.messages import statuses
from billing.messages.model import ORDER, Status, later
from billing.messages.statuses import Said
from integrations.sms.reports import MOST_DEAD
from integrations.sms.twilio import EMPTY
from integrations.sms.webhooks import MAX_QUERY, MOST_WAITING
from tests.conftest import TestDatabase
from tests.integrations.sms.house import House
from tests.integrations.sms.peers import Peer, peer_of


async def test_a_signed_report_counts_and_is_answered_as_the_provider_wants(
    house: House, smsru: Peer, twilio: Peer, smsc: Peer
) -> None:
    await house.add(smsru, priority=1)
    message = (await house.sent()).id
    reference = smsru.sms[0].id
    ack = await house.smsru(f"sms_status\n{reference}\n103\n1767225600")
    assert (ack.status, ack.body) == (200, b"100")
    assert house.woken == 1
    assert (await house.get(message)).status == "accepted"
    await house.work()
    assert (await house.get(message)).status == "delivered"

    await house.add(twilio, priority=0)
    message = (await house.sent()).id
    ack = await house.twilio(MessageSid="SM1", MessageStatus="undelivered", ErrorCode="30003")
    assert (ack.body, ack.media_type) == (EMPTY, b"text/xml; charset=utf-8")
    await house.work()
    one = await house.get(message)
    assert (one.status, one.error) == ("failed", "error 30003")

    await house.add(smsc, priority=-0, state="active")
    await house.add(twilio, state="paused")
    message = (await house.sent()).id
    sms = smsc.sms[0]
    assert (await house.smsc(id=sms.id, phone=sms.phone[1:], status="1")).status == 200
    await house.work()
    assert (await house.get(message)).status == "delivered"
    assert "/sys/status.php" not in smsc.asked


async def test_many_reports_come_in_one_request(house: House, smsru: Peer) -> None:
    await house.add(smsru, rate_per_minute=600_000)
    messages = [(await house.sent(text=str(number))).id for number in range(100)]
    await house.smsru(*(f"sms_status\n{sms.id}\n103\n1" for sms in smsru.sms))
    await house.work()
    assert {(await house.get(one)).status for one in messages} == {"delivered"}


async def test_a_report_may_come_before_the_answer_to_the_send(house: House, smsru: Peer) -> None:
    await house.add(smsru)
    await house.smsru("sms_status\n000000-1\n103\n1767225600")
    await house.work()
    message = (await house.sent()).id
    assert (await house.get(message)).status == "accepted"
    await house.later(seconds=3)
    assert (await house.get(message)).status == "delivered"


async def test_a_forged_webhook_changes_nothing(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    message = (await house.sent()).id
    body = urlencode({"MessageSid": twilio.sms[0].id, "MessageStatus": "delivered"}).encode()
    with pytest.raises(Forbidden):
        await house.hook("twilio", body)
    assert (house.woken, await house.reports.step()) == (0, 0)
    assert (await house.get(message)).status == "accepted"


async def test_a_wrong_token_and_a_provider_that_is_not_there_look_the_same(
    house: House, smsru: Peer
) -> None:
    row = await house.add(smsru)
    old = house.fleet.token(row)
    said = set()
    for code, token in (("smsru", "0" * 32), ("nobody", old), ("smsru", old[:-1]), ("smsru", "é")):
        with pytest.raises(NotFound) as refused:
            await house.hook(code, b"", token=token)
        said.add(refused.value.detail)
    assert len(said) == 1
    await house.providers.rotate_token("smsru")
    with pytest.raises(NotFound):
        await house.hook("smsru", b"", token=old)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"a=%ff", b"&".join(b"a=1" for _ in range(600)), b"data[0]=%00"]
)
async def test_a_body_that_is_none_is_refused(house: House, smsru: Peer, body: bytes) -> None:
    await house.add(smsru)
    with pytest.raises((ValidationFailed, Forbidden)):
        await house.hook("smsru", body)
    with pytest.raises(ValidationFailed):
        await house.hook("smsru", b"", query=b"a" * (MAX_QUERY + 1))


@pytest.mark.parametrize("kind", ["exolve", "http"])
async def test_an_unsigned_report_is_a_question_to_the_provider(house: House, kind: str) -> None:
    """Whoever knows the address may say anything: what counts is what the provider answers."""
    async with peer_of(kind) as peer:
        await house.add(peer)
        message = (await house.sent()).id
        sms = peer.sms[0]

        async def report(count: int) -> None:
            said = {"message_id": sms.id, "delivery_status": "DELIVERED", "n": count}
            if kind == "http":
                said = {"id": sms.id, "state": "DELIVRD", "n": count}
            await house.hook(kind, json.dumps(said).encode(), content_type="application/json")
            await house.work()

        await report(1)
        assert (await house.get(message)).status == "accepted"
        sms.status = "DELIVRD" if kind == "http" else "SMS_DELIVERY_STATUS_DELIVERED"
        await report(2)
        assert (await house.get(message)).status == "delivered"


async def test_an_unsigned_report_waits_while_the_provider_is_away(
    house: House, exolve: Peer
) -> None:
    await house.add(exolve)
    message = (await house.sent()).id
    exolve.sms[0].status = "SMS_DELIVERY_STATUS_DELIVERED"
    exolve.down = True
    body = json.dumps({"message_id": exolve.sms[0].id}).encode()
    await house.hook("exolve", body, content_type="application/json")
    await house.work()
    assert (await house.get(message)).status == "accepted"
    exolve.down = False
    await house.later(seconds=3)
    assert (await house.get(message)).status == "delivered"


async def test_what_cannot_be_worked_on_waits_for_a_person(house: House, exolve: Peer) -> None:
    await house.add(exolve)
    for number, body in enumerate((b"[1]", b"{", b'{"message_id": "1; DROP"}', b'{"a": NaN}')):
        await house.hook("exolve", body, content_type="application/json", query=b"%d" % number)
    await house.work()
    found = await house.providers.webhooks(2**62, 10, "dead")
    assert len(found) == 4
    assert all(one.result for _, one in found)
    again = await house.providers.replay_webhook(found[0][1].id)
    assert again.state == "pending"
    await house.work()
    assert len(await house.providers.webhooks(2**62, 10, "dead")) == 4


async def test_reports_of_messages_of_others_are_given_up_in_the_end(
    house: House, smsru: Peer
) -> None:
    await house.add(smsru)
    await house.smsru("sms_status\n999999-1\n103\n1767225600")
    for _ in range(10):
        await house.later(hours=3)
    ((_, one),) = await house.providers.webhooks(2**62, 10, None)
    assert (one.state, one.attempts) == ("done", 7)


async def test_a_failure_of_an_earlier_attempt_is_not_the_messages(
    house: House, smsc: Peer, smsru: Peer
) -> None:
    """The second provider has it; a delivery by the first would count all the same."""
    await house.add(smsc, priority=1)
    await house.add(smsru, priority=2)
    smsc.faults = ["drop before"]
    message = (await house.sent()).id
    await house.add(smsc, priority=1, state="paused")
    await house.later(seconds=6)
    await house.later(seconds=21)
    assert (await house.get(message)).provider == "smsru"
    first = (await house.history(message))[0].provider_message_id
    assert first is not None
    await house.smsc(id=first, phone="79990000001", status="20")
    await house.work()
    assert (await house.get(message)).status == "accepted"
    await house.smsc(id=first, phone="79990000001", status="1")
    await house.work()
    assert (await house.get(message)).status == "delivered"


async def test_taking_a_webhook_in_takes_milliseconds(house: House, smsru: Peer) -> None:
    await house.add(smsru)
    times = []
    for number in range(30):
        began = time.perf_counter()
        await house.smsru(f"sms_status\n1-{number}\n103\n1")
        times.append(time.perf_counter() - began)
    assert sorted(times)[15] < 0.05


async def test_no_more_webhooks_are_kept_than_can_be_worked_on(
    house: House, smsru: Peer, exolve: Peer, shared_database: TestDatabase
) -> None:
    """Whoever sends too many has to come again; another provider is not concerned. Of what cannot
    be worked on the first thousand keep their content."""
    await house.add(smsru)
    await house.add(exolve)
    owner = await asyncpg.connect(shared_database.owner_url)
    fill = """
        INSERT INTO billing.sms_webhooks (id, provider, digest, signed, state, content, received_at,
            next_at)
        SELECT uuidv7(), $1, decode(md5(n::text), 'hex'), true, $2, 'x', now(), 'infinity'
        FROM generate_series(1, $3::integer) AS n
    """
    await owner.execute(fill, "smsru", "pending", MOST_WAITING)
    with pytest.raises(Overloaded) as refused:
        await house.smsru("sms_status\n1-1\n103\n1")
    assert refused.value.retry_after_s == 60
    await owner.execute(fill, "exolve", "dead", MOST_DEAD - 1)
    for number in range(2):
        await house.hook("exolve", b"{", content_type="application/json", query=b"%d" % number)
    await house.work()
    newest = await owner.fetch(
        "SELECT state, content IS NULL AS empty FROM billing.sms_webhooks"
        " WHERE provider = 'exolve' ORDER BY position DESC LIMIT 2"
    )
    assert [tuple(row) for row in newest] == [("dead", True), ("dead", False)]
    await owner.close()


STATUSES = st.lists(st.sampled_from(ORDER[2:]), min_size=1, max_size=8)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(said=STATUSES, data=st.data())
async def test_any_order_and_repetition_ends_in_the_furthest_status(
    house: House, said: list[Status], data: Any
) -> None:
    """The model: the later of two statuses, folded over all that were heard."""
    message = await _accepted(house)
    heard = data.draw(st.permutations([*said, *data.draw(st.lists(st.sampled_from(said)))]))
    expected: Status = "accepted"
    for status in heard:
        expected = later(expected, status)
        async with house.database.transaction() as tx:
            found = await statuses.find(tx, "peer", str(message))
            assert found is not None
            await statuses.apply(
                tx,
                provider="peer",
                attempt=found[0],
                message=found[1],
                said=Said(provider_message_id=str(message), status=status),
                now=house.clock(),
                ask_at=None,
            )
        assert (await house.get(message)).status == expected


async def _accepted(house: House) -> Any:
    """A message that a provider took, without asking one."""
    message = await house.enqueue()
    await house.database.fetch(
        """
        WITH made AS (
            INSERT INTO billing.message_attempts (id, message_id, provider, number, at,
                outcome, provider_message_id)
            VALUES (uuidv7(), $1::uuid, 'peer', 1, now(), 'accepted', $1::uuid::text)
            RETURNING id)
        UPDATE billing.messages SET status = 'accepted', attempt_id = made.id
        FROM made WHERE messages.id = $1::uuid
        """,
        message,
    )
    return message
