"""Counters, returns, facts of customers that programs look at, queued scenarios, jobs."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE billing.counters (
    customer_id uuid NOT NULL,
    name text NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (customer_id, name)
);

CREATE TABLE billing.returns (
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    receipt_id uuid,
    channel text NOT NULL,
    store text,
    number text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    revoked bigint NOT NULL,
    restored bigint NOT NULL,
    lines jsonb NOT NULL,
    PRIMARY KEY (id, customer_id)
);

CREATE INDEX returns_customer_id_receipt_id_idx ON billing.returns (customer_id, receipt_id);

ALTER TABLE billing.receipts ADD COLUMN paid_by uuid, ADD COLUMN codes text;

ALTER TABLE billing.product_groups ADD COLUMN legal text
    CONSTRAINT product_groups_legal_check CHECK (legal IN ('tobacco', 'alcohol'));

ALTER TABLE billing.customers
    ADD COLUMN birth_date date,
    ADD COLUMN birth_date_since timestamptz;

CREATE TABLE billing.scenario_queue (
    id uuid NOT NULL CONSTRAINT scenario_queue_pkey PRIMARY KEY,
    customer_id uuid NOT NULL,
    event text NOT NULL,
    occurred_at timestamptz NOT NULL,
    details jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    error text
);

CREATE INDEX scenario_queue_created_at_idx ON billing.scenario_queue (created_at)
    WHERE done_at IS NULL;

CREATE TABLE billing.jobs (
    id uuid NOT NULL CONSTRAINT jobs_pkey PRIMARY KEY,
    kind text NOT NULL,
    parameters jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued' CONSTRAINT jobs_state_check
        CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress bigint NOT NULL DEFAULT 0,
    total bigint,
    result jsonb,
    error text,
    author text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    heartbeat_at timestamptz,
    finished_at timestamptz
);

CREATE INDEX jobs_created_at_idx ON billing.jobs (created_at)
    WHERE state IN ('queued', 'running');

REVOKE UPDATE, DELETE, TRUNCATE ON billing.returns FROM bonus_app;

REVOKE DELETE, TRUNCATE ON billing.counters, billing.jobs FROM bonus_app
"""

_DROP = """
DROP TABLE billing.jobs, billing.scenario_queue, billing.returns, billing.counters;

ALTER TABLE billing.customers DROP COLUMN birth_date, DROP COLUMN birth_date_since;

ALTER TABLE billing.product_groups DROP COLUMN legal;

ALTER TABLE billing.receipts DROP COLUMN paid_by, DROP COLUMN codes
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
