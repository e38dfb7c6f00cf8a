"""Real servers for the tests: one PostgreSQL and one Redis a session, a database a test.

They are the embedded ones, in a temporary folder, unless TEST_DATABASE_URL (a superuser of a
server that holds nothing else) and TEST_REDIS_URL name others.
"""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg
import psutil
import pytest

from billing.common.embedded import EmbeddedPostgres, EmbeddedRedis
from billing.common.embedded.bootstrap import API, OWNER, ROLES
from billing.common.settings import Settings, load_settings
from migrations.runner import upgrade

REPOSITORY = Path(__file__).parent.parent
TEMPLATE = "bonus_template"
MEMORY = Path("/dev/shm")  # noqa: S108 - a place to look at, not a file's name
ROOM_BYTES = 4 << 30
_NAMED = "bonus-test-*"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those who mostly wait for processes begin first, beside those who calculate."""
    waiting = [REPOSITORY / "tests" / name for name in ("workers", "soak", "app")]
    items.sort(key=lambda item: not any(item.path.is_relative_to(one) for one in waiting))


@dataclass(frozen=True)
class TestDatabase:
    """One database: `url` as the service logs in, `owner_url`, `superuser_url`."""

    __test__ = False

    url: str
    owner_url: str
    superuser_url: str


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A folder for the servers; what killed test runs left behind is stopped and removed."""
    place = _place()
    for left in {*MEMORY.glob(_NAMED), *Path(tempfile.gettempdir()).glob(_NAMED)}:
        pid = left.name.split("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and os.access(left, os.W_OK):
            for server in (EmbeddedPostgres(left), EmbeddedRedis(left)):
                server.stop_leftover()
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"bonus-test-{os.getpid()}-", dir=place))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _place() -> Path:
    """In memory where there is room: a database a test is a thousand files each time, and some
    file systems take half a second of the processor to make and remove them."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        return MEMORY
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def postgres_url(data_dir: Path) -> Iterator[str]:
    """A superuser's URL of the session's PostgreSQL server."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    yield server.url_of("postgres", "postgres")
    server.stop(mode="immediate")


@pytest.fixture(scope="session")
def redis_url(data_dir: Path) -> Iterator[str]:
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    server = EmbeddedRedis(data_dir)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
async def template(postgres_url: str) -> str:
    """The name of a migrated database without content."""
    superuser = await asyncpg.connect(postgres_url)
    password = urlsplit(postgres_url).password
    await superuser.execute(ROLES)
    if password is not None:
        for role in (API, OWNER):
            await superuser.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
    await superuser.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
    await superuser.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
    await superuser.close()
    await upgrade(url_as(postgres_url, TEMPLATE, OWNER))
    return TEMPLATE


@pytest.fixture
async def database(postgres_url: str, template: str) -> AsyncIterator[TestDatabase]:
    """A migrated database of this test alone."""
    async with cloned(postgres_url, template) as made:
        yield made


@pytest.fixture(scope="session")
async def shared_database(postgres_url: str, template: str) -> AsyncIterator[TestDatabase]:
    """A migrated database that all tests of the session share: use ids of your own in it."""
    async with cloned(postgres_url, template) as made:
        yield made


@pytest.fixture
def settings(database: TestDatabase, redis_url: str, tmp_path: Path) -> Settings:
    return settings_of(database, redis_url, tmp_path)


@pytest.fixture(scope="session")
def shared_settings(
    shared_database: TestDatabase, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    return settings_of(shared_database, redis_url, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real receipts. May be missing on a machine, but not in CI."""
    given = os.environ.get("BONUS_SHARED_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        missing = f"there are no receipts in {folder}; name their folder in BONUS_SHARED_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return folder


@asynccontextmanager
async def cloned(postgres_url: str, template: str) -> AsyncIterator[TestDatabase]:
    name = f"bonus_test_{os.getpid()}_{next(_numbers)}"
    superuser = await asyncpg.connect(postgres_url)
    await superuser.execute(
        f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER} STRATEGY FILE_COPY"
    )
    yield TestDatabase(
        url=url_as(postgres_url, name, API),
        owner_url=url_as(postgres_url, name, OWNER),
        superuser_url=url_as(postgres_url, name),
    )
    await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await superuser.close()


def url_as(postgres_url: str, database: str, user: str | None = None) -> str:
    """The same server's URL for another database and user."""
    parts = urlsplit(postgres_url)
    query = dict(parse_qsl(parts.query))
    netloc = parts.netloc
    if user is not None and "user" in query:
        query["user"] = user
    elif user is not None:
        secret = f":{parts.password}" if parts.password else ""
        netloc = f"{user}{secret}@{netloc.rpartition('@')[2]}"
    return parts._replace(netloc=netloc, path=f"/{database}", query=urlencode(query)).geturl()


def settings_of(database: TestDatabase, redis_url: str, data_dir: Path) -> Settings:
    return load_settings(
        {
            "DATABASE_URL": database.url,
            "BONUS_OWNER_DATABASE_URL": database.owner_url,
            "REDIS_URL": redis_url,
            "BONUS_DATA_DIR": str(data_dir),
            "BONUS_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(),
        }
    )
