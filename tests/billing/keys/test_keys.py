"""API keys: roles, bindings, and life without the database (spec: Conventions)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest

from billing.common.auth import Principal, Role
from billing.common.db import Database
from billing.common.errors import Forbidden, NotFound, Overloaded, Unauthorized, ValidationFailed
from billing.keys.service import KNOWN_S, UNKNOWN_S, ApiKeys
from ledger.ids import uuid7
from tests.billing.faulty_line import faulty_line
from tests.conftest import TestDatabase


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(shared_database: TestDatabase) -> AsyncIterator[Database]:
    made = Database(shared_database.url, size=2)
    yield made
    await made.close()


def _header(secret: str) -> bytes:
    return f"Bearer {secret}".encode()


async def test_a_key_is_known_by_its_hash_alone(database: Database) -> None:
    keys = ApiKeys(database)
    key, secret = await keys.create("finance", "books")
    principal = await keys.authenticate(_header(secret))
    assert principal == Principal(key_id=key.id, name="books", role="finance")
    assert secret.startswith("bonus_finance_")
    dump = await database.fetch("SELECT to_jsonb(k)::text FROM billing.api_keys k")
    assert not [row for row in dump if secret in row[0]]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "\x1b[31mred", "a\u200bb"])
async def test_a_key_has_a_name_that_fits_into_a_line(database: Database, name: str) -> None:
    keys = ApiKeys(database)
    with pytest.raises(ValidationFailed, match="/name: must be 1 to 100 printable characters"):
        await keys.create("pos", name)
    with pytest.raises(ValidationFailed, match="/owner: must be 1 to 100 printable characters"):
        await keys.create("pos", "till", owner=name)
    key, _ = await keys.create("pos", "Касса № 7" + "x" * 91)
    assert key in await keys.all()


@pytest.mark.parametrize(
    "header", [None, b"", b"Bearer", b"Bearer ", b"Basic eDp5", b"Bearer x", b"Bearer bonus_\xff"]
)
async def test_no_key_of_ours(database: Database, header: bytes | None) -> None:
    with pytest.raises(Unauthorized, match="bonus keys create"):
        await ApiKeys(database).authenticate(header)


async def test_a_revoked_key_ends_when_it_leaves_the_memory(database: Database) -> None:
    clock = Clock()
    keys = ApiKeys(database, clock)
    key, secret = await keys.create("admin", "gone soon")
    await keys.authenticate(_header(secret))
    first = (await keys.revoke(key.id)).revoked_at
    assert (await keys.revoke(key.id)).revoked_at == first
    assert keys.known(_header(secret)) is not None
    clock.now += KNOWN_S
    assert keys.known(_header(secret)) is None
    with pytest.raises(Unauthorized, match="revoked"):
        await keys.authenticate(_header(secret))
    with pytest.raises(NotFound, match="bonus keys list"):
        await keys.revoke(uuid7())


async def test_an_unknown_key_is_asked_for_once_a_second(database: Database) -> None:
    clock = Clock()
    keys = ApiKeys(database, clock)
    header = b"Bearer bonus_pos_" + uuid7().hex.encode()
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await keys.authenticate(header)
    closed = Database("postgresql:///nowhere?host=/nowhere")
    keys._database = closed
    with pytest.raises(Unauthorized):
        await keys.authenticate(header)
    clock.now += UNKNOWN_S
    with pytest.raises(Overloaded):
        await keys.authenticate(header)
    await closed.close()


async def test_with_the_database_away_a_known_key_goes_on_for_a_while(
    shared_database: TestDatabase, tmp_path: Path
) -> None:
    clock = Clock()
    async with faulty_line(shared_database.url, tmp_path) as line:
        database = Database(line.url, size=1)
        keys = ApiKeys(database, clock)
        _, secret = await keys.create("pos", "till")
        await keys.authenticate(_header(secret))
        await line.cut()
        assert keys.known(_header(secret)) is not None
        clock.now += KNOWN_S
        with pytest.raises(Overloaded):
            await keys.authenticate(_header(secret))
        await line.mend()
        assert (await keys.authenticate(_header(secret))).role == "pos"
        await database.close()


async def test_a_key_is_bound_to_what_exists(
    database: Database, unique: Callable[[str], str]
) -> None:
    keys, shop, channel = ApiKeys(database), unique("shop"), unique("channel")
    await database.fetch("INSERT INTO billing.channels VALUES ($1, 'x')", channel)
    await database.fetch("INSERT INTO billing.stores VALUES ($1, 'x', $2)", shop, channel)
    key, _ = await keys.create("pos", "till", None, shop)
    assert (key.channel, key.store) == (channel, shop)
    for wrong in ((None, "no-such"), ("no-such", None), ("no-such", shop)):
        with pytest.raises(ValidationFailed):
            await keys.create("pos", "till", *wrong)


def _bound(channel: str | None, store: str | None, role: Role = "pos") -> Principal:
    return Principal(key_id=UUID(int=1), name="x", role=role, channel=channel, store=store)


def test_a_bound_key_acts_for_its_own_place_only() -> None:
    till = _bound("shops", "moscow-1")
    assert till.bind(None, None) == ("shops", "moscow-1")
    assert till.bind("shops", "moscow-1") == ("shops", "moscow-1")
    with pytest.raises(Forbidden, match="bound to the store 'moscow-1'"):
        till.bind(None, "moscow-2")
    with pytest.raises(Forbidden, match="bound to the channel 'shops'"):
        till.bind("site", None)
    assert _bound(None, None).bind("site", None) == ("site", None)


def test_a_refusal_names_the_roles_that_may() -> None:
    _bound(None, None, "admin").require("admin", "finance")
    with pytest.raises(Forbidden, match=r"role pos may not .* admin, finance"):
        _bound(None, None).require("admin", "finance")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("Anna", None), ("anna ", None), True),
        (("laptop", "Anna  Petrova"), ("ANNA PETROVA", None), True),
        (("Anna", "Anna Petrova"), ("Anna", "Anna Ivanova"), False),
        (("Ａｎｎａ", None), ("Anna", None), True),
        (("Anna", None), ("Boris", None), False),
    ],
)
def test_a_person_is_the_owner_or_else_the_name(
    one: tuple[str, str | None], other: tuple[str, str | None], same: bool
) -> None:
    persons = {
        Principal(key_id=UUID(int=1), name=name, owner=owner, role="finance").person
        for name, owner in (one, other)
    }
    assert len(persons) == (1 if same else 2)


def test_the_command_prints_the_key_alone(shared_database: TestDatabase, tmp_path: Path) -> None:
    def bonus(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "billing.app.cli", "keys", *words],
            env={"DATABASE_URL": shared_database.url, "BONUS_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    made = bonus("create", "--role", "bi", "--name", "dashboards")
    assert made.returncode == 0, made.stderr
    (secret,) = made.stdout.splitlines()
    assert secret.startswith("bonus_bi_")
    (row,) = (row for row in bonus("list").stdout.splitlines() if row.endswith("dashboards"))
    assert "active" in row
    assert bonus("revoke", row.split()[0]).returncode == 0
    (row,) = (row for row in bonus("list").stdout.splitlines() if row.endswith("dashboards"))
    assert "revoked" in row
    assert bonus("create", "--role", "bi", "--name", "laptop", "--owner", "Anna").returncode == 0
    assert [row for row in bonus("list").stdout.splitlines() if row.endswith("laptop (Anna)")]
    unknown = bonus("create", "--role", "pos", "--name", "x", "--store", "no-such")
    assert unknown.returncode == 1
    assert "there is no store 'no-such'" in unknown.stderr
