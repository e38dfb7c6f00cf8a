"""Campaigns, their uploaded audiences, their runs and the customers a run set aside."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE billing.campaigns (
    code text NOT NULL CONSTRAINT campaigns_pkey PRIMARY KEY,
    definition jsonb NOT NULL,
    revision integer NOT NULL,
    state text NOT NULL CONSTRAINT campaigns_state_check CHECK (state IN (
        'draft', 'waiting_approval', 'scheduled', 'running', 'paused', 'finished', 'cancelled',
        'failed')),
    author text NOT NULL,
    hands uuid[] NOT NULL,
    audience_size bigint NOT NULL DEFAULT 0,
    preview_job uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    submitted_by text,
    submitted_at timestamptz,
    approved_by text,
    approved_at timestamptz,
    next_run_at timestamptz,
    failure text
);

CREATE INDEX campaigns_next_run_at_idx ON billing.campaigns (next_run_at)
    WHERE state = 'scheduled';

CREATE TABLE billing.campaign_audience (
    code text NOT NULL CONSTRAINT campaign_audience_code_fkey REFERENCES billing.campaigns (code),
    customer_id uuid NOT NULL,
    CONSTRAINT campaign_audience_pkey PRIMARY KEY (code, customer_id)
);

CREATE TABLE billing.campaign_runs (
    id uuid NOT NULL CONSTRAINT campaign_runs_pkey PRIMARY KEY,
    code text NOT NULL CONSTRAINT campaign_runs_code_fkey REFERENCES billing.campaigns (code),
    scheduled_at timestamptz NOT NULL,
    state text NOT NULL CONSTRAINT campaign_runs_state_check
        CHECK (state IN ('running', 'finished', 'cancelled', 'failed', 'skipped')),
    started_at timestamptz,
    finished_at timestamptz,
    total bigint,
    "cursor" uuid,
    seen bigint NOT NULL DEFAULT 0,
    customers bigint NOT NULL DEFAULT 0,
    given bigint NOT NULL DEFAULT 0,
    points bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    skipped jsonb NOT NULL DEFAULT '{}',
    attempts integer NOT NULL DEFAULT 0,
    error text,
    CONSTRAINT campaign_runs_code_scheduled_at_key UNIQUE (code, scheduled_at)
);

CREATE INDEX campaign_runs_started_at_idx ON billing.campaign_runs (started_at)
    WHERE state = 'running';

CREATE TABLE billing.campaign_failures (
    run_id uuid NOT NULL CONSTRAINT campaign_failures_run_id_fkey
        REFERENCES billing.campaign_runs (id),
    customer_id uuid NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT campaign_failures_pkey PRIMARY KEY (run_id, customer_id)
);

REVOKE DELETE ON billing.campaigns, billing.campaign_runs, billing.campaign_failures FROM bonus_app
"""

_DROP = """
DROP TABLE billing.campaign_failures, billing.campaign_runs, billing.campaign_audience,
    billing.campaigns
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
