"""What alembic runs, for `bonus migrate` and for its own command line."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from alembic import context
from alembic.runtime.environment import NameFilterParentNames, NameFilterType
from sqlalchemy import Connection

from billing.common.settings import load_settings
from migrations.metadata import SCHEMAS, TARGETS
from migrations.runner import on_connection


def include_name(name: str | None, kind: NameFilterType, _parents: NameFilterParentNames) -> bool:
    """Look at our schemas only: another tool may keep its tables in the same database."""
    return name in SCHEMAS if kind == "schema" else True


def configure_and_run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=TARGETS,
        include_schemas=True,
        include_name=include_name,
        version_table_schema="billing",
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Any = context.config.attributes.get("connection")
if given is not None:
    configure_and_run(given)
else:
    url = load_settings(os.environ, needs=["DATABASE_URL"]).owner_database_url
    asyncio.run(on_connection(url, configure_and_run))
