"""Real servers from a folder: DESIGN 8. They survive what happens to machines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from billing.common.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedRedis
from billing.common.embedded.memory import LEAST_MIB, MOST_MIB, shared_buffers_mib

ABANDON = """
import os, sys
from pathlib import Path
from billing.common.embedded import EmbeddedPostgres, EmbeddedRedis
folder = Path(sys.argv[1])
postgres, redis = EmbeddedPostgres(folder, durable=False), EmbeddedRedis(folder)
postgres.start()
redis.start()
print(postgres.pid, redis.pid, flush=True)
os._exit(0)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder every user may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="bonus-embedded-"))
    made.chmod(0o755)
    yield made
    for server in (EmbeddedPostgres(made), EmbeddedRedis(made)):
        server.stop_leftover()
    shutil.rmtree(made)


async def _fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_postgres_keeps_its_data_over_stop_and_kill(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    await _fetch(server.owner_url, "CREATE TABLE kept AS SELECT 1 AS n")
    server.stop()
    server.start()
    await _fetch(server.owner_url, "INSERT INTO kept VALUES (2)")
    server.kill()
    server.start()
    assert await _fetch(server.owner_url, "SELECT sum(n) FROM kept") == 3
    server.stop()
    assert server.pid is None


async def test_the_service_acts_as_a_role_that_owns_nothing(folder: Path) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    server.start()
    connection = await asyncpg.connect(server.url, server_settings={"role": "bonus_app"})
    try:
        assert await connection.fetchval("SELECT current_user") == "bonus_app"
        assert await connection.fetchval("SHOW listen_addresses") == ""
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE SCHEMA mine")
    finally:
        await connection.close()
        server.stop()


def test_a_second_start_is_refused_and_says_who_runs(folder: Path) -> None:
    for first, second in (
        (EmbeddedPostgres(folder, durable=False), EmbeddedPostgres(folder)),
        (EmbeddedRedis(folder), EmbeddedRedis(folder)),
    ):
        first.start()
        with pytest.raises(EmbeddedError, match=f"already run under process {os.getpid()}"):
            second.start()
        assert first.pid is not None
        first.stop()


def test_what_a_killed_run_left_is_stopped_first(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABANDON, str(folder)], capture_output=True, text=True, check=True
    )
    left = [int(pid) for pid in done.stdout.split()]
    assert all(psutil.pid_exists(pid) for pid in left)
    for server in (EmbeddedPostgres(folder, durable=False), EmbeddedRedis(folder)):
        remarks: list[str] = []
        server.start(remarks.append)
        assert any("killed run left" in remark for remark in remarks)
        server.stop()
    assert not any(_lives(pid) for pid in left)


async def test_a_stale_pid_file_naming_another_program_does_not_hinder(folder: Path) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    server.start()
    pid_file = folder / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    server.start()
    assert await _fetch(server.url, "SELECT 1") == 1
    server.stop()


async def test_a_path_too_long_for_a_socket_gets_a_private_folder(folder: Path) -> None:
    deep = folder / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    postgres, cache = EmbeddedPostgres(deep, durable=False), EmbeddedRedis(deep)
    postgres.start()
    cache.start()
    notes = [deep / "postgres" / "socket", deep / "redis" / "socket"]
    sockets = [Path(note.read_text()) for note in notes]
    assert [socket.stat().st_mode & 0o777 for socket in sockets] == [0o700, 0o700]
    assert await _fetch(postgres.url, "SELECT 1") == 1
    postgres.kill()
    postgres.start()
    assert Path(notes[0].read_text()) == sockets[0], "a restart must keep the address"
    cache.stop()
    postgres.stop()
    assert not any(socket.exists() for socket in sockets)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be unable to run PostgreSQL as itself")
async def test_root_runs_it_below_a_folder_only_root_may_enter(folder: Path) -> None:
    closed = folder / "closed"
    data_dir = closed / "data"
    data_dir.mkdir(parents=True)
    closed.chmod(0o700)
    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    assert await _fetch(server.url, "SELECT 1") == 1
    assert psutil.Process(server.pid).uids().real != 0
    server.stop()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_cluster_that_cannot_start_says_why(folder: Path) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    server.start()
    server.stop()
    (folder / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match="initialized by PostgreSQL version 9"):
        server.start()


def test_redis_keeps_nothing_on_disk(folder: Path) -> None:
    server = EmbeddedRedis(folder)
    server.start()
    client = redis.Redis.from_url(server.url)
    client.set("a", 1)
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.close()
    server.stop()
    assert not list(folder.glob("redis/*.rdb")) + list(folder.glob("redis/*.aof"))


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_postgres_takes_an_eighth_of_the_memory_within_bounds(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    for said, expected in (("2147483648", 256), ("1048576", LEAST_MIB)):
        limit.write_text(said)
        assert shared_buffers_mib(limit) == expected
    limit.write_text("max")
    assert shared_buffers_mib(limit) == shared_buffers_mib(tmp_path / "none") <= MOST_MIB
