"""What an error of the database means: a race that was lost, a database that is away, or a fault of
the command; and whether a group may run again after it."""

from __future__ import annotations

import asyncio
from typing import cast

import asyncpg
import structlog

from ledger.commands import Command
from ledger.errors import Unavailable
from ledger.group import Fate, Result

_log = structlog.get_logger()

RACES = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
_TAKEN = frozenset(("idempotency_keys_pkey", "sources_pkey"))


def lost_race(error: asyncpg.PostgresError) -> bool:
    """Whether another run may find what this one could not see: a key or document just taken."""
    return isinstance(error, RACES) or error.constraint_name in _TAKEN


def is_repeatable(command: Command) -> bool:
    """Whether a second run after an unknown first one cannot double anything."""
    return command.key is not None or command.source is not None or command.sweep


def rejected(command: Command, error: Exception) -> Exception:
    """What a command is told that the database rejected."""
    if isinstance(error, (*RACES, asyncpg.LockNotAvailableError)):
        return Unavailable("The customer is busy; repeat with the same key.")
    _log.error("ledger_command_rejected", error=repr(error), kind=command.kind, key=command.key)
    return error


def away() -> Unavailable:
    return Unavailable("The database is away; repeat with the same key.")


def fate_of(future: asyncio.Future[Result]) -> Fate:
    """What a future was told."""
    error = future.exception()
    return future.result() if error is None else cast(Exception, error)
