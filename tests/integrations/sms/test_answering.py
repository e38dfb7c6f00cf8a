"""What customers write is heard once, and nobody is kept talking (B8, B19)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from billing.messages.acts import YES
from billing.messages.inbound import command_of
from billing.messages.settings import Keywords
from tests.integrations.sms.house import ANNA, House
from tests.integrations.sms.peers import Peer

SAID_YES: tuple[str, Any] = ("confirm", (ANNA, YES))


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("БАЛАНС", "balance"), (" баланс ", "balance"), ("Balance!", "balance"),
        ("«Баланс»", "balance"), ("да", "confirm"), ("Yes.", "confirm"), ("СТОП", "stop"),
        ("stop", "stop"), ("481526", "code"), ("481 526", "code"), ("48-15-26", "code"),
        ("123", "other"), ("12345678901", "other"), ("БАЛАНС СТОП", "other"), ("", "other"),
        ("да нет", "other"), ("ваш баланс 5", "other"), ("!!!", "other"), ("\0", "other"),
        ("д" * 5000, "other"), ("４８１５２６", "other"),
    ],
)  # fmt: skip
def test_only_a_whole_text_is_a_command(words: str, command: str) -> None:
    assert command_of(words, Keywords())[0] == command


async def test_a_balance_is_answered(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    await house.settings(brand="Fresh", language="ru")
    await house.twilio(MessageSid="SMin1", From=ANNA, To="+15550001", Body="Баланс", NumMedia="0")
    await house.work()
    await house.send()
    (sms,) = twilio.sms
    assert (sms.phone, sms.text) == (ANNA, "Бонусов: 12,50. Fresh")
    assert house.acts.asked == [("balance", ANNA)]


async def test_nobody_is_not_answered(house: House, twilio: Peer) -> None:
    """Who has no points is not told that the chain knows of nobody; and it costs nothing."""
    await house.add(twilio)
    house.acts.balance = None
    await house.twilio(MessageSid="SMin1", From=ANNA, Body="Баланс")
    await house.work()
    assert await house.send() == 0


async def test_yes_and_the_code_confirm(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    await house.twilio(MessageSid="SMin1", From=ANNA, Body="Да")
    await house.twilio(MessageSid="SMin2", From=ANNA, Body="481526")
    await house.twilio(MessageSid="SMin3", From=ANNA, Body="000000")
    await house.work()
    assert house.acts.asked == [
        SAID_YES,
        ("confirm", (ANNA, "481526")),
        ("confirm", (ANNA, "000000")),
    ]
    await house.send()
    # Of a wrong code nothing is said: no robot learns from it.
    assert [one.text for one in twilio.sms] == ["Спасибо, номер подтверждён."] * 2


async def test_stop_stops_notices_and_is_answered_once(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    notice = await house.enqueue(purpose="notice", not_before=house.clock.at(60))
    await house.twilio(MessageSid="SMin1", From=ANNA, Body="СТОП")
    await house.work()
    assert house.acts.asked == [("stop", ANNA)]
    await house.later(minutes=2)
    assert [one.text for one in twilio.sms] == ["Больше сообщений не будет."]
    assert (await house.get(notice)).error == "opted_out"


async def test_the_same_sms_again_does_nothing(house: House, twilio: Peer) -> None:
    """Also in other bytes: the provider's id counts."""
    await house.add(twilio)
    for attempt in range(4):
        await house.twilio(MessageSid="SMin1", From=ANNA, Body="Да", Attempt=str(attempt))
    await house.work()
    assert house.acts.asked == [SAID_YES]


