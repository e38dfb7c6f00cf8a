"""The catalog's tables."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    Table,
    Text,
    text,
)

from billing.common.tables import metadata

channels = Table(
    "channels",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("brand", Text),
)

stores = Table(
    "stores",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("channel", Text, ForeignKey(channels.c.code), nullable=False),
    Column("group", Text),
    Column("timezone", Text),
)

product_groups = Table(
    "product_groups",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("parent", Text, ForeignKey("billing.product_groups.code")),
    # Goods whose price the law protects: points do not pay for them.
    Column("legal", Text),
    CheckConstraint("parent <> code", name="parent"),
    CheckConstraint("legal IN ('tobacco', 'alcohol')", name="legal"),
)

products = Table(
    "products",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("group", Text, ForeignKey(product_groups.c.code), nullable=False),
    Column("excluded", Boolean, nullable=False, server_default=text("false")),
    Index(None, "group"),
)

catalog_revision = Table(
    "catalog_revision",
    metadata,
    # One row. `revision` moves with every change, `structure` with all but those of products.
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("structure", BigInteger, nullable=False),
    CheckConstraint("one = 1", name="one"),
)
