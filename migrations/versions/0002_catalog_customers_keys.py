"""The catalog, customers and API keys."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CATALOG = """
CREATE TABLE billing.channels (
    code text CONSTRAINT channels_pkey PRIMARY KEY,
    name text NOT NULL,
    brand text
);
CREATE TABLE billing.stores (
    code text CONSTRAINT stores_pkey PRIMARY KEY,
    name text NOT NULL,
    channel text NOT NULL CONSTRAINT stores_channel_fkey REFERENCES billing.channels (code),
    "group" text,
    timezone text
);
CREATE TABLE billing.product_groups (
    code text CONSTRAINT product_groups_pkey PRIMARY KEY,
    name text NOT NULL,
    parent text CONSTRAINT product_groups_parent_fkey REFERENCES billing.product_groups (code),
    CONSTRAINT product_groups_parent_check CHECK (parent <> code)
);
CREATE TABLE billing.products (
    sku text CONSTRAINT products_pkey PRIMARY KEY,
    name text NOT NULL,
    "group" text NOT NULL
        CONSTRAINT products_group_fkey REFERENCES billing.product_groups (code),
    excluded boolean NOT NULL DEFAULT false
);
CREATE INDEX products_group_idx ON billing.products ("group");
CREATE TABLE billing.catalog_revision (
    one smallint CONSTRAINT catalog_revision_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    structure bigint NOT NULL,
    CONSTRAINT catalog_revision_one_check CHECK (one = 1)
);
INSERT INTO billing.catalog_revision VALUES (1, 1, 1)
"""

_CUSTOMERS = """
CREATE TABLE billing.customers (
    id uuid CONSTRAINT customers_pkey PRIMARY KEY,
    status text NOT NULL,
    phone_hash bytea CONSTRAINT customers_phone_hash_key UNIQUE,
    phone_masked text NOT NULL,
    phone_encrypted bytea,
    person_encrypted bytea,
    data_key bytea,
    channel text CONSTRAINT customers_channel_fkey REFERENCES billing.channels (code),
    store text CONSTRAINT customers_store_fkey REFERENCES billing.stores (code),
    seller text,
    tags text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    verified_at timestamptz,
    CONSTRAINT customers_status_check CHECK (status IN ('unverified', 'verified', 'blocked'))
);
CREATE TABLE billing.customer_cards (
    card text CONSTRAINT customer_cards_pkey PRIMARY KEY,
    customer_id uuid NOT NULL CONSTRAINT customer_cards_customer_id_fkey
        REFERENCES billing.customers (id)
);
CREATE INDEX customer_cards_customer_id_idx ON billing.customer_cards (customer_id);
CREATE TABLE billing.customer_external_ids (
    system text NOT NULL,
    value text NOT NULL,
    customer_id uuid NOT NULL CONSTRAINT customer_external_ids_customer_id_fkey
        REFERENCES billing.customers (id),
    CONSTRAINT customer_external_ids_pkey PRIMARY KEY (system, value),
    CONSTRAINT customer_external_ids_customer_id_system_key UNIQUE (customer_id, system)
)
"""

_KEYS = """
CREATE TABLE billing.api_keys (
    id uuid CONSTRAINT api_keys_pkey PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    channel text CONSTRAINT api_keys_channel_fkey REFERENCES billing.channels (code),
    store text CONSTRAINT api_keys_store_fkey REFERENCES billing.stores (code),
    hash bytea NOT NULL CONSTRAINT api_keys_hash_key UNIQUE,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CONSTRAINT api_keys_role_check CHECK (
        role IN ('pos', 'site', 'marketer', 'finance', 'support', 'bi', 'admin')
    )
)
"""

_TABLES = (
    "api_keys",
    "customer_external_ids",
    "customer_cards",
    "customers",
    "catalog_revision",
    "products",
    "product_groups",
    "stores",
    "channels",
)


def upgrade() -> None:
    for script in (_CATALOG, _CUSTOMERS, _KEYS):
        for statement in script.split(";\n"):
            op.execute(statement)
    # Made before the default privileges of 0001; readiness compares it with the code's revision.
    op.execute("GRANT SELECT ON billing.alembic_version TO bonus_app")


def downgrade() -> None:
    for table in _TABLES:
        op.execute(f"DROP TABLE billing.{table}")
