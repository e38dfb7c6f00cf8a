"""The ledger: journal, lots, holds, idempotency; append-only by privilege and by trigger."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROLE = """
DO $$ BEGIN
    CREATE ROLE bonus_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""

_FLOWS = """
('accrue', 'issued', 'available'), ('accrue', 'issued', 'deferred'), ('accrue', 'issued', 'debt'),
('activate', 'deferred', 'available'), ('redeem', 'available', 'redeemed'),
('hold', 'available', 'held'), ('capture', 'held', 'redeemed'), ('release', 'held', 'available'),
('expire', 'available', 'expired'), ('revoke', 'deferred', 'issued'),
('revoke', 'available', 'issued'), ('revoke', 'debt', 'issued'),
('restore', 'redeemed', 'available'), ('settle', 'available', 'debt'),
('adjust', 'adjustment', 'available'), ('adjust', 'adjustment', 'deferred'),
('adjust', 'available', 'adjustment'), ('adjust', 'deferred', 'adjustment'),
('transfer', 'available', 'clearing'), ('transfer', 'clearing', 'available')
"""

_KINDS = (
    "'accrual', 'redemption', 'receipt', 'hold', 'capture', 'release', 'hold_expiry', "
    "'activation', 'expiry', 'revocation', 'restoration', 'return', 'adjustment', "
    "'transfer_out', 'transfer_in', 'reversal'"
)

_TABLES = f"""
CREATE TABLE ledger.transactions (
    customer_id uuid NOT NULL,
    version bigint NOT NULL CONSTRAINT transactions_version_check CHECK (version > 0),
    id uuid NOT NULL,
    operation_id uuid NOT NULL,
    kind text NOT NULL CONSTRAINT transactions_kind_check CHECK (kind IN ({_KINDS})),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    available_after bigint NOT NULL,
    promo_after bigint NOT NULL,
    deferred_after bigint NOT NULL,
    held_after bigint NOT NULL,
    debt_after bigint NOT NULL,
    corrects uuid,
    hold_id uuid,
    hold_expires_at timestamptz,
    source text,
    channel text,
    store text,
    author text,
    reason text,
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    PRIMARY KEY (customer_id, version),
    CONSTRAINT transactions_after_check CHECK (
        available_after >= 0 AND promo_after >= 0 AND promo_after <= available_after
        AND deferred_after >= 0 AND held_after >= 0 AND debt_after >= 0)
);
CREATE UNIQUE INDEX transactions_id_key ON ledger.transactions (id, customer_id);
CREATE INDEX transactions_corrects_idx ON ledger.transactions (customer_id, corrects)
    WHERE corrects IS NOT NULL;
CREATE UNIQUE INDEX transactions_reversal_key ON ledger.transactions (customer_id, corrects)
    WHERE kind = 'reversal';

CREATE TABLE ledger.postings (
    customer_id uuid NOT NULL,
    version bigint NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    amount bigint NOT NULL CONSTRAINT postings_amount_check CHECK (amount > 0),
    lot_id uuid NOT NULL,
    bucket text NOT NULL CONSTRAINT postings_bucket_check CHECK (bucket IN ('base', 'promo')),
    active_from timestamptz NOT NULL,
    expires_at timestamptz,
    program text,
    program_version integer,
    channel text,
    store text,
    product_group text,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, version, seq),
    CONSTRAINT postings_flow_check CHECK ((kind, debit, credit) IN ({_FLOWS}))
);
CREATE INDEX postings_recorded_at_idx ON ledger.postings USING brin (recorded_at);

CREATE TABLE ledger.idempotency_keys (
    key text PRIMARY KEY,
    customer_id uuid,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    answer bytea NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE TABLE ledger.sources (
    source text PRIMARY KEY,
    customer_id uuid NOT NULL,
    transaction_id uuid NOT NULL
);

CREATE TABLE ledger.balances (
    customer_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    available bigint NOT NULL,
    promo bigint NOT NULL,
    deferred bigint NOT NULL,
    held bigint NOT NULL,
    debt bigint NOT NULL,
    next_due timestamptz,
    recorded_at timestamptz,
    CONSTRAINT balances_bucket_check CHECK (
        available >= 0 AND promo >= 0 AND promo <= available
        AND deferred >= 0 AND held >= 0 AND debt >= 0)
) WITH (fillfactor = 70);
CREATE INDEX balances_next_due_idx ON ledger.balances (next_due) WHERE next_due IS NOT NULL;

CREATE TABLE ledger.lots (
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    bucket text NOT NULL,
    amount bigint NOT NULL,
    active_from timestamptz NOT NULL,
    expires_at timestamptz,
    program text,
    program_version integer,
    occurred_at timestamptz NOT NULL,
    available bigint NOT NULL,
    deferred bigint NOT NULL,
    held bigint NOT NULL,
    redeemed bigint NOT NULL,
    revoked bigint NOT NULL,
    owed bigint NOT NULL,
    expired bigint NOT NULL,
    open boolean NOT NULL,
    PRIMARY KEY (customer_id, id),
    CONSTRAINT lots_bucket_check CHECK (
        available >= 0 AND deferred >= 0 AND held >= 0 AND redeemed >= 0 AND owed >= 0
        AND revoked >= 0 AND revoked <= amount
        AND available + deferred + held + redeemed <= amount
        AND open = (available + deferred + held > 0))
) WITH (fillfactor = 85);
CREATE INDEX lots_open_idx ON ledger.lots (customer_id) WHERE open;
CREATE INDEX lots_deferred_idx ON ledger.lots (customer_id) WHERE deferred > 0;

CREATE TABLE ledger.holds (
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    status text NOT NULL CONSTRAINT holds_status_check
        CHECK (status IN ('open', 'captured', 'released', 'expired')),
    expires_at timestamptz NOT NULL,
    lots uuid[] NOT NULL,
    amounts bigint[] NOT NULL,
    captured bigint NOT NULL,
    PRIMARY KEY (customer_id, id)
);
CREATE INDEX holds_open_idx ON ledger.holds (customer_id) WHERE status = 'open'
"""

