"""Seals, checkpoints and audits; approvals and the operators' log; imports of balances."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Answers kept before have the number 0: a constant default needs no rewrite of the table, and puts
# them at the beginning of their chain. The index is like that of transactions: one entry a commit.
_TABLES = """
ALTER TABLE ledger.idempotency_keys ADD COLUMN xid bigint NOT NULL DEFAULT 0;

ALTER TABLE ledger.idempotency_keys
    ALTER COLUMN xid SET DEFAULT pg_current_xact_id()::text::bigint;

CREATE INDEX idempotency_keys_xid_idx ON ledger.idempotency_keys (xid);

CREATE FUNCTION ledger.xid_offset() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 0::bigint;

CREATE FUNCTION ledger.horizon() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    RETURN pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 + ledger.xid_offset();

CREATE TABLE ledger.seals (
    chain text NOT NULL CONSTRAINT seals_chain_check CHECK (chain IN ('journal', 'answers')),
    number bigint NOT NULL CONSTRAINT seals_number_check CHECK (number > 0),
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    until_xid bigint NOT NULL,
    until_key text COLLATE "C" NOT NULL,
    names text[] NOT NULL,
    digests bytea NOT NULL,
    PRIMARY KEY (chain, number)
);

ALTER TABLE ledger.seals ALTER COLUMN digests SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX seals_until_key ON ledger.seals (chain, until_xid, until_key);

CREATE TABLE ledger.checkpoints (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT checkpoints_pkey PRIMARY KEY,
    at timestamptz NOT NULL,
    document text NOT NULL,
    signature bytea NOT NULL,
    public_key bytea NOT NULL
);

CREATE TRIGGER seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.seals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

CREATE TRIGGER checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

GRANT SELECT, INSERT ON ledger.seals, ledger.checkpoints TO bonus_app;

CREATE TABLE billing.audits (
    id uuid NOT NULL CONSTRAINT audits_pkey PRIMARY KEY,
    scope text NOT NULL CONSTRAINT audits_scope_check CHECK (scope IN ('whole', 'since_last')),
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    clean boolean NOT NULL,
    report jsonb NOT NULL
);

CREATE INDEX audits_started_at_idx ON billing.audits (started_at);

REVOKE UPDATE, DELETE, TRUNCATE ON billing.audits FROM bonus_app;

CREATE TABLE billing.approvals (
    id uuid NOT NULL CONSTRAINT approvals_pkey PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    summary text NOT NULL,
    content jsonb NOT NULL,
    state text NOT NULL DEFAULT 'pending' CONSTRAINT approvals_state_check CHECK (
        state IN ('pending', 'approved', 'done', 'failed', 'rejected', 'withdrawn')),
    asked_by text NOT NULL,
    asked_key uuid,
    asked_at timestamptz NOT NULL,
    decided_by text,
    decided_key uuid,
    decided_at timestamptz,
    reason text,
    result jsonb,
    error text
);

CREATE UNIQUE INDEX approvals_pending_key ON billing.approvals (kind, subject)
    WHERE state = 'pending';

CREATE INDEX approvals_state_asked_at_idx ON billing.approvals (state, asked_at);

REVOKE DELETE, TRUNCATE ON billing.approvals FROM bonus_app;

CREATE TABLE billing.operator_actions (
    id uuid NOT NULL CONSTRAINT operator_actions_pkey PRIMARY KEY,
    at timestamptz NOT NULL,
    key_id uuid NOT NULL,
    key_name text NOT NULL,
    role text NOT NULL,
    operation text NOT NULL,
    subject text NOT NULL,
    request_id text NOT NULL,
    idempotency_key text,
    body jsonb,
    before jsonb
);

CREATE INDEX operator_actions_key_id_id_idx ON billing.operator_actions (key_id, id);

CREATE INDEX operator_actions_operation_id_idx ON billing.operator_actions (operation, id);

CREATE INDEX operator_actions_subject_id_idx ON billing.operator_actions (subject, id);

CREATE TABLE billing.operator_outcomes (
    action_id uuid NOT NULL CONSTRAINT operator_outcomes_pkey PRIMARY KEY,
    at timestamptz NOT NULL,
    status smallint NOT NULL,
    after jsonb
);

REVOKE UPDATE, DELETE, TRUNCATE ON billing.operator_actions, billing.operator_outcomes
    FROM bonus_app;

CREATE TABLE billing.imports (
    id uuid NOT NULL CONSTRAINT imports_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT imports_name_key UNIQUE,
    state text NOT NULL DEFAULT 'open' CONSTRAINT imports_state_check
        CHECK (state IN ('open', 'closed')),
    author text NOT NULL,
    created_at timestamptz NOT NULL,
    digest bytea,
    job_id uuid
);

CREATE TABLE billing.import_rows (
    import_id uuid NOT NULL CONSTRAINT import_rows_import_id_fkey
        REFERENCES billing.imports (id),
    line integer NOT NULL,
    state text NOT NULL CONSTRAINT import_rows_state_check
        CHECK (state IN ('waiting', 'posted', 'already', 'rejected')),
    reason text,
    source text,
    customer_id uuid,
    points bigint NOT NULL,
    bucket text,
    occurred_at timestamptz,
    available_from timestamptz,
    expires_at timestamptz,
    CONSTRAINT import_rows_pkey PRIMARY KEY (import_id, line)
);

CREATE INDEX import_rows_rejected_idx ON billing.import_rows (import_id, line)
    WHERE state = 'rejected';

CREATE FUNCTION billing.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'billing.% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER operator_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON billing.operator_actions FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

CREATE TRIGGER operator_outcomes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON billing.operator_outcomes FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

CREATE TRIGGER audits_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON billing.audits FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change()
"""

_DROP = """
DROP TABLE billing.import_rows, billing.imports;

DROP TABLE billing.operator_outcomes, billing.operator_actions, billing.approvals;

DROP TABLE billing.audits;

DROP FUNCTION billing.refuse_change();

DROP TABLE ledger.checkpoints, ledger.seals;

DROP FUNCTION ledger.horizon();

DROP FUNCTION ledger.xid_offset();

DROP INDEX ledger.idempotency_keys_xid_idx;

ALTER TABLE ledger.idempotency_keys DROP COLUMN xid
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
