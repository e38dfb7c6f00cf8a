"""A changed BONUS_SECRET_KEY is noticed before anything is written or answered with it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import msgspec
import pytest

from billing.app.api import create_app
from billing.common.db import Database
from billing.common.settings import Settings
from billing.customers.secret import SecretKeyChanged, confirm
from billing.customers.vault import Vault
from billing.keys.service import ApiKeys
from tests.billing.conftest import client_of, running
from tests.billing.faulty_line import faulty_line

PHONE = "+79161234567"


def other_key(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, secret_key=bytes(reversed(range(32))))


async def admin_key(settings: Settings) -> str:
    database = Database(settings.database_url, size=1)
    _, secret = await ApiKeys(database).create("admin", "test")
    await database.close()
    return secret


async def must_not_start(settings: Settings) -> None:
    with pytest.raises(ExceptionGroup) as refused:
        async with running(create_app(settings)):
            pass
    why = refused.value.subgroup(SecretKeyChanged)
    assert why is not None
    assert re.search(r"BONUS_SECRET_KEY is not.*phone.*lost", str(why.exceptions[0]))


async def test_the_first_key_stays_the_key(settings: Settings) -> None:
    for _ in range(2):
        app = create_app(settings)
        async with running(app), client_of(app) as client:
            assert (await client.get("/health/ready")).json()["secret_key"] == "right"
    await must_not_start(other_key(settings))


async def test_processes_that_start_at_once_agree(settings: Settings) -> None:
    database = Database(settings.database_url, size=8)
    same = [confirm(database, Vault(settings.secret_key)) for _ in range(8)]
    assert await asyncio.gather(*same) == [True] * 8
    await database.close()


async def test_a_database_from_before_the_check_is_told_by_its_customers(
    settings: Settings,
) -> None:
    secret = await admin_key(settings)
    app = create_app(settings)
    async with running(app), client_of(app, secret) as admin:
        assert (await admin.post("/v1/customers", json={"phone": PHONE})).status_code == 201
    owner = await asyncpg.connect(settings.owner_database_url)
    await owner.execute("DELETE FROM billing.secret_check")
    await owner.close()
    await must_not_start(other_key(settings))
    async with running(create_app(settings)):
        pass


@pytest.mark.parametrize("changed", [True, False])
async def test_with_the_database_away_at_start_it_is_compared_as_soon_as_it_answers(
    settings: Settings, tmp_path: Path, changed: bool
) -> None:
    secret = await admin_key(settings)
    async with running(create_app(settings)):
        pass
    async with faulty_line(settings.database_url, tmp_path) as line:
        await line.cut()
        chosen = other_key(settings) if changed else settings
        app = create_app(msgspec.structs.replace(chosen, database_url=line.url))
        async with running(app), client_of(app, secret) as admin:
            away = await admin.get("/health/ready")
            assert (away.status_code, away.json()["secret_key"]) == (503, "not compared")
            await line.mend()
            async with asyncio.timeout(5):
                ready = await admin.get("/health/ready")
                while ready.json()["secret_key"] == "not compared":
                    await asyncio.sleep(0.05)
                    ready = await admin.get("/health/ready")
            found = await admin.get("/v1/customers", params={"phone": PHONE})
            if changed:
                assert (ready.status_code, ready.json()["secret_key"]) == (503, "wrong")
                assert found.status_code == 503
                assert "BONUS_SECRET_KEY" in found.json()["detail"]
                made = await admin.post("/v1/customers", json={"phone": PHONE})
                assert made.status_code == 503
            else:
                assert (ready.status_code, found.status_code) == (200, 200)


async def test_the_service_cannot_change_the_check_value(settings: Settings) -> None:
    async with running(create_app(settings)):
        pass
    database = Database(settings.database_url, size=1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.fetch("DELETE FROM billing.secret_check")
    await database.close()
