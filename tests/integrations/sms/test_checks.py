"""Checks of a phone by the provider's own code, or by a call."""

from __future__ import annotations

from typing import Any

import pytest

from billing.messages.checks import CheckRefused, CheckStarted, CheckUnknown, PhoneCheck
from integrations.sms.registry import make
from tests.integrations.sms.house import ANNA, HERE, SECRETS, SETTINGS, House
from tests.integrations.sms.peers import Peer


def checks_of(peer: Peer, house: House) -> dict[str, PhoneCheck]:
    settings: dict[str, Any] = {**SETTINGS[peer.kind], "endpoint": peer.endpoint}
    if peer.kind == "twilio":
        settings["verify_endpoint"] = peer.endpoint
    made = make(peer.kind, settings, SECRETS[peer.kind], HERE, house.folder)  # type: ignore[arg-type]
    return {one.method: one for one in made.checks}


async def test_twilio_makes_sends_and_compares_the_code(house: House, twilio: Peer) -> None:
    verify = checks_of(twilio, house)["provider"]
    started = await verify.start(phone=ANNA, language="ru")
    assert started == CheckStarted(reference="VE1")
    assert await verify.check(reference="VE1", code="0000") == "wrong"
    assert await verify.check(reference="VE1", code="1234") == "approved"
    await verify.cancel(reference="VE1")


@pytest.mark.parametrize("code", [60202, 20404])
async def test_what_twilio_has_ended_is_over(house: House, twilio: Peer, code: int) -> None:
    verify = checks_of(twilio, house)["provider"]
    twilio.faults = [code]
    assert await verify.check(reference="VE1", code="1234") == "over"


async def test_a_check_whose_answer_got_lost_is_not_a_wrong_code(
    house: House, twilio: Peer
) -> None:
    verify = checks_of(twilio, house)["provider"]
    twilio.down = True
    assert await verify.check(reference="VE1", code="1234") == "unknown"
    assert isinstance(await verify.start(phone=ANNA, language="ru"), CheckUnknown)
    await verify.cancel(reference="VE1")


async def test_a_flash_call_tells_us_the_code(house: House, smsru: Peer) -> None:
    call = checks_of(smsru, house)["flash_call"]
    assert await call.start(phone=ANNA, language="ru") == CheckStarted(
        reference="000-1", code="1435"
    )


@pytest.mark.parametrize(
    ("said", "checked"), [("400", "wrong"), (401, "approved"), ("402", "over")]
)
async def test_a_customer_may_call_instead(
    house: House, smsru: Peer, said: Any, checked: str
) -> None:
    call = checks_of(smsru, house)["call_check"]
    started = await call.start(phone=ANNA, language="ru")
    assert started == CheckStarted(reference="201737-542", call_phone="78005008275")
    smsru.answers = [said]
    assert await call.check(reference="201737-542", code="") == checked


async def test_a_call_that_cannot_be_made_is_refused(house: House, smsru: Peer) -> None:
    settings = {**SETTINGS["smsru"], "endpoint": smsru.endpoint}
    made = make("smsru", settings, {"api_id": "wrong"}, HERE, house.folder)
    for check in made.checks:
        refused = await check.start(phone=ANNA, language="ru")
        assert isinstance(refused, CheckRefused)
        assert refused.code == "200"
