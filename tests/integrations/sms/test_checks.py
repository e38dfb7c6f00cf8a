"""Checks of a phone by the provider's own code, or by a call."""

from __future__ import annotations

from typing import Any

import pytest

from billing.common.errors import Overloaded
from billing.messages.checks import CheckRefused, CheckStarted, CheckUnknown, PhoneCheck
from integrations.sms.gateway import CheckGateway
from ledger.ids import uuid7
from tests.integrations.sms.house import ANNA, House
from tests.integrations.sms.peers import Peer


async def checks_of(house: House, peer: Peer, **secrets: str) -> dict[str, PhoneCheck]:
    row = await house.add(peer, secrets=secrets)
    return {one.method: one for one in house.fleet.of(row).checks}


async def test_twilio_makes_sends_and_compares_the_code(house: House, twilio: Peer) -> None:
    verify = (await checks_of(house, twilio))["provider"]
    started = await verify.start(phone=ANNA, language="ru")
    assert started == CheckStarted(ref="VE1")
    assert await verify.check(ref="VE1", code="0000") == "wrong"
    assert await verify.check(ref="VE1", code="1234") == "approved"
    await verify.cancel(ref="VE1")


@pytest.mark.parametrize("code", [60202, 20404])
async def test_what_twilio_has_ended_is_over(house: House, twilio: Peer, code: int) -> None:
    verify = (await checks_of(house, twilio))["provider"]
    twilio.faults = [code]
    assert await verify.check(ref="VE1", code="1234") == "over"


async def test_a_check_whose_answer_got_lost_is_not_a_wrong_code(
    house: House, twilio: Peer
) -> None:
    verify = (await checks_of(house, twilio))["provider"]
    twilio.down = True
    assert await verify.check(ref="VE1", code="1234") == "unknown"
    assert isinstance(await verify.start(phone=ANNA, language="ru"), CheckUnknown)
    await verify.cancel(ref="VE1")


async def test_a_flash_call_tells_us_the_code(house: House, smsru: Peer) -> None:
    call = (await checks_of(house, smsru))["flash_call"]
    assert await call.start(phone=ANNA, language="ru") == CheckStarted(ref="000-1", code="1435")


@pytest.mark.parametrize(
    ("said", "checked"), [("400", "wrong"), (401, "approved"), ("402", "over")]
)
async def test_a_customer_may_call_instead(
    house: House, smsru: Peer, said: Any, checked: str
) -> None:
    call = (await checks_of(house, smsru))["call_check"]
    started = await call.start(phone=ANNA, language="ru")
    assert started == CheckStarted(ref="201737-542", call_phone="78005008275")
    smsru.answers = [said]
    assert await call.check(ref="201737-542", code="") == checked


async def test_a_call_that_cannot_be_made_is_refused(house: House, smsru: Peer) -> None:
    for check in (await checks_of(house, smsru, api_id="wrong")).values():
        refused = await check.start(phone=ANNA, language="ru")
        assert isinstance(refused, CheckRefused)
        assert refused.code == "200"


async def test_a_check_is_made_by_whoever_offers_it(
    house: House, smsru: Peer, twilio: Peer
) -> None:
    await house.add(smsru, priority=1)
    await house.add(twilio, priority=2)
    gateway = CheckGateway(house.database, house.fleet, "provider")
    started = await gateway.start(uuid7(), ANNA, "ru")
    assert started == CheckStarted(ref="twilio:VE1")
    assert not await gateway.check(started.ref, "0000")
    assert await gateway.check(started.ref, "1234")
    await gateway.cancel(started.ref)
    calls = CheckGateway(house.database, house.fleet, "flash_call")
    assert (await calls.start(uuid7(), ANNA, "ru")).code == "1435"
    twilio.down = True
    for ask in (gateway.start(uuid7(), ANNA, "ru"), gateway.check(started.ref, "1234")):
        with pytest.raises(Overloaded):
            await ask
    await house.providers.delete("twilio")
    with pytest.raises(Overloaded):
        await gateway.start(uuid7(), ANNA, "ru")
    assert not await gateway.check(started.ref, "1234")
