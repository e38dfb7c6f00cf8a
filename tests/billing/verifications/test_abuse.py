"""What is tried against codes: guessing, flooding, finding out who is a customer, injection."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import statistics
import time
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import event

from billing.common.settings import Settings
from billing.common.settings_values import limits
from billing.verifications.model import new_code
from tests.billing.verifications.house import House, opened, refused, wrong
from tests.conftest import TestDatabase


async def test_brute_force_over_parallel_connections_stops_at_five(house: House) -> None:
    """The attempts are counted before anything is compared: of fifty guesses at once five are."""
    customer = await house.customer()
    verification = (await house.started(customer["id"]))["id"]
    code = await house.code(verification)
    guesses = [f"{guess:06d}" for guess in range(1_000_000) if f"{guess:06d}" != code][:50]
    answers = await asyncio.gather(*(_insist(house, verification, one) for one in guesses))
    for answer in answers:
        refused(answer, 409, "verification_failed")
    seen = await house.look(verification)
    assert (seen["state"], seen["attempts_left"]) == ("failed", 0)
    refused(await house.confirm(verification, code), 409, "verification_failed")
    assert await house.status(customer["id"]) == "unverified"


async def _insist(house: House, verification: str, code: str) -> httpx.Response:
    """Confirm as a till does: who is told to come again (503), comes again."""
    for _ in range(30):
        answer = await house.confirm(verification, code)
        if answer.status_code != 503:
            break
        await asyncio.sleep(float(answer.headers["retry-after"]) * random.random())
    return answer


async def test_the_right_code_among_many_guesses_counts_only_within_five(house: House) -> None:
    """Whatever comes first: never more than five are compared, and verified is who was right."""
    customer = await house.customer()
    verification = (await house.started(customer["id"]))["id"]
    code = await house.code(verification)
    guesses = [wrong(code)] * 8 + [code]
    answers = await asyncio.gather(*(house.confirm(verification, one) for one in guesses))
    won = sum(answer.status_code == 200 for answer in answers)
    expected = "verified" if won else "unverified"
    assert await house.status(customer["id"]) == expected


async def test_the_last_attempt_if_right_is_answered_alike_when_repeated(house: House) -> None:
    """And no guess after it finds out anything."""
    customer = await house.customer()
    verification = (await house.started(customer["id"]))["id"]
    code = await house.code(verification)
    for _ in range(4):
        refused(await house.confirm(verification, wrong(code)), 409, "verification_failed")
    for _ in range(3):
        again = await house.confirm(verification, code)
        assert (again.status_code, again.json()["attempts_left"]) == (200, 0)
        refused(await house.confirm(verification, wrong(code)), 409, "verification_failed")
    assert await house.status(customer["id"]) == "verified"
    house.later(minutes=10)
    refused(await house.confirm(verification, code), 409, "verification_failed")


async def test_a_thousand_phones_of_one_prefix_stop_at_the_limit(settings: Settings) -> None:
    """Of phones that differ in their last four digits; whoever asks, and at once."""
    allowed = limits("prefix=40/1h")
    async with opened(settings, code_limits=allowed) as house:
        customer = await house.verified()

        async def one(number: int) -> int:
            phone = f"+7909555{number:04d}"
            answer = await house.start(customer["id"], "phone_change", role="site", phone=phone)
            return answer.status_code

        answers: list[int] = []
        for start in range(0, 1000, 8):
            answers += await asyncio.gather(*(one(start + i) for i in range(8)))
        assert answers.count(201) == 40
        assert answers.count(429) == 960
        house.later(hours=1)
        assert await one(1001) == 201


async def test_each_limit_stops_alone_and_counts_nothing_when_it_refuses(
    settings: Settings,
) -> None:
    allowed = limits("address=2/1h,cashier=3/1h,store=5/1h,country=7/1d,cost=2000.00/1d")
    async with opened(settings, code_limits=allowed, sms_price=10_000) as house:

        async def ask(**more: Any) -> str:
            customer = await house.customer()
            answer = await house.start(customer["id"], **more)
            if answer.status_code == 201:
                return "sent"
            return str(refused(answer, 429, "rate_limited")["limit"])

        near, far = {"address": "203.0.113.7"}, {"address": "2001:db8::1"}
        assert [await ask(**near) for _ in range(3)] == ["sent", "sent", "address"]
        assert [await ask(**far), await ask()] == ["sent", "cashier"]
        olga = {"seller": "Olga", "store": "s-codes"}
        assert [await ask(**olga) for _ in range(4)] == ["sent"] * 3 + ["cashier"]
        ira = {"seller": "Ira", "store": "s-codes"}
        assert [await ask(**ira) for _ in range(2)] == ["sent", "country"]
        house.later(days=1)
        dear = {"seller": "Eva", "language": "ru"}
        assert await ask(**dear) == "sent"


async def test_a_phone_gets_so_many_codes_whatever_they_are_for(settings: Settings) -> None:
    async with opened(settings, code_limits=limits("phone=2/1h")) as house:
        customer = await house.customer("verified")
        verification = (await house.started(customer["id"]))["id"]
        house.later(minutes=5)
        assert (await house.start(customer["id"], "redemption")).status_code == 201
        house.later(minutes=5)
        told = refused(await house.resend(verification), 429, "rate_limited")
        assert (told["limit"], told["retry_after_s"]) == ("phone", 3000)
        house.later(minutes=50)
        assert (await house.resend(verification)).status_code == 200


async def test_a_store_sends_so_many_codes_whoever_sells_there(settings: Settings) -> None:
    async with opened(settings, code_limits=limits("store=2/1h")) as house:
        told = []
        for number in range(3):
            customer = await house.customer()
            told.append(await house.start(customer["id"], store="s-codes", seller=f"s{number}"))
        assert [one.status_code for one in told] == [201, 201, 429]
        assert told[-1].json()["limit"] == "store"
        elsewhere = await house.start((await house.customer())["id"])
        assert elsewhere.status_code == 201


async def test_an_address_of_ipv6_is_a_network_and_a_seller_no_identity(
    settings: Settings,
) -> None:
    """A visitor has 2^64 addresses, and a till may write any name."""
    allowed = limits("address=2/1h,cashier=2/1h,key=5/1h")
    async with opened(settings, code_limits=allowed) as house:

        async def ask(**more: Any) -> str:
            answer = await house.start((await house.customer())["id"], **more)
            return "sent" if answer.status_code == 201 else str(answer.json()["limit"])

        net = [{"address": f"2001:db8:1:2::{n:x}", "seller": f"a-{n}"} for n in range(3)]
        assert [await ask(**one) for one in net] == ["sent", "sent", "address"]
        assert await ask(address="2001:db8:1:3::1", seller="b") == "sent"
        mapped = {"address": "::ffff:203.0.113.7", "seller": "c"}
        assert [await ask(**mapped), await ask(address="203.0.113.7", seller="d")] == ["sent"] * 2
        assert await ask(seller="e") == "key"


async def test_the_cost_of_a_day_has_a_cap(settings: Settings) -> None:
    """By segments: a Russian consent takes several."""
    async with opened(settings) as house:
        segments = (await house.render("consent", {"code": "123456"})).segments
    assert segments > 1
    cap = limits(f"cost={segments * 3 * 5}.00/1d")
    async with opened(settings, code_limits=cap) as house:
        told = [await house.start((await house.customer())["id"]) for _ in range(5)]
        assert [one.status_code for one in told] == [201, 201, 201, 429, 429]
        assert told[-1].json()["limit"] == "cost"


async def test_known_and_unknown_phones_are_worked_on_alike(house: House) -> None:
    """The very same statements, in the same order: whoever measures finds no difference."""
    engine = house.services.database.engine.sync_engine
    await house.client("site")
    mine, taken = [await house.verified() for _ in range(2)], await house.customer()
    await house.client("site")
    house.later(minutes=5)
    run: list[list[str]] = []

    def note(*args: Any) -> None:
        run[-1].append(str(args[2]))

    event.listen(engine, "before_cursor_execute", note)
    for customer, phone in zip(mine, (taken["phone"], house.phone()), strict=True):
        run.append([])
        answer = await house.start(customer["id"], "phone_change", role="site", phone=phone)
        assert answer.status_code == 201
    event.remove(engine, "before_cursor_execute", note)
    known, unknown = run
    assert len(known) > 5
    assert known == unknown


async def test_known_and_unknown_phones_take_the_same_time(house: House) -> None:
    """The medians lie beside each other, as far as a busy machine lets them."""
    known = [await house.customer() for _ in range(15)]
    mine = [await house.verified() for _ in range(30)]
    house.later(minutes=5)
    took: dict[bool, list[float]] = {True: [], False: []}
    for number, customer in enumerate(mine):
        taken = number % 2 == 0
        phone = known[number // 2]["phone"] if taken else house.phone()
        began = time.perf_counter()
        answer = await house.start(customer["id"], "phone_change", role="site", phone=phone)
        took[taken].append(time.perf_counter() - began)
        assert answer.status_code == 201
    fast, slow = sorted(map(statistics.median, took.values()))
    assert slow < 2 * fast + 0.01


async def test_neither_phones_nor_codes_are_logged(
    house: House, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpx")  # the service keeps it quiet, once it has run here
    customer, phone = await house.verified(), house.phone()
    house.later(minutes=5)
    made = await house.start(customer["id"], "phone_change", role="site", phone=phone)
    verification = made.json()["id"]
    code = await house.code(verification)
    await house.confirm(verification, wrong(code))
    await house.resend(verification)
    await house.services.verifications.confirm_by_reply(phone, f"{code} ?")
    await house.confirm(verification, code)
    await house.services.consents.withdraw_messages(phone)
    told = capsys.readouterr()
    logged = "\n".join((caplog.text, told.out, told.err))
    assert "verifications" in logged, "requests are logged by the client of the test at least"
    for secret in (phone, phone[1:], customer["phone"], code, wrong(code)):
        assert secret not in logged


async def test_a_name_puts_nothing_into_a_text(house: House) -> None:
    name = "Анна http://evil.example/x?y=1\nСкажите код 999999 мошеннику {code}"
    customer = await house.customer(name=name)
    verification = await house.started(customer["id"])
    ((_, words),) = await house.sent(verification["id"])
    code = await house.code(verification["id"])
    assert words == (await house.render("consent", {"code": code})).text
    with pytest.raises(ValueError, match="four to ten digits"):
        await house.render("code", {"code": name})


def test_codes_are_of_six_digits_and_all_of_them() -> None:
    codes = {new_code("sms_code") for _ in range(2000)}
    assert all(re.fullmatch("[0-9]{6}", one) for one in codes)
    assert {one[0] for one in codes} == set("0123456789")
    assert len(codes) > 1900


async def test_a_guess_after_the_last_attempt_does_not_end_it_while_it_is_looked_at(
    settings: Settings, database: TestDatabase
) -> None:
    """The fifth attempt was right, and is about to be written down when another one comes."""
    async with opened(settings) as house:
        customer = await house.customer()
        verification = (await house.started(customer["id"]))["id"]
        code = await house.code(verification)
        for _ in range(4):
            await house.confirm(verification, wrong(code))
        owner = await asyncpg.connect(database.owner_url)
        async with owner.transaction():
            await owner.execute("SELECT FROM billing.customers FOR UPDATE")
            right = asyncio.create_task(house.confirm(verification, code))
            async with asyncio.timeout(10):
                while (await house.look(verification))["attempts_left"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            late = await house.confirm(verification, wrong(code))
            refused(late, 409, "verification_failed")
        assert (await right).status_code == 200
        assert await house.status(customer["id"]) == "verified"
        await owner.close()
