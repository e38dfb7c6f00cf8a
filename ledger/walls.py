"""The two walls that keep the journal append-only: triggers, and what the application may not."""

from __future__ import annotations

from typing import Final

from ledger.findings import Finding
from ledger.load import Connection
from ledger.tables import APPEND_ONLY

_TRIGGERS: Final = """
SELECT name FROM unnest($1::text[]) AS name WHERE NOT EXISTS (
    SELECT FROM pg_trigger WHERE tgrelid = ('ledger.' || name)::regclass
      AND tgname = name || '_append_only' AND tgenabled IN ('O', 'A'))
"""
_RIGHTS: Final = """
SELECT name, may FROM unnest($1::text[]) AS name, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE'])
    AS may
WHERE has_table_privilege('bonus_app', 'ledger.' || name, may)
"""


async def broken_walls(connection: Connection) -> list[Finding]:
    """Append-only tables whose trigger is gone or off, or that the application may change."""
    tables = [table.name for table in APPEND_ONLY]
    findings = [
        Finding("wall", None, f"ledger.{name}", "has no trigger that refuses changes, or it is off")
        for (name,) in await connection.fetch(_TRIGGERS, tables)
    ]
    for name, may in await connection.fetch(_RIGHTS, tables):
        detail = f"lets the application's role {may} its rows"
        findings.append(Finding("wall", None, f"ledger.{name}", detail))
    return findings
