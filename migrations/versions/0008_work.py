"""Expiry notices, birthdays and runs of work."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Notices look for open lots by the day of their expiry. Neither column ever changes, so that
# spending from a lot stays a heap-only update: the index costs one entry a lot.
_TABLES = """
CREATE INDEX lots_expires_at_idx ON ledger.lots (expires_at, customer_id)
    WHERE open AND expires_at IS NOT NULL;

CREATE TABLE ledger.set_aside (
    customer_id uuid NOT NULL CONSTRAINT set_aside_pkey PRIMARY KEY,
    since timestamptz NOT NULL,
    attempts integer NOT NULL,
    again_at timestamptz NOT NULL,
    error text NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.set_aside TO bonus_app;

CREATE INDEX customers_birthday_idx ON billing.customers (
    ((EXTRACT(month FROM birth_date) * 100 + EXTRACT(day FROM birth_date))::integer), id)
    WHERE birth_date IS NOT NULL;

CREATE TABLE billing.notices (
    customer_id uuid NOT NULL,
    expires_on date NOT NULL,
    days_ahead smallint NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (customer_id, expires_on, days_ahead)
);

CREATE INDEX notices_expires_on_idx ON billing.notices (expires_on);

CREATE TABLE billing.notice_runs (
    days_ahead smallint NOT NULL,
    day date NOT NULL,
    started_at timestamptz NOT NULL,
    after_expires_at timestamptz,
    after_customer_id uuid,
    notices bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    PRIMARY KEY (days_ahead, day)
);

CREATE TABLE billing.work_runs (
    id uuid NOT NULL CONSTRAINT work_runs_pkey PRIMARY KEY,
    name text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    finished_at timestamptz,
    outcome text CONSTRAINT work_runs_outcome_check CHECK (outcome IN ('done', 'failed')),
    handled bigint,
    error text,
    repeats integer NOT NULL DEFAULT 1
);

CREATE INDEX work_runs_name_started_at_idx ON billing.work_runs (name, started_at);

CREATE TABLE billing.work_processes (
    id uuid NOT NULL CONSTRAINT work_processes_pkey PRIMARY KEY,
    role text NOT NULL CONSTRAINT work_processes_role_check
        CHECK (role IN ('scheduler', 'worker')),
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    leads_since timestamptz
)
"""

_DROP = """
DROP TABLE billing.work_processes, billing.work_runs, billing.notice_runs, billing.notices;

DROP INDEX billing.customers_birthday_idx;

DROP TABLE ledger.set_aside;

DROP INDEX ledger.lots_expires_at_idx
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
