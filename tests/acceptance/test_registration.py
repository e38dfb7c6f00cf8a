"""The whole way of a new customer at the till (B16 to B22), seen from outside."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from billing.common.db import Database
from billing.common.settings import Settings
from billing.customers.vault import Vault
from billing.messages.acts import Everybody
from billing.messages.sealing import MessageVault
from integrations.sms.console import FILE
from integrations.sms.fleet import fleet_of
from integrations.sms.sender import Sender
from tests.acceptance.conftest import Connect
from tests.acceptance.shop import Shop, done, fresh_key, problem
from tests.acceptance.till import Till


async def _sms(settings: Settings, folder: Path, phone: str) -> str:
    """What the console provider shows when a worker sent what was queued for the phone."""
    settings = msgspec.structs.replace(settings, sms_console=True, data_dir=folder)
    database, fleet = Database(settings.database_url, size=2), fleet_of(settings)
    vault = MessageVault(settings.secret_key, Vault(settings.secret_key))
    await Sender(database, fleet, vault, Everybody()).run(linger=False)
    await fleet.close()
    await database.close()
    lines = map(msgspec.json.decode, (folder / FILE).read_bytes().splitlines())
    (words,) = [line["text"] for line in lines if line["to"] == phone]
    return str(words)


async def test_from_the_registration_to_the_first_slip(
    till: Till, connect: Connect, shared_settings: Settings, tmp_path: Path
) -> None:
    """The cashier registers, an SMS goes out and is delivered, the customer says the code, and
    the first purchase earns; the slip shows phone, accrued, paid, balance with promotional points
    and future accruals with their dates (B21)."""
    shop: Shop = till.shop
    await till.publishes(reward={"kind": "percent", "value": "10"})
    await till.publishes(
        reward={"kind": "percent", "value": "5"},
        available={"after": "P14D"},
        stacking={"group": "later"},
    )
    await till.publishes(
        reward={"kind": "percent", "value": "2"}, bucket="promo", stacking={"group": "gift"}
    )
    cashier = await connect("pos", channel=shop.channel, store=shop.store)
    phone = f"+7905{shop.number:07d}"
    new = {"phone": phone, "name": "Анна", "seller": "Olga"}
    customer = done(await cashier.post("/v1/customers", json=new))
    assert (customer["status"], customer["store"]) == ("unverified", shop.store)

    sale = shop.sale(shop.line("1000.00")) | {"customer": {"phone": phone}}
    early = await shop.post("/v1/receipts", sale, client=cashier)
    problem(early, 409, "customer_not_verified")

    path = f"/v1/customers/{customer['id']}/verifications"
    body = {"purpose": "registration", "seller": "Olga"}
    verification = done(await cashier.post(path, json=body))
    assert (verification["state"], verification["phone_masked"]) == (
        "open",
        f"+7******{phone[-4:]}",
    )
    words = await _sms(shared_settings, tmp_path, phone)
    look = f"/v1/verifications/{verification['id']}"
    assert done(await cashier.get(look))["delivery"] == "delivered"
    assert "соглашаетесь на обработку персональных данных" in words

    code = re.search(r"[0-9]{6}", words)
    assert code is not None
    guess = f"{(int(code[0]) + 1) % 1_000_000:06d}"
    confirm = f"{look}/confirm"
    problem(await cashier.post(confirm, json={"code": guess}), 409, "verification_failed")
    assert done(await cashier.post(confirm, json={"code": code[0]}))["state"] == "confirmed"
    seen = done(await cashier.get("/v1/customers", params={"phone": phone}))["items"][0]
    assert seen["status"] == "verified"

    support = await connect("support")
    (consent,) = done(await support.get(f"/v1/customers/{customer['id']}/consents"))["items"]
    assert (consent["text"], consent["seller"]) == (words, "Olga")
    assert consent["store"] == shop.store
    assert consent["provider_message_id"]

    headers = {"idempotency-key": fresh_key(), "accept-language": "ru"}
    sold = done(
        await cashier.post(
            "/v1/receipts",
            json=shop.sale(shop.line("1000.00")) | {"customer": {"phone": phone}},
            headers=headers,
        )
    )
    headers = {"idempotency-key": fresh_key(), "accept-language": "ru"}
    second = shop.sale(shop.line("100.00")) | {
        "customer": {"phone": phone}, "redeem": {"points": "20.00"},
    }  # fmt: skip
    sold = done(await cashier.post("/v1/receipts", json=second, headers=headers))
    slip = sold["slip"]
    assert slip["phone_masked"] == f"+7******{phone[-4:]}"
    assert slip["accrued"] == "13.60"
    assert slip["paid_with_points"] == "20.00"
    assert (slip["balance_total"], slip["balance_promo"]) == ("109.60", "1.60")
    (future,) = slip["future_accruals"]
    assert future["points"] == "54.00"
    assert future["at"].startswith("2026-12-05")
    printed = "\n".join(slip["text"])
    for row in ("Начислено бонусов", "Оплачено бонусами", "Баланс бонусов", "05.12.2026"):
        assert row in printed
