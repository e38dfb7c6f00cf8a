"""API keys, by their hashes."""

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, LargeBinary, Table, Text, Uuid

from billing.catalog import tables as catalog
from billing.common.auth import ROLES
from billing.common.tables import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("channel", Text, ForeignKey(catalog.channels.c.code)),
    Column("store", Text, ForeignKey(catalog.stores.c.code)),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    # Whose it is: two keys of one person are one pair of eyes.
    Column("owner", Text),
    CheckConstraint(f"role IN ({', '.join(repr(role) for role in ROLES)})", name="role"),
)
