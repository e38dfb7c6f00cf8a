"""A message goes to the first provider that takes it, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import msgspec
import pytest

from integrations.sms.console import FILE
from integrations.sms.queue import ROUNDS
from tests.conftest import TestDatabase
from tests.integrations.sms.house import ANNA, HERE, House, generic
from tests.integrations.sms.peers import Peer, peer_of
from tests.integrations.webhooks.receiver import Receiver

KINDS = ("smsc", "smsru", "exolve", "twilio", "http")
TEXT = "Код 481526. Ёлка & <b> =?#\nдля {brand} «Ы» 😀"


@pytest.mark.parametrize("kind", KINDS)
async def test_each_provider_takes_a_message_word_for_word(house: House, kind: str) -> None:
    async with peer_of(kind) as peer:
        await house.add(peer)
        message = await house.sent(text=TEXT)
        (sms,) = peer.sms
        assert (sms.phone, sms.text) == (ANNA, TEXT)
        assert (message.status, message.provider) == ("accepted", kind)
        assert message.provider_message_id == sms.id
        (attempt,) = await house.history(message.id)
        assert (attempt.outcome, attempt.provider_message_id) == ("accepted", sms.id)


async def test_a_value_in_an_address_stays_a_value(house: House, gateway: Peer) -> None:
    """Of a provider of no kind we know, too, wherever its template puts it."""
    url = f"{gateway.endpoint}/send?text={{text}}&to={{phone}}&x=/{{text}}"
    send = generic(gateway.endpoint)["send"] | {"url": url}
    await house.add(gateway, settings={"send": send})
    text = "a&to=+70000000000#/../?%d"
    assert (await house.sent(text=text)).status == "accepted"
    query = urlsplit(gateway.receiver.messages[-1].path).query
    assert parse_qsl(query) == [("text", text), ("to", ANNA), ("x", f"/{text}")]


async def test_what_a_provider_charges_is_kept(house: House, smsc: Peer) -> None:
    await house.add(smsc)
    message = await house.sent()
    assert (message.segments, message.price, message.currency) == (2, Decimal("3.50000"), "RUB")


async def test_twilio_is_told_where_to_report(house: House, twilio: Peer) -> None:
    row = await house.add(twilio)
    await house.sent()
    assert twilio.sms[0].fields["StatusCallback"] == house.providers.webhook_url(row)
    assert twilio.sms[0].fields["ValidityPeriod"] == "600"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("smsc", 3), ("smsc", 2), ("smsc", 6), ("smsc", 8), ("smsc", 9), ("smsru", 201),
        ("smsru", 220), ("smsru", [207]), ("smsru", [230]), ("exolve", 401), ("exolve", 403),
        ("exolve", 429), ("exolve", "NO_MONEY"), ("twilio", 20003), ("twilio", 20429),
        ("twilio", 21608), ("http", "no money"),
    ],
)  # fmt: skip
async def test_who_refuses_hands_over_to_the_next(house: House, kind: str, fault: Any) -> None:
    """HTTP 200 with an error in its body is a refusal, too."""
    async with peer_of(kind) as first, peer_of("smsru") as second:
        await house.add(first, "first", priority=1)
        await house.add(second, "second", priority=2)
        first.faults = [fault]
        message = await house.sent()
        assert (message.status, message.provider) == ("accepted", "second")
        assert [one.outcome for one in await house.history(message.id)] == ["rejected", "accepted"]
        assert len(second.sms) == 1
        row, errors = await house.providers.get("first")
        assert row.last_error is not None
        assert [one.message_id for one in errors] == [message.id]


@pytest.mark.parametrize(
    ("kind", "fault"), [("smsc", 7), ("smsru", [202]), ("twilio", 21211), ("twilio", 21610)]
)
async def test_a_phone_nobody_can_reach_is_not_tried_elsewhere(
    house: House, kind: str, fault: Any
) -> None:
    async with peer_of(kind) as first, peer_of("exolve") as second:
        await house.add(first, "first", priority=1)
        await house.add(second, "second", priority=2)
        first.faults = [fault]
        message = await house.sent()
        assert (message.status, message.dead) == ("failed", False)
        assert second.sms == []
        await house.later(days=1)
        assert second.sms == []


async def test_no_money_is_not_found_out_by_every_message(
    house: House, smsc: Peer, smsru: Peer
) -> None:
    await house.add(smsc, priority=1)
    await house.add(smsru, priority=2)
    smsc.faults = [3]
    await house.sent()
    for _ in range(5):
        assert (await house.sent()).provider == "smsru"
    assert len(smsc.asked) == 1
    await house.later(seconds=31)
    assert (await house.sent()).provider == "smsc"
    assert (await house.providers.get("smsc"))[0].failures == 0


async def test_who_cannot_be_reached_hands_over(house: House, smsc: Peer, smsru: Peer) -> None:
    await house.add(smsc, priority=1, settings={"endpoint": "http://127.0.0.1:1"})
    await house.add(smsru, priority=2)
    message = await house.sent()
    assert message.provider == "smsru"
    assert [one.outcome for one in await house.history(message.id)] == ["refused", "accepted"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["drop after", "drop before", "html"])
async def test_what_may_have_been_taken_is_not_sent_again(
    house: House, kind: str, fault: str
) -> None:
    """Neither there nor anywhere else: unknown is asked about (DESIGN 6)."""
    async with peer_of(kind) as first, peer_of("smsru") as second:
        await house.add(first, "first", priority=1)
        await house.add(second, "second", priority=2)
        first.faults = [fault]
        message = await house.sent()
        assert message.status == "unknown"
        assert (await house.send(), second.sms) == (0, [])


async def test_a_killed_sender_leaves_what_it_had_unknown(
    house: House, smsc: Peer, shared_database: TestDatabase
) -> None:
    """It may have been sent or not: the provider is asked, and knows the id we chose."""
    await house.add(smsc)
    smsc.faults = ["hang after"]
    message = await house.enqueue()
    task = asyncio.create_task(house.new_sender().run(linger=False))
    await smsc.receiver.has(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await house.get(message)).status == "queued"
    assert await house.send() == 0
    owner = await asyncpg.connect(shared_database.owner_url)
    await owner.execute("UPDATE billing.messages SET leased_until = '-infinity'")
    await owner.close()
    await house.send()
    assert (await house.get(message)).status == "unknown"
    await house.later(seconds=1)
    assert (await house.get(message)).status == "sent"
    assert len(smsc.sms) == 1


async def test_refused_everywhere_it_comes_again_and_in_the_end_waits_for_a_person(
    house: House, smsru: Peer
) -> None:
    await house.add(smsru)
    smsru.faults = [[207]] * (1 + len(ROUNDS))
    message = (await house.sent(purpose="notice", expires_at=house.clock() + timedelta(days=2))).id
    for delay in ROUNDS:
        assert (await house.get(message)).status == "queued"
        await house.later(seconds=delay.total_seconds())
    one = await house.get(message)
    assert (one.status, one.dead, one.attempts) == ("failed", True, 1 + len(ROUNDS))
    assert smsru.sms == []
    newest = UUID(int=2**128 - 1)
    waiting = await house.messages.page(newest, 9, None, "dead")
    assert [dead.id for dead in waiting] == [message]
    assert (await house.messages.replay(message)).status == "queued"
    await house.send()
    assert (await house.get(message)).status == "accepted"


async def test_a_code_is_never_sent_after_it_is_over(house: House, smsru: Peer) -> None:
    message = await house.enqueue()
    await house.later(minutes=11)
    await house.add(smsru)
    await house.later(seconds=1)
    one = await house.get(message)
    assert (one.status, one.dead, smsru.sms) == ("expired", False, [])


async def test_texts_are_gone_once_a_provider_has_them(
    house: House, smsc: Peer, shared_database: TestDatabase
) -> None:
    await house.add(smsc)
    owner = await asyncpg.connect(shared_database.owner_url)
    query = "SELECT text_encrypted, phone_encrypted FROM billing.messages"
    await house.enqueue(text="Код 481526")
    for part in (await owner.fetch(query))[0]:
        assert b"481526" not in part
        assert ANNA.encode() not in part
    await house.send()
    ((text, phone),) = await owner.fetch(query)
    assert (text, phone is None) == (None, False)
    smsc.sms[0].status = "1"
    await house.later(minutes=3)
    assert await owner.fetchval("SELECT phone_encrypted FROM billing.messages") is None
    await owner.close()


async def test_codes_go_before_a_crowd_of_notices(house: House, smsru: Peer) -> None:
    await house.add(smsru, rate_per_minute=60)
    for _ in range(5):
        await house.enqueue(text="notice", purpose="notice")
    await house.enqueue(text="code")
    await house.send()
    assert [one.text for one in smsru.sms] == ["code"]


async def test_no_more_leave_than_the_provider_takes(house: House, smsru: Peer) -> None:
    await house.add(smsru, rate_per_minute=120)
    for _ in range(10):
        await house.enqueue(purpose="notice")
    others = [house.new_sender() for _ in range(3)]
    await asyncio.gather(*(one.run(linger=False) for one in others))
    assert len(smsru.sms) == 2
    for second in range(1, 5):
        await house.later(seconds=1)
        assert len(smsru.sms) == 2 + 2 * second


async def test_several_senders_send_each_message_once(house: House, smsru: Peer) -> None:
    await house.add(smsru, rate_per_minute=600_000)
    for number in range(60):
        await house.enqueue(text=str(number), purpose="notice")
    await asyncio.gather(*(house.new_sender().run(linger=False) for _ in range(4)))
    await house.send()
    assert sorted(int(one.text) for one in smsru.sms) == list(range(60))


async def test_a_notice_waits_for_the_morning_of_the_store(house: House, smsru: Peer) -> None:
    """Also one that became late by itself: the hours are looked at when it is sent."""
    await house.add(smsru)
    await house.settings(quiet_hours={"since": "22:00", "until": "09:00"})
    expires = house.clock() + timedelta(days=1)
    # The clock says midnight UTC: 03:00 in Moscow, 07:00 in Novosibirsk, 10:00 in Vladivostok.
    for zone in ("Europe/Moscow", "Asia/Novosibirsk", "Asia/Vladivostok"):
        await house.enqueue(text=zone, purpose="notice", zone=zone, expires_at=expires)
    await house.enqueue(text="code")
    await house.send()
    assert {one.text for one in smsru.sms} == {"code", "Asia/Vladivostok"}
    await house.later(hours=2)
    assert smsru.sms[-1].text == "Asia/Novosibirsk"
    await house.later(hours=3, minutes=59)
    assert len(smsru.sms) == 3
    await house.later(minutes=1)
    assert smsru.sms[-1].text == "Europe/Moscow"


async def test_who_opted_out_meanwhile_gets_no_notice(house: House, smsru: Peer) -> None:
    await house.add(smsru)
    notice = await house.enqueue(purpose="notice")
    code = await house.enqueue()
    async with house.database.transaction() as tx:
        await house.messages.opt_out(tx, ANNA, "test")
    await house.send()
    assert ((await house.get(notice)).status, (await house.get(notice)).error) == (
        "failed",
        "opted_out",
    )
    assert (await house.get(code)).status == "accepted"


async def test_a_paused_provider_sends_nothing(house: House, smsc: Peer, smsru: Peer) -> None:
    await house.add(smsc, priority=1, state="paused")
    await house.add(smsru, priority=2)
    assert (await house.sent()).provider == "smsru"
    assert smsc.sms == []


async def test_the_console_writes_a_file_only_its_owner_reads(house: House) -> None:
    fleet = house.new_fleet(console=True)
    message = await house.enqueue(text="Код 481526")
    await house.new_sender(fleet).run(linger=False)
    assert (await house.get(message)).status == "delivered"
    file = house.folder / FILE
    line = msgspec.json.decode(file.read_bytes())
    assert (line["to"], line["text"]) == (ANNA, "Код 481526")
    assert file.stat().st_mode & 0o077 == 0


async def test_without_a_provider_nothing_is_lost(house: House, smsru: Peer) -> None:
    message = await house.enqueue()
    assert await house.send() == 0
    await house.add(smsru)
    await house.send()
    assert (await house.get(message)).status == "accepted"


async def test_a_provider_cannot_be_an_address_inside(house: House, smsru: Peer) -> None:
    await house.add(smsru, settings={"endpoint": "http://169.254.169.254"})
    message = await house.sent()
    (attempt,) = await house.history(message.id)
    assert (attempt.outcome, "forbidden address" in (attempt.detail or "")) == ("refused", True)
    assert HERE.hosts == {"127.0.0.1"}


async def test_a_secret_of_the_environment_is_read_when_it_is_used(
    house: House, smsru: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.add(smsru, secrets={"api_id": "env:BONUS_SMS_SECRET_SMSRU"})
    message = await house.enqueue()
    await house.send()
    assert "not set" in ((await house.history(message))[0].detail or "")
    monkeypatch.setenv("BONUS_SMS_SECRET_SMSRU", "API")
    await house.later(minutes=1)
    assert (await house.get(message)).status == "accepted", await house.history(message)
    await house.add(smsru, "thief", secrets={"api_id": "env:BONUS_SECRET_KEY"}, priority=1)
    monkeypatch.setenv("BONUS_SECRET_KEY", "API")
    assert (await house.sent()).provider == "smsru"


async def test_an_answer_without_end_is_not_read_to_its_end(house: House, smsru: Peer) -> None:
    async def flood(message: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n")
        for _ in range(100):
            writer.write(b"x" * 65536)
            await writer.drain()

    assert isinstance(smsru.receiver, Receiver)
    smsru.receiver.answer = flood
    await house.add(smsru)
    assert (await house.sent()).status == "unknown"
