"""Imports over the API, and their lines: customers by id only."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from billing.common.tables import metadata

_TIME = DateTime(timezone=True)

imports = Table(
    "imports",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("author", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    # Of a file that came by the command line: another one of that name is refused.
    Column("digest", LargeBinary),
    Column("job_id", Uuid),
    CheckConstraint("state IN ('open', 'closed')", name="state"),
)

import_rows = Table(
    "import_rows",
    metadata,
    Column("import_id", Uuid, ForeignKey(imports.c.id), primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("source", Text),
    Column("customer_id", Uuid),
    Column("points", BigInteger, nullable=False),
    Column("bucket", Text),
    Column("occurred_at", _TIME),
    Column("available_from", _TIME),
    Column("expires_at", _TIME),
    CheckConstraint("state IN ('waiting', 'posted', 'already', 'rejected')", name="state"),
    Index(
        "import_rows_rejected_idx",
        "import_id",
        "line",
        postgresql_where=text("state = 'rejected'"),
    ),
)
