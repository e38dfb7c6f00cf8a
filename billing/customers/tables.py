"""Customers' tables. Names and phones are here only encrypted, or as a keyed hash."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from billing.catalog import tables as catalog
from billing.common.tables import metadata

customers = Table(
    "customers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("status", Text, nullable=False),
    Column("phone_hash", LargeBinary, unique=True),
    Column("phone_masked", Text, nullable=False),
    Column("phone_encrypted", LargeBinary),
    Column("person_encrypted", LargeBinary),
    # The person's own key, wrapped by the master key. Without it the two above are noise.
    Column("data_key", LargeBinary),
    Column("channel", Text, ForeignKey(catalog.channels.c.code)),
    Column("store", Text, ForeignKey(catalog.stores.c.code)),
    Column("seller", Text),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("verified_at", DateTime(timezone=True)),
    # Also inside the sealed person; here for programs, which look at age and birthday.
    Column("birth_date", Date),
    Column("birth_date_since", DateTime(timezone=True)),
    # What the sealed name is found by; NULL: nobody has looked at it yet.
    Column("name_tokens", ARRAY(BigInteger)),
    # Whose account this one's points went to; who is looked up here is found there.
    Column("merged_into", Uuid, ForeignKey("billing.customers.id")),
    Column("erased_at", DateTime(timezone=True)),
    CheckConstraint("status IN ('unverified', 'verified', 'blocked')", name="status"),
    # Who has a birthday: month and day as one number, 1231 on New Year's Eve.
    Index(
        "customers_birthday_idx",
        text("((EXTRACT(month FROM birth_date) * 100 + EXTRACT(day FROM birth_date))::integer)"),
        "id",
        postgresql_where=text("birth_date IS NOT NULL"),
    ),
    Index(
        "customers_name_tokens_idx",
        "name_tokens",
        postgresql_using="gin",
        postgresql_where=text("name_tokens IS NOT NULL"),
    ),
    Index(
        "customers_unnamed_idx",
        "id",
        postgresql_where=text("name_tokens IS NULL AND data_key IS NOT NULL"),
    ),
    Index(
        "customers_merged_into_idx",
        "merged_into",
        postgresql_where=text("merged_into IS NOT NULL"),
    ),
)

customer_merges = Table(
    "customer_merges",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid, ForeignKey(customers.c.id), nullable=False),
    Column("into_id", Uuid, ForeignKey(customers.c.id), nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("merged_at", DateTime(timezone=True), nullable=False),
    Column("undone_at", DateTime(timezone=True)),
    Column("undone_by", Text),
    CheckConstraint("customer_id <> into_id", name="others"),
    Index(
        "customer_merges_standing_idx",
        "customer_id",
        unique=True,
        postgresql_where=text("undone_at IS NULL"),
    ),
    Index(None, "into_id"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
)

customer_cards = Table(
    "customer_cards",
    metadata,
    Column("card", Text, primary_key=True),
    Column("customer_id", Uuid, ForeignKey(customers.c.id), nullable=False),
    # A lost card: whoever shows it gets nothing, while the customer goes on with others.
    Column("blocked_at", DateTime(timezone=True)),
    Index(None, "customer_id"),
)

customer_external_ids = Table(
    "customer_external_ids",
    metadata,
    Column("system", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("customer_id", Uuid, ForeignKey(customers.c.id), nullable=False),
    UniqueConstraint("customer_id", "system"),
)

secret_check = Table(
    "secret_check",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    # By which a changed BONUS_SECRET_KEY is noticed.
    Column("value", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    CheckConstraint("id = 1", name="one_row"),
)