async def test_a_phone_gets_so_many_answers_a_day(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    await house.settings(replies_per_day=3)
    for number in range(10):
        await house.twilio(MessageSid=f"SMin{number}", From=ANNA, Body="Баланс")
    await house.work()
    await house.send()
    assert len(twilio.sms) == 3
    house.clock.seconds += 86_401
    await house.twilio(MessageSid="SMnext", From=ANNA, Body="Баланс")
    await house.work()
    await house.send()
    assert len(twilio.sms) == 4


async def test_all_phones_together_get_so_many_answers_a_day(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    await house.settings(replies_per_day_in_all=2)
    for number in range(4):
        await house.twilio(MessageSid=f"SMin{number}", From=f"+7999000000{number}", Body="СТОП")
    await house.work()
    await house.send()
    assert len(twilio.sms) == 2
    assert len(house.acts.asked) == 4, "what they asked for was done"


@pytest.mark.parametrize("phone", ["+447400123456", "+78091234567", "+77011234567"])
async def test_a_phone_that_gets_no_codes_gets_no_answers(
    house: House, twilio: Peer, phone: str
) -> None:
    """Abroad, or a paid number: who forges senders shall not choose what we pay for."""
    await house.add(twilio)
    await house.twilio(MessageSid="SMin1", From=phone, Body="СТОП")
    await house.work()
    assert await house.send() == 0
    assert house.acts.asked == [("stop", phone)]


SENDERS = ("Bank", "900", "7878", "", "+7 999", "x" * 40, "+79990000001;x")


@pytest.mark.parametrize("sender", SENDERS)
async def test_a_robot_gets_no_answer(house: House, twilio: Peer, sender: str) -> None:
    await house.add(twilio)
    await house.twilio(MessageSid="SMin1", From=sender or " ", Body="Баланс")
    await house.work()
    assert (await house.send(), house.acts.asked) == (0, [])


async def test_two_such_services_do_not_talk_to_each_other(house: House, twilio: Peer) -> None:
    """Whatever one of them answers, the other does not understand, or the answer is not sent."""
    await house.add(twilio)
    for text in ("Бонусов: 12,50. Fresh", "Больше сообщений не будет.", "не понял"):
        await house.twilio(MessageSid=f"SM{text}", From=ANNA, Body=text)
    await house.work()
    assert (await house.send(), house.acts.asked) == (0, [])
    await house.templates.write("stop_reply", "ru", "СТОП!", "test")
    await house.twilio(MessageSid="SMstop", From=ANNA, Body="стоп")
    await house.work()
    assert await house.send() == 0


async def test_a_yes_that_nobody_signed_confirms_nothing(house: House, gateway: Peer) -> None:
    """Whoever knew the address could say it for anybody. A code is a secret of its own; a balance
    goes to the phone's owner; a stop only protects."""
    await house.add(gateway)
    for number, words in enumerate(("ДА", "481526", "БАЛАНС", "СТОП")):
        body = json.dumps({"id": f"in{number}", "from": ANNA, "body": words}).encode()
        await house.hook("http", body, content_type="application/json")
    await house.work()
    assert house.acts.asked == [
        ("confirm", (ANNA, "481526")),
        ("balance", ANNA),
        ("stop", ANNA),
    ]


async def test_what_exolve_did_not_get_was_not_written(house: House, exolve: Peer) -> None:
    await house.add(exolve)
    hook = {"message_id": "77", "direction": "DIRECTION_INCOMING", "text": "ДА", "sender": ANNA[1:]}
    exolve.answers = [
        {**hook, "message_id": "78", "sender": "79990000002", "text": "ДА"},
    ]
    await house.hook("exolve", json.dumps(hook).encode(), content_type="application/json")
    await house.work()
    assert house.acts.asked == []
    # The one there is counts as Exolve has it, whatever the hook says.
    said = json.dumps({**hook, "message_id": "78"}).encode()
    await house.hook("exolve", said, content_type="application/json")
    await house.work()
    assert house.acts.asked == [("confirm", ("+79990000002", YES))]


async def test_what_smsc_did_not_get_was_not_written(house: House, smsc: Peer) -> None:
    await house.add(smsc)
    fields = {"sms_id": "9", "phone": ANNA[1:], "to": "79585770000", "mes": "ДА"}
    smsc.answers = []
    await house.hook("smsc", urlencode(fields).encode())
    await house.work()
    assert house.acts.asked == []
    smsc.answers = [{"id": 10, "phone": ANNA[1:], "message": "ДА"}]
    await house.hook("smsc", urlencode({**fields, "sms_id": "10"}).encode())
    await house.work()
    assert house.acts.asked == [SAID_YES]


async def test_keywords_and_texts_are_the_chains(house: House, twilio: Peer) -> None:
    await house.add(twilio)
    await house.settings(
        language="en", keywords={"balance": ["Points"], "confirm": ["OK"], "stop": ["Quit"]}
    )
    await house.templates.write("balance_reply", "en", "You have {points}", "test")
    await house.twilio(MessageSid="SMin1", From=ANNA, Body="баланс")
    await house.twilio(MessageSid="SMin2", From=ANNA, Body="points")
    await house.work()
    await house.send()
    assert [one.text for one in twilio.sms] == ["You have 12.50"]
