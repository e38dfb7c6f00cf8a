"""Codes and words that come back by SMS, and what providers confirm themselves."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.common.settings import Settings
from billing.messages.checks import CheckStarted
from billing.messages.model import Language
from tests.billing.verifications.house import House, opened, refused, wrong

_OUT_OF_ALL = text("SELECT count(*) FROM billing.message_opt_outs")


async def test_yes_confirms_what_asked_for_a_reply_and_nothing_else(house: House) -> None:
    asked, told = await house.customer(), await house.customer()
    await house.started(asked["id"], method="sms_reply")
    await house.started(told["id"])
    reply = house.services.verifications.confirm_by_reply
    assert await reply(told["phone"], "да") == "not_understood"
    assert await house.status(told["id"]) == "unverified"
    assert await reply(asked["phone"], " Да! ") == "confirmed"
    assert await house.status(asked["id"]) == "verified"
    assert await reply(asked["phone"], "да") == "not_open"


async def test_the_code_confirms_by_reply_too_within_its_five_attempts(house: House) -> None:
    customer = await house.customer()
    verification = await house.started(customer["id"])
    code = await house.code(verification["id"])
    reply = house.services.verifications.confirm_by_reply
    told = await asyncio.gather(*(reply(customer["phone"], wrong(code)) for _ in range(4)))
    assert set(told) == {"wrong_code"}
    assert await reply(customer["phone"], f"{code[:3]} {code[3:]}") == "confirmed"
    seen = await house.look(verification["id"])
    assert (seen["state"], seen["confirmed_by"]) == ("confirmed", "reply")


async def test_a_reply_that_may_mean_two_things_means_none(house: House) -> None:
    customer = await house.verified()
    house.later(minutes=5)
    await house.started(customer["id"], "redemption", method="sms_reply")
    house.later(minutes=5)
    other = await house.started(customer["id"], method="sms_reply")
    reply = house.services.verifications.confirm_by_reply
    assert await reply(customer["phone"], "да") == "not_open"
    assert (await house.look(other["id"]))["attempts_left"] == 5
    house.later(minutes=6)
    assert await reply(customer["phone"], "да") == "confirmed", "the first one's time is over"


@pytest.mark.parametrize("phone", ["", "abc", "+79030000000", "+7903" * 20, "\0"])
async def test_a_reply_of_nobody_is_nothing(house: House, phone: str) -> None:
    assert await house.services.verifications.confirm_by_reply(phone, "да") == "not_open"
    assert await house.services.consents.withdraw_messages(phone) is False
    assert await house.services.customers.balance_for_phone(phone) is None


async def test_stop_withdraws_messages_once_and_codes_still_go_out(house: House) -> None:
    customer = await house.verified()
    consents = house.services.consents
    assert await consents.withdraw_messages(customer["phone"]) is True
    assert await consents.withdraw_messages(customer["phone"]) is False
    path = f"/v1/customers/{customer['id']}/consents"
    newest = (await (await house.client()).get(path)).json()["items"][0]
    assert (newest["kind"], newest["action"], newest["method"]) == (
        "messages", "withdrawn", "inbound",
    )  # fmt: skip
    assert await house.status(customer["id"]) == "verified"
    house.later(minutes=5)
    assert (await house.start(customer["id"], "redemption")).status_code == 201


async def test_who_wants_messages_again_after_stop_gets_them(house: House) -> None:
    """СТОП stands twice, by phone and as a consent: one yes takes both back."""
    customer = await house.verified()
    client, consents = await house.client(), house.services.consents
    async with house.services.database.transaction() as tx:
        before = await tx.scalar(_OUT_OF_ALL)
        await house.services.messages.opt_out(tx, customer["phone"], "inbound")
    await consents.withdraw_messages(customer["phone"])
    path = f"/v1/customers/{customer['id']}/consents"
    given = await client.post(path, json={"kind": "messages", "action": "given"})
    assert given.is_success, given.text
    async with house.services.database.transaction() as tx:
        one = UUID(customer["id"])
        assert await consents.willing(tx, [one]) == {one}
        assert await tx.scalar(_OUT_OF_ALL) == before


async def test_erasure_forgets_that_a_phone_said_stop(house: House) -> None:
    customer = await house.verified()
    async with house.services.database.transaction() as tx:
        await house.services.messages.opt_out(tx, customer["phone"], "inbound")
        before = await tx.scalar(_OUT_OF_ALL)
    body = {"reason": "asked for it"}
    answer = await (await house.client()).post(f"/v1/customers/{customer['id']}/erase", json=body)
    assert answer.is_success, answer.text
    async with house.services.database.transaction() as tx:
        assert await tx.scalar(_OUT_OF_ALL) == before - 1


async def test_the_balance_of_a_phone_is_told_to_the_verified_only(house: House) -> None:
    verified, other = await house.verified(), await house.customer()
    balance = house.services.customers.balance_for_phone
    found = await balance(verified["phone"])
    assert found is not None
    assert found.available == 0
    assert await balance(other["phone"]) is None


class Operator:
    """A provider with codes of its own: `424242` for a check, `1234` by a call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def start(self, verification_id: object, phone: str, language: Language) -> CheckStarted:
        self.calls.append(phone)
        return CheckStarted(ref=f"ref-{verification_id}", code="1234" if language == "en" else None)

    async def check(self, ref: str, code: str) -> bool:
        return code == "424242"

    async def cancel(self, ref: str) -> None:
        self.calls.append(ref)


async def test_a_provider_that_makes_and_checks_codes(settings: Settings) -> None:
    async with opened(settings) as house:
        operator = Operator()
        house.services.verifications.calling.gateways = {
            "provider": operator,
            "flash_call": operator,
        }
        checked, called, answered = [await house.customer() for _ in range(3)]
        one = await house.started(checked["id"], method="provider")
        assert await house.sent(one["id"]) == []
        refused(await house.confirm(one["id"], "000000"), 409, "verification_failed")
        for _ in range(2):
            done = await house.confirm(one["id"], "424242")
            assert done.json()["confirmed_by"] == "provider"
        two = await house.started(called["id"], method="flash_call", language="en")
        for _ in range(3):
            refused(await house.confirm(two["id"], "9999"), 409, "verification_failed")
        refused(await house.confirm(two["id"], "1234"), 409, "verification_failed")
        three = await house.started(answered["id"], method="provider")
        by_provider = house.services.verifications.confirm_by_provider
        assert await by_provider(f"ref-{three['id']}") == "confirmed"
        assert await by_provider(f"ref-{three['id']}") == "not_open"
        assert await by_provider("ref-unknown") == "not_open"
        assert await house.status(answered["id"]) == "verified"