_JOURNAL = ("transactions", "postings", "idempotency_keys", "sources")
_PROJECTIONS = ("balances", "lots", "holds")

_REFUSE = """
CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger.% is append-only: correct it by a new transaction', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""


# What a foreign key would see to, asked once a statement instead of once a row.
_NO_ORPHANS = """
CREATE FUNCTION ledger.refuse_orphans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added a WHERE NOT EXISTS (
        SELECT FROM ledger.transactions t
        WHERE t.customer_id = a.customer_id AND t.version = a.version)) THEN
        RAISE EXCEPTION 'a posting of ledger.postings has no transaction'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$
"""


def _run(script: str) -> None:
    for statement in script.split(";\n"):
        op.execute(statement)


def upgrade() -> None:
    op.execute(_ROLE)
    op.execute("CREATE SCHEMA IF NOT EXISTS ledger")
    op.execute("CREATE SCHEMA IF NOT EXISTS billing")
    _run(_TABLES)
    op.execute(_NO_ORPHANS)
    op.execute(
        "CREATE TRIGGER postings_no_orphans AFTER INSERT ON ledger.postings"
        " REFERENCING NEW TABLE AS added"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_orphans()"
    )
    op.execute(_REFUSE)
    for table in _JOURNAL:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
            f" ON ledger.{table} FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()"
        )
        op.execute(f"GRANT SELECT, INSERT ON ledger.{table} TO bonus_app")
    for table in _PROJECTIONS:
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON ledger.{table} TO bonus_app")
    op.execute("GRANT USAGE ON SCHEMA ledger, billing TO bonus_app")
    op.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA billing"
        " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO bonus_app"
    )
    op.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA billing GRANT USAGE, SELECT ON SEQUENCES TO bonus_app"
    )


def downgrade() -> None:
    """The ledger is never taken down by a migration: that would delete the truth."""
    raise RuntimeError("0001 is not reversible; restore a backup instead")
