"""Whether BONUS_SECRET_KEY is still the key this database's customers were written with.

The first process that meets a database leaves a check value there: a keyed hash of a constant,
which gives nothing away. Under another key nobody would be found by phone, and what is written
would be lost to the old key, so nothing that needs the key happens before the two are compared.
"""

from __future__ import annotations

import asyncio
import hmac

import asyncpg
import structlog

from billing.common.db import Database
from billing.common.errors import Overloaded
from billing.common.tasks import end
from billing.customers.vault import Vault

AGAIN_AFTER_S = 0.3
PROBE_TIMEOUT_S = 1.5

_READ = "SELECT value FROM billing.secret_check"
_KEEP = "INSERT INTO billing.secret_check (id, value) VALUES (1, $1) ON CONFLICT DO NOTHING"
_ANYBODY = "SELECT id, data_key FROM billing.customers WHERE data_key IS NOT NULL LIMIT 1"

log = structlog.stdlib.get_logger(__name__)


class SecretKeyChanged(Exception):
    """The service must not run with this key on this database."""

    def __init__(self) -> None:
        super().__init__(
            "BONUS_SECRET_KEY is not the key this database was written with. Under another key "
            "the phone, name, e-mail and birth date of every customer are lost, and nobody is "
            "found by phone. Set BONUS_SECRET_KEY to the old key (`bonus up` keeps it in "
            "secret.key of BONUS_DATA_DIR), or start with another database."
        )


async def confirm(database: Database, vault: Vault) -> bool:
    """Compare once, and tell the vault. False when the database cannot say yet: it is away, or
    not migrated. Raises SecretKeyChanged."""
    try:
        right = await _is_right(database, vault)
    except (Overloaded, asyncpg.UndefinedTableError):
        return False
    vault.key = "right" if right else "wrong"
    if not right:
        raise SecretKeyChanged
    return True


async def _is_right(database: Database, vault: Vault) -> bool:
    rows = await database.fetch(_READ, timeout_s=PROBE_TIMEOUT_S)
    if not rows:
        # A database older than the check value may have customers already.
        for one in await database.fetch(_ANYBODY, timeout_s=PROBE_TIMEOUT_S):
            if not vault.opens(one["id"], one["data_key"]):
                return False
        await database.fetch(_KEEP, vault.check_value(), timeout_s=PROBE_TIMEOUT_S)
        rows = await database.fetch(_READ, timeout_s=PROBE_TIMEOUT_S)
    return hmac.compare_digest(rows[0]["value"], vault.check_value())


async def recognise(database: Database, vault: Vault) -> bool:
    """Whether the vault's key is the one this database is known to have been written with; the
    vault may then be used. Leaves no check value: that is for who serves customers."""
    rows = await database.fetch(_READ)
    if not rows or not hmac.compare_digest(rows[0]["value"], vault.check_value()):
        return False
    vault.key = "right"
    return True


class SecretGuard:
    """Compares at the start of a process, or as soon as the database answers."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises SecretKeyChanged; goes on asking in the background when nobody answers."""
        if not await confirm(self._database, self._vault):
            self._task = asyncio.create_task(self._ask_on(), name="secret key")

    async def stop(self) -> None:
        await end(self._task)

    async def _ask_on(self) -> None:
        try:
            while True:
                await asyncio.sleep(AGAIN_AFTER_S)
                if await confirm(self._database, self._vault):
                    return
        except SecretKeyChanged as error:
            log.error("secret_key_changed", detail=str(error))


async def confirm_at(database_url: str, secret_key: bytes) -> bool:
    """`confirm` for a command that has nothing else to do with the database."""
    database = Database(database_url, application="bonus-secret", size=1)
    try:
        return await confirm(database, Vault(secret_key))
    finally:
        await database.close()
