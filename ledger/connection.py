"""A connection that is dropped when whoever waited for its statement gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection


class ImpatientConnection(_Base):
    """On a cancelled statement the driver would ask the server to stop and wait for its word.

    A server that is silent gives none: the caller, its deadline over, would wait on, and a pool
    would fill with such connections.
    """

    __slots__ = ()

    def _cancel_current_command(self, *waiters: object) -> None:
        self.terminate()
