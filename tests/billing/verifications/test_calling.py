"""Checks by providers: begun twice, lost on the way, and what the customer was shown (B19)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx
import pytest

from billing.common.errors import Overloaded
from billing.common.settings import Settings
from billing.messages.checks import CheckStarted
from billing.messages.model import Language
from tests.billing.verifications.house import SHOWN, House, opened, refused

RIGHT = "424242"


class Operator:
    """As Twilio: while a check of a phone is under way another start sends the same code again."""

    def __init__(self) -> None:
        self.under_way: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.deaf = self.lost = self.silent = False
        self.asked = asyncio.Event()
        self._numbers = itertools.count(1)

    async def start(self, verification_id: UUID, phone: str, language: Language) -> CheckStarted:
        self.asked.set()
        if self.silent:
            await asyncio.Event().wait()
        if self.lost:
            raise Overloaded("The provider did not answer; ask again shortly.", 30)
        ref = self.under_way.setdefault(phone, f"twilio:VE{next(self._numbers)}")
        return CheckStarted(ref=ref)

    async def check(self, ref: str, code: str) -> bool:
        return ref in self.under_way.values() and code == RIGHT

    async def cancel(self, ref: str) -> None:
        self.cancelled.append(ref)
        if not self.deaf:
            self.under_way = {p: one for p, one in self.under_way.items() if one != ref}


class Caller(Operator):
    """As SMS.ru: the code is the number that calls, and not every answer names the call."""

    async def start(self, verification_id: UUID, phone: str, language: Language) -> CheckStarted:
        if self.lost:
            raise Overloaded("The provider did not answer; ask again shortly.", 30)
        return CheckStarted(ref="smsru:", code="1435")


@pytest.fixture(scope="session")
async def calling(shared_settings: Settings) -> AsyncIterator[House]:
    async with opened(shared_settings) as made:
        yield made


@pytest.fixture
def operator(calling: House) -> Operator:
    made = Operator()
    calling.services.verifications.calling.gateways = {"provider": made, "flash_call": Caller()}
    return made


async def begun(house: House, customer: str, **more: Any) -> dict[str, Any]:
    return await house.started(customer, method="provider", **more)


@pytest.mark.parametrize("deaf", [False, True])
async def test_another_check_of_a_phone_takes_the_place_of_the_one_before(
    calling: House, operator: Operator, deaf: bool
) -> None:
    """Whether or not the provider ends the first one, and so names the same one again."""
    operator.deaf = deaf
    customer = await calling.customer()
    first = await begun(calling, customer["id"])
    calling.later(minutes=1)
    second = await begun(calling, customer["id"])
    assert operator.cancelled == ["twilio:VE1"]
    assert (await calling.look(first["id"]))["state"] == "superseded"
    refused(await calling.confirm(first["id"], RIGHT), 409, "verification_failed")
    assert (await calling.confirm(second["id"], RIGHT)).status_code == 200
    assert await calling.status(customer["id"]) == "verified"


async def test_a_check_for_another_purpose_takes_its_place_too(
    calling: House, operator: Operator
) -> None:
    """The provider has one check of a phone, whatever we ask it for."""
    customer = await calling.customer("verified")
    first = await begun(calling, customer["id"])
    calling.later(minutes=1)
    second = await begun(calling, customer["id"], purpose="redemption", points="50.00")
    assert (await calling.look(first["id"]))["state"] == "superseded"
    assert (await calling.confirm(second["id"], RIGHT)).status_code == 200


async def test_several_tills_at_once_begin_one_check(calling: House, operator: Operator) -> None:
    customer = await calling.customer()
    answers = await asyncio.gather(
        *(calling.start(customer["id"], method="provider") for _ in range(5))
    )
    told = sorted(answer.status_code for answer in answers)
    assert told.count(201) == 1
    assert set(told) <= {200, 201, 429}
    assert len(operator.under_way) == 1


async def test_a_check_that_was_lost_is_not_given_again(calling: House, operator: Operator) -> None:
    customer = await calling.customer()
    operator.lost = True
    refused(await calling.start(customer["id"], method="provider"), 503, "overloaded")
    operator.lost = False
    refused(await calling.start(customer["id"], method="provider"), 429, "rate_limited")
    calling.later(seconds=30)
    again = await begun(calling, customer["id"])
    assert (await calling.confirm(again["id"], RIGHT)).status_code == 200


@pytest.mark.parametrize("killed", [False, True])
async def test_a_till_that_gave_up_waiting_gets_one_that_can_be_confirmed(
    calling: House, operator: Operator, killed: bool
) -> None:
    """The request was cut off, or the process ended, while the provider was asked."""
    customer = await calling.customer()
    operator.silent = True
    request = asyncio.create_task(calling.start(customer["id"], method="provider"))
    await operator.asked.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    operator.silent = False
    (state,) = await _states(calling, customer["id"])
    assert state == "superseded"
    if killed:
        # What a process leaves that was ended before it could write anything.
        await _open(calling, customer["id"])
    refused(await calling.start(customer["id"], method="provider"), 429, "rate_limited")
    calling.later(seconds=30)
    again = await begun(calling, customer["id"])
    assert (await calling.confirm(again["id"], RIGHT)).status_code == 200
    assert (await _states(calling, customer["id"])) == ["superseded", "confirmed"]


async def test_a_code_is_good_until_another_one_is_known(
    calling: House, operator: Operator
) -> None:
    customer = await calling.customer()
    verification = await begun(calling, customer["id"])
    calling.later(minutes=1)
    operator.lost = True
    refused(await calling.resend(verification["id"]), 503, "overloaded")
    assert (await calling.confirm(verification["id"], RIGHT)).status_code == 200


async def test_calls_without_a_name_are_different_ones(calling: House, operator: Operator) -> None:
    for customer in (await calling.customer(), await calling.customer()):
        one = await calling.started(customer["id"], method="flash_call")
        assert (await calling.confirm(one["id"], "1435")).status_code == 200
        assert await calling.status(customer["id"]) == "verified"


@pytest.mark.parametrize(("method", "code"), [("provider", RIGHT), ("flash_call", "1435")])
async def test_the_words_that_were_shown_are_the_consent(
    calling: House, operator: Operator, method: str, code: str
) -> None:
    """B19: a provider's own message carries no consent; what the customer read is on record."""
    customer = await calling.customer()
    one = await calling.started(customer["id"], method=method, text_version="2027-02")
    other = await calling.start(customer["id"], method=method, text="Другой текст.")
    refused(other, 429, "rate_limited")
    same = await calling.start(customer["id"], method=method, text_version="2027-02")
    assert (same.status_code, same.json()["id"]) == (200, one["id"])
    assert (await calling.confirm(one["id"], code)).status_code == 200
    consent = await _consent(calling, customer["id"])
    assert (consent["text"], consent["text_version"]) == (SHOWN, "2027-02")
    assert consent["text_sha256"] == sha256(SHOWN.encode()).hexdigest()
    assert consent["verification_id"] == one["id"]


async def _consent(house: House, customer: str) -> Any:
    answer: httpx.Response = await (await house.client()).get(f"/v1/customers/{customer}/consents")
    (consent,) = answer.json()["items"]
    return consent


async def _states(house: House, customer: str) -> list[str]:
    """Of the customer's verifications, oldest first."""
    exported = await (await house.client()).get(f"/v1/customers/{customer}/export")
    return [one["state"] for one in exported.json()["verifications"]]


async def _open(house: House, customer: str) -> None:
    await house.services.database.fetch(
        "UPDATE billing.verifications SET state = 'open' WHERE customer_id = $1", UUID(customer)
    )
