"""Codes by SMS (B16 to B20; issue: verification)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.billing.verifications.house import House, refused, wrong


async def test_who_says_the_code_is_verified_and_has_consented(house: House) -> None:
    """B18 to B20: the SMS is the consent and has the code; the code verifies."""
    customer = await house.customer()
    verification = await house.started(customer["id"], seller="Olga", store="s-codes")
    ((phone, words),) = await house.sent(verification["id"])
    code = await house.code(verification["id"])
    assert (phone, verification["state"]) == (customer["phone"], "open")
    assert "соглашаетесь на обработку персональных" in words
    done = (await house.confirm(verification["id"], code)).json()
    assert (done["state"], done["confirmed_by"], done["attempts_left"]) == ("confirmed", "code", 4)
    assert await house.status(customer["id"]) == "verified"
    path = f"/v1/customers/{customer['id']}/consents"
    (consent,) = (await (await house.client()).get(path)).json()["items"]
    assert (consent["kind"], consent["action"], consent["text"]) == ("processing", "given", words)
    assert (consent["seller"], consent["store"]) == ("Olga", "s-codes")
    assert consent["verification_id"] == verification["id"]
    assert consent["requested_at"] == verification["sent_at"]
    assert consent["text_version"] == "0"
    assert len(consent["text_sha256"]) == 64


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"purpose": "redemption"}, "points"),
        ({"purpose": "redemption", "points": "0.00"}, "points"),
        ({"purpose": "registration", "points": "5.00"}, "points"),
        ({"purpose": "registration", "method": "provider"}, "text"),
        ({"purpose": "registration", "method": "flash_call"}, "text"),
        ({"purpose": "registration", "text": "I agree."}, "text"),
        ({"purpose": "redemption", "points": "5.00", "text": "I agree."}, "text"),
        ({"purpose": "registration", "text_version": "7"}, "text"),
    ],
)
async def test_what_a_code_would_leave_open_is_refused(
    house: House, body: dict[str, Any], word: str
) -> None:
    """A payment without a sum, a consent without its words."""
    customer = await house.customer()
    client = await house.client("pos")
    answer = await client.post(f"/v1/customers/{customer['id']}/verifications", json=body)
    assert refused(answer, 400, "validation_failed")["detail"].count(word)


async def test_the_code_of_a_payment_names_its_sum(house: House) -> None:
    customer = await house.verified()
    house.later(minutes=5)
    for language, words in (("ru", "спишется бонусов: 150,50"), ("en", "to be spent: 150.50")):
        verification = await house.started(
            customer["id"], "redemption", points="150.50", language=language
        )
        ((_, text),) = await house.sent(verification["id"])
        assert words in text
        assert verification["points"] == "150.50"
        house.later(minutes=30)


async def test_the_same_code_again_is_the_same_answer_and_one_consent(house: House) -> None:
    customer = await house.customer()
    verification = await house.started(customer["id"])
    code = await house.code(verification["id"])
    answers = await asyncio.gather(*(house.confirm(verification["id"], code) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    path = f"/v1/customers/{customer['id']}/consents"
    assert len((await (await house.client()).get(path)).json()["items"]) == 1


async def test_what_does_not_confirm_is_told_alike(house: House) -> None:
    """The answer tells neither whether there is such a verification, nor what is wrong with it."""
    used, old, open_ = [
        (await house.started((await house.customer())["id"]))["id"] for _ in range(3)
    ]
    codes = [await house.code(one) for one in (used, old, open_)]
    for _ in range(5):
        await house.confirm(used, wrong(codes[0]))
    told = [await house.confirm(open_, wrong(codes[2]))]
    house.later(minutes=11)
    told += [
        await house.confirm(used, codes[0]),
        await house.confirm(old, codes[1]),
        await house.confirm(str(uuid4()), "123456"),
    ]
    documents = [refused(one, 409, "verification_failed") for one in told]
    assert len({one["detail"] for one in documents}) == 1
    assert (await house.look(used))["state"] == "failed"
    assert (await house.look(old))["state"] == "expired"


async def test_five_attempts_in_all_whatever_is_sent_again(house: House) -> None:
    verification = (await house.started((await house.customer())["id"]))["id"]
    for _ in range(3):
        await house.confirm(verification, wrong(await house.code(verification)))
    house.later(minutes=1)
    assert (await house.resend(verification)).json()["attempts_left"] == 2
    for _ in range(2):
        await house.confirm(verification, wrong(await house.code(verification)))
    right = await house.confirm(verification, await house.code(verification))
    refused(right, 409, "verification_failed")
    refused(await house.resend(verification), 409, "verification_not_open")


async def test_there_are_never_two_good_codes(house: House) -> None:
    customer = await house.customer()
    first = (await house.started(customer["id"]))["id"]
    old = await house.code(first)
    house.later(minutes=1)
    assert (await house.resend(first)).json()["sends"] == 2
    new = await house.code(first)
    if old != new:
        refused(await house.confirm(first, old), 409, "verification_failed")
    house.later(minutes=2)
    second = (await house.started(customer["id"]))["id"]
    assert second != first
    assert (await house.look(first))["state"] == "superseded"
    refused(await house.confirm(first, new), 409, "verification_failed")
    assert (await house.confirm(second, await house.code(second))).status_code == 200


async def test_a_till_that_heard_nothing_asks_again_and_one_sms_goes_out(house: House) -> None:
    customer = await house.customer()
    answers = await asyncio.gather(*(house.start(customer["id"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    (verification,) = {answer.json()["id"] for answer in answers}
    assert len(await house.sent(verification)) == 1


async def test_the_pause_between_codes_grows_whoever_asks(house: House) -> None:
    """Also over several verifications of one phone."""
    customer = await house.customer()
    verification = (await house.started(customer["id"]))["id"]
    for seconds in (30, 60, 120, 240):
        told = refused(await house.resend(verification), 429, "rate_limited")
        assert (told["retry_after_s"], told["limit"]) == (seconds, "pause")
        house.later(seconds=seconds)
        assert (await house.resend(verification)).status_code == 200
    refused(await house.resend(verification), 409, "verification_not_open")
    other = await house.start(customer["id"], "redemption")
    assert refused(other, 429, "rate_limited")["retry_after_s"] == 480
    assert other.headers["retry-after"] == "480"
    house.later(hours=24)
    assert (await house.start(customer["id"], "redemption")).status_code == 201


async def test_a_new_phone_takes_the_old_ones_place_when_it_is_confirmed(house: House) -> None:
    customer, phone = await house.verified(), house.phone()
    house.later(minutes=1)
    refused(await house.start(customer["id"], "phone_change", phone=phone), 403, "forbidden")
    made = await house.start(customer["id"], "phone_change", role="site", phone=phone)
    verification = made.json()["id"]
    ((to, _),) = await house.sent(verification)
    assert to == phone
    client = await house.client()
    before = (await client.get(f"/v1/customers/{customer['id']}")).json()
    assert before["phone"] == customer["phone"]
    await house.confirm(verification, await house.code(verification))
    after = (await client.get(f"/v1/customers/{customer['id']}")).json()
    assert (after["phone"], after["status"]) == (phone, "verified")
    assert after["phone_masked"].endswith(phone[-4:])


async def test_starting_does_not_tell_whether_a_phone_is_known_confirming_does(
    house: House,
) -> None:
    """Who holds the phone in hand may hear that somebody has it."""
    taken, mine = await house.customer(), await house.verified()
    house.later(minutes=1)
    known = await house.start(mine["id"], "phone_change", role="site", phone=taken["phone"])
    house.later(minutes=1)
    free = await house.start(mine["id"], "phone_change", role="site", phone=house.phone())
    shapes = [
        {name: value for name, value in one.json().items() if name in ("state", "sends", "method")}
        for one in (known, free)
    ]
    assert known.status_code == free.status_code == 201
    assert shapes[0] == shapes[1]
    house.later(minutes=4)
    again = await house.start(mine["id"], "phone_change", role="site", phone=taken["phone"])
    code = await house.code(again.json()["id"])
    refused(await house.confirm(again.json()["id"], code), 409, "customer_exists")


async def test_a_code_for_the_phone_of_before_verifies_nobody(house: House) -> None:
    customer = await house.customer()
    verification = (await house.started(customer["id"]))["id"]
    code = await house.code(verification)
    path = f"/v1/customers/{customer['id']}"
    changed = await (await house.client("support")).patch(path, json={"phone": house.phone()})
    assert changed.status_code == 200
    refused(await house.confirm(verification, code), 409, "verification_failed")
    assert await house.status(customer["id"]) == "unverified"


async def test_the_blocked_are_neither_asked_nor_unblocked(house: House) -> None:
    customer = await house.customer()
    verification = (await house.started(customer["id"]))["id"]
    client = await house.client("support")
    await client.patch(f"/v1/customers/{customer['id']}", json={"status": "blocked"})
    code = await house.code(verification)
    refused(await house.confirm(verification, code), 409, "customer_blocked")
    refused(await house.start(customer["id"]), 409, "customer_blocked")
    assert await house.status(customer["id"]) == "blocked"


async def test_only_the_countries_that_are_named_get_codes(house: House) -> None:
    abroad = await house.customer(phone="+4915112345678")
    answer = await house.start(abroad["id"])
    assert (
        "codes are not sent to phones of DE" in refused(answer, 400, "validation_failed")["detail"]
    )


async def test_only_a_mac_of_the_code_is_kept(house: House) -> None:
    """Outside of the sealed message the code is nowhere, and phones are nowhere readable."""
    customer = await house.customer()
    verification = (await house.started(customer["id"]))["id"]
    code, phone = await house.code(verification), customer["phone"]
    rows = await house.services.database.fetch(
        "SELECT v::text AS row FROM billing.verifications v UNION ALL"
        " SELECT m::text FROM billing.messages m UNION ALL"
        " SELECT l::text FROM billing.verification_limits l UNION ALL"
        " SELECT e::text FROM billing.events e WHERE customer_id = $1",
        customer["id"],
    )
    everything = "\n".join(row["row"] for row in rows)
    assert verification in everything
    assert phone not in everything
    assert phone[1:].encode().hex() not in everything
    assert f"{code}" not in "\n".join(
        row["row"] for row in rows if verification in row["row"] and "\\x" not in row["row"]
    )


async def test_a_check_that_no_provider_makes_is_told_and_can_be_tried_again(house: House) -> None:
    customer = await house.customer()
    answer = await house.start(customer["id"], method="provider")
    assert "No provider" in refused(answer, 503, "overloaded")["detail"]
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"purpose": "phone_change"}, "phone is needed"),
        ({"purpose": "registration", "phone": "+79161234567"}, "phone is needed"),
        ({"purpose": "registration", "points": "5.00"}, "points is needed"),
        ({"purpose": "registration", "address": "here"}, "must be an IP address"),
        ({"purpose": "gift"}, "must be one of"),
    ],
)
async def test_faults_are_named(house: House, body: dict[str, Any], words: str) -> None:
    customer = await house.customer()
    client = await house.client("site")
    answer = await client.post(f"/v1/customers/{customer['id']}/verifications", json=body)
    assert words in refused(answer, 400, "validation_failed")["detail"]
