"""The service as a whole on one machine: started in order, watched, stopped in reverse order."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import httpx
from alembic.util import CommandError
from asyncpg import PostgresError
from sqlalchemy.exc import DBAPIError

from billing.app import running
from billing.app.children import Command, Server, Watched
from billing.app.port import await_port
from billing.app.screen import Screen
from billing.app.showcase import Showcase
from billing.common.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedRedis
from billing.common.embedded.process import FolderLock
from billing.common.settings import Settings, load_settings
from billing.common.settings_values import SECRET_BYTES
from billing.customers.secret import SecretKeyChanged, confirm_at
from migrations.runner import upgrade

READY_TIMEOUT_S = 60
LOOK_EVERY_S = 0.3
PORT_PATIENCE_S = 40
"""How long a killed run's API may still be answering its last requests: it ends after 30 s."""


class Whole:
    """A context: what was started is stopped at its end, also after half a start."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self._settings = settings
        self._screen = screen
        self._stack = ExitStack()
        self._watched: list[Watched] = []
        host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104
        self._base_url = f"http://{host}:{settings.port}"

    def __enter__(self) -> Whole:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def start(self, *, demo: bool) -> None:
        """All of it, in order. Raises EmbeddedError when a part does not start."""
        data_dir = self._settings.data_dir
        if not data_dir.exists():
            await_port(self._settings, 0)  # before there is anything to leave behind
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(f"BONUS_DATA_DIR={data_dir} cannot be a folder: {error}") from error
        lock = FolderLock(data_dir / "up.lock")
        lock.acquire()
        self._stack.callback(lock.release)
        killed = (data_dir / running.FILE).exists()
        await_port(self._settings, PORT_PATIENCE_S if killed else 0)
        secret_key = self._secret()
        environ = {**os.environ, **self._servers(), "BONUS_SECRET_KEY": secret_key}
        environ |= {"BONUS_DATA_DIR": str(data_dir)}
        # On one machine to try it out, messages can be read in a file.
        environ.setdefault("BONUS_SMS_CONSOLE", "yes")
        settings = load_settings(environ)
        showcase = Showcase(data_dir, environ, self._base_url)
        with self._screen.step("migrating the database"):
            if self._migrate(settings) and demo:
                showcase.ask()
            self._confirm_key(settings)
        self._tell_other_commands(settings, environ["BONUS_SECRET_KEY"])
        self._commands(environ)
        if showcase.is_asked:
            with self._screen.step("loading the demo chain"):
                showcase.load(self._screen.say)
        self._screen.say(showcase.text())

    def watch(self) -> NoReturn:
        """Start again what dies, until a signal says stop."""
        while True:
            for watched in self._watched:
                watched.look(self._screen.say)
            time.sleep(LOOK_EVERY_S)

    def _servers(self) -> dict[str, str]:
        """Start the embedded servers that are needed; the variables that name the servers."""
        given = self._settings
        variables = {}
        if not given.database_url:
            postgres = EmbeddedPostgres(given.data_dir)
            self._keep("PostgreSQL", postgres)
            with self._screen.step("starting PostgreSQL"):
                postgres.start(self._screen.say)
            variables = {
                "DATABASE_URL": postgres.url,
                "BONUS_OWNER_DATABASE_URL": postgres.owner_url,
            }
        if not given.redis_url:
            redis = EmbeddedRedis(given.data_dir)
            self._keep("Redis", redis)
            with self._screen.step("starting Redis"):
                redis.start(self._screen.say)
            variables["REDIS_URL"] = redis.url
        return variables

    def _tell_other_commands(self, settings: Settings, secret_key: str) -> None:
        running.remember(
            settings.data_dir,
            {
                "DATABASE_URL": settings.database_url,
                "BONUS_OWNER_DATABASE_URL": settings.owner_database_url,
                "REDIS_URL": settings.redis_url,
                "BONUS_SECRET_KEY": secret_key,
                "BONUS_HOST": settings.host,
                "BONUS_PORT": str(settings.port),
            },
        )
        self._stack.callback(running.forget, settings.data_dir)

    def _commands(self, environ: dict[str, str]) -> None:
        folder = self._settings.data_dir / "log"
        api = Command("serve", environ, folder)
        self._keep("the API", api)
        with self._screen.step("starting the API"):
            api.start()
            self._await_ready(api)
        for name in ("worker", "scheduler"):
            command = Command(name, environ, folder)
            self._keep(f"the {name}", command)
            command.start()

    def _keep(self, name: str, server: Server) -> None:
        """Look after it, and stop it at the end: said before its start, which may be broken off."""
        self._watched.append(Watched(name, server))
        self._stack.callback(self._stop, name, server)

    def _stop(self, name: str, server: Server) -> None:
        if server.pid is not None:
            self._screen.say(f"stopping {name}")
        server.stop()

    def _await_ready(self, api: Command) -> None:
        end = time.monotonic() + READY_TIMEOUT_S
        with httpx.Client(base_url=self._base_url, timeout=2) as client:
            while time.monotonic() < end:
                if api.pid is None:
                    raise EmbeddedError(f"The API did not start:\n{api.why()}")
                try:
                    if client.get("/health/ready").is_success:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                time.sleep(0.1)
        raise EmbeddedError(f"The API was not ready after {READY_TIMEOUT_S} s:\n{api.why()}")

    def _migrate(self, settings: Settings) -> bool:
        try:
            return asyncio.run(upgrade(settings.owner_database_url))
        except (CommandError, DBAPIError, PostgresError, OSError) as error:
            raise EmbeddedError(f"The database could not be migrated: {error}") from error

    def _confirm_key(self, settings: Settings) -> None:
        try:
            asyncio.run(confirm_at(settings.database_url, settings.secret_key))
        except SecretKeyChanged as error:
            raise EmbeddedError(str(error)) from error

    def _secret(self) -> str:
        """The key given by BONUS_SECRET_KEY, or the one made at the first start."""
        if self._settings.secret_key:
            return os.environ["BONUS_SECRET_KEY"]
        path: Path = self._settings.data_dir / "secret.key"
        if not path.exists():
            if (self._settings.data_dir / "postgres").exists():
                raise EmbeddedError(
                    f"{path} is missing. It is the key of the personal data in the database "
                    "beside it: restore it from your backup, or name it in BONUS_SECRET_KEY. "
                    "`make clean` forgets the database."
                )
            key = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
            running.write_private(path, key)
        return path.read_text(encoding="ascii")
