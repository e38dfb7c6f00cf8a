"""The log of what operators do: written before, completed after.

What is asked for is durable before it is done: whoever does something leaves a trace, even when the
process dies in it; the entry then has no outcome.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import structlog

from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Overloaded
from billing.operators import store
from billing.operators.model import hide, is_operator, readable, subject_of
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

COMMAND_LINE: Final = UUID(int=0)

log = structlog.stdlib.get_logger(__name__)


class OperatorLog:
    """Entries of operators' requests (`Runtime.operators`), and of commands."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def concerns(self, principal: Principal) -> bool:
        return is_operator(principal)

    async def begin(
        self,
        principal: Principal,
        operation: str,
        path: Mapping[str, str],
        *,
        request_id: str,
        idempotency_key: str | None,
        raw: bytes,
        before: bytes,
    ) -> UUID:
        """Write down what is asked for. Raises Overloaded: then it must not be done."""
        action = store.Action(
            id=uuid7(),
            at=self._clock(),
            key_id=principal.key_id,
            key_name=principal.name,
            role=principal.role,
            operation=operation,
            subject=subject_of(path),
            request_id=request_id,
            idempotency_key=idempotency_key,
            body=readable(raw, _path_of(operation)),
            before=readable(before, _path_of(operation)),
        )
        await store.add_action(self._database, action)
        return action.id

    async def end(self, action: UUID, operation: str, status: int, content: bytes) -> None:
        """Write down what came of it. What was done is done: a database that is away is logged."""
        after = readable(content, _path_of(operation))
        try:
            await store.add_outcome(self._database, action, self._clock(), status, after)
        except Overloaded as error:
            log.error("operator_outcome_lost", action=str(action), status=status, error=str(error))

    async def of_command(self, operation: str, subject: str, body: Mapping[str, Any]) -> None:
        """Write down what somebody does by the command line, under the name of his account."""
        action = store.Action(
            id=uuid7(),
            at=self._clock(),
            key_id=COMMAND_LINE,
            key_name=f"command line of {_account()}",
            role="admin",
            operation=operation,
            subject=subject,
            request_id="",
            idempotency_key=None,
            body=hide(dict(body)),
            before=None,
        )
        await store.add_action(self._database, action)
        await store.add_outcome(self._database, action.id, self._clock(), 200, None)


def _path_of(operation: str) -> str:
    return operation.partition(" ")[2]


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "an unnamed account"
