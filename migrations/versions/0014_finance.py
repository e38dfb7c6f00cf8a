"""Roll-ups of postings, closed periods, deferred revenue, and the views of BI."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE ledger.rollups (
    occurred_day date NOT NULL,
    recorded_day date NOT NULL,
    kind text NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    channel text,
    store text,
    product_group text,
    program text,
    program_version integer,
    bucket text NOT NULL,
    amount bigint NOT NULL,
    count bigint NOT NULL
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX rollups_cell_key ON ledger.rollups (
    occurred_day, recorded_day, kind, debit, credit, channel, store, product_group, program,
    program_version, bucket) NULLS NOT DISTINCT;

CREATE TABLE ledger.rollup_state (
    one smallint NOT NULL CONSTRAINT rollup_state_pkey PRIMARY KEY
        CONSTRAINT rollup_state_one_check CHECK (one = 1),
    xid bigint NOT NULL,
    zone text,
    moved_at timestamptz
);

INSERT INTO ledger.rollup_state (one, xid) VALUES (1, 0);

CREATE TABLE ledger.closing (
    one smallint NOT NULL CONSTRAINT closing_pkey PRIMARY KEY
        CONSTRAINT closing_one_check CHECK (one = 1),
    closed_until timestamptz NOT NULL,
    late text NOT NULL CONSTRAINT closing_late_check CHECK (late IN ('refuse', 'post')),
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint
);

INSERT INTO ledger.closing (one, closed_until, late) VALUES (1, '1970-01-01Z', 'refuse');

GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.rollups TO bonus_app;

GRANT SELECT, UPDATE ON ledger.rollup_state, ledger.closing TO bonus_app;

CREATE TABLE billing.period_events (
    id uuid NOT NULL CONSTRAINT period_events_pkey PRIMARY KEY,
    period text NOT NULL,
    kind text NOT NULL CONSTRAINT period_events_kind_check
        CHECK (kind IN ('closed', 'reopen_requested', 'reopen_withdrawn', 'reopened')),
    at timestamptz NOT NULL,
    key_id uuid NOT NULL,
    author text NOT NULL,
    reason text,
    late text,
    request_id uuid,
    sealed jsonb,
    digest text,
    CONSTRAINT period_events_request_id_key UNIQUE (request_id)
);

CREATE INDEX period_events_period_idx ON billing.period_events (period, at);

CREATE TABLE billing.revenue_policies (
    id uuid NOT NULL CONSTRAINT revenue_policies_pkey PRIMARY KEY,
    program text,
    effective_from text NOT NULL,
    policy jsonb NOT NULL,
    reason text NOT NULL,
    key_id uuid NOT NULL,
    author text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE billing.revenue_journals (
    period text NOT NULL,
    revision integer NOT NULL,
    computed_at timestamptz NOT NULL,
    author text NOT NULL,
    journal jsonb NOT NULL,
    CONSTRAINT revenue_journals_pkey PRIMARY KEY (period, revision)
);

REVOKE UPDATE, DELETE, TRUNCATE ON billing.period_events, billing.revenue_policies,
    billing.revenue_journals FROM bonus_app
"""

_APPEND_ONLY = ("period_events", "revenue_policies", "revenue_journals")

# The rows added are at hand here: what falls into a closed period costs one more look at them.
# Whoever decided before the period was closed has lost a race, and decides again.
_NO_ORPHANS = """
CREATE OR REPLACE FUNCTION ledger.refuse_orphans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added a WHERE NOT EXISTS (
        SELECT FROM ledger.transactions t
        WHERE t.customer_id = a.customer_id AND t.version = a.version)) THEN
        RAISE EXCEPTION 'a posting of ledger.postings has no transaction'
            USING ERRCODE = 'foreign_key_violation';
    END IF;{closed}
    RETURN NULL;
END $$
"""
_CLOSED = """
    IF EXISTS (SELECT FROM added a
               WHERE a.occurred_at < (SELECT c.closed_until FROM ledger.closing c)) THEN
        RAISE EXCEPTION 'a posting of ledger.postings falls into a closed period'
            USING ERRCODE = 'serialization_failure';
    END IF;"""

_BI_ROLE = """
DO $$ BEGIN
    CREATE ROLE bonus_bi NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""

_BI = """
CREATE SCHEMA bi;

CREATE VIEW bi.fact_ledger_entry AS
SELECT p.customer_id, p.version, p.seq, t.id AS transaction_id, t.kind AS transaction_kind,
       p.occurred_at, p.recorded_at, p.kind, p.debit, p.credit, p.amount AS amount_minor,
       (p.amount / 100.0)::numeric(20, 2) AS amount, p.lot_id, p.bucket,
       p.active_from AS available_from, p.expires_at, p.program, p.program_version, p.channel,
       p.store, p.product_group, t.operation_id, t.corrects, t.source, t.author,
       t.xid AS commit_order
FROM ledger.postings p
JOIN ledger.transactions t ON t.customer_id = p.customer_id AND t.version = p.version;

CREATE VIEW bi.fact_ledger_day AS
SELECT occurred_day, recorded_day, kind, debit, credit, channel, store, product_group, program,
       program_version, bucket, amount AS amount_minor,
       (amount / 100.0)::numeric(20, 2) AS amount, count AS postings
FROM ledger.rollups;

CREATE VIEW bi.fact_lot AS
SELECT customer_id, id AS lot_id, bucket, program, program_version, occurred_at,
       active_from AS available_from, expires_at, amount AS amount_minor,
       (amount / 100.0)::numeric(20, 2) AS amount, available AS available_minor,
       deferred AS deferred_minor, held AS held_minor, redeemed AS redeemed_minor,
       expired AS expired_minor, revoked AS revoked_minor, open
FROM ledger.lots;

CREATE VIEW bi.balance AS
SELECT customer_id, version, available AS available_minor, promo AS promo_minor,
       deferred AS deferred_minor, held AS held_minor, debt AS debt_minor,
       (available / 100.0)::numeric(20, 2) AS available, (deferred / 100.0)::numeric(20, 2)
       AS deferred, recorded_at
FROM ledger.balances;

CREATE VIEW bi.fact_receipt AS
SELECT id AS receipt_id, customer_id, channel, store, number, occurred_at, recorded_at,
       total AS total_minor, (total / 100.0)::numeric(20, 2) AS total,
       redeemed AS redeemed_minor, (redeemed / 100.0)::numeric(20, 2) AS redeemed,
       accrued AS accrued_minor, (accrued / 100.0)::numeric(20, 2) AS accrued
FROM billing.receipts;

CREATE VIEW bi.fact_receipt_line AS
SELECT r.id AS receipt_id, r.customer_id, r.channel, r.store, r.occurred_at,
       (l.line ->> 'line')::integer AS line, l.line ->> 'sku' AS sku,
       l.line ->> 'group' AS product_group, (l.line ->> 'quantity')::numeric AS quantity,
       (l.line ->> 'price')::numeric(20, 2) AS price,
       ((l.line ->> 'amount')::numeric * 100)::bigint AS amount_minor,
       (l.line ->> 'amount')::numeric(20, 2) AS amount,
       ((l.line ->> 'points_paid')::numeric * 100)::bigint AS points_paid_minor
FROM billing.receipts r, LATERAL jsonb_array_elements(r.lines) AS l (line);

CREATE VIEW bi.fact_return AS
SELECT id AS return_id, customer_id, receipt_id, channel, store, number, occurred_at, recorded_at,
       revoked AS revoked_minor, restored AS restored_minor
FROM billing.returns;

CREATE VIEW bi.dim_customer AS
SELECT id AS customer_id, status, channel, store, seller, tags, created_at, verified_at,
       CASE WHEN birth_date IS NOT NULL
            THEN (EXTRACT(year FROM birth_date)::integer / 10) * 10 END AS birth_decade
FROM billing.customers;

CREATE VIEW bi.dim_channel AS SELECT code AS channel, name, brand FROM billing.channels;

CREATE VIEW bi.dim_store AS
SELECT code AS store, name, channel, "group" AS store_group, timezone FROM billing.stores;

CREATE VIEW bi.dim_product_group AS
SELECT code AS product_group, name, parent FROM billing.product_groups;

CREATE VIEW bi.dim_product AS
SELECT sku, name, "group" AS product_group, excluded FROM billing.products;

CREATE VIEW bi.dim_program_version AS
SELECT code AS program, version, definition ->> 'name' AS name, definition ->> 'type' AS type,
       effective_from, published_at
FROM billing.program_versions WHERE published_at IS NOT NULL;

CREATE VIEW bi.period AS
SELECT period, kind, at, author, reason, late, digest FROM billing.period_events;

GRANT USAGE ON SCHEMA bi TO bonus_bi;

GRANT SELECT ON ALL TABLES IN SCHEMA bi TO bonus_bi
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
            f" ON billing.{table} FOR EACH STATEMENT"
            " EXECUTE FUNCTION billing.refuse_change()"
        )
    op.execute(_NO_ORPHANS.format(closed=_CLOSED))
    op.execute(_BI_ROLE)
    for statement in _BI.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP SCHEMA bi CASCADE")
    op.execute(_NO_ORPHANS.format(closed=""))
    op.execute("DROP TABLE ledger.rollups, ledger.rollup_state, ledger.closing")
    op.execute(
        "DROP TABLE billing.period_events, billing.revenue_policies, billing.revenue_journals"
    )
