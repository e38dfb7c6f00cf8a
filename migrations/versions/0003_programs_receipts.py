"""Programs and their versions, posted receipts, redemptions."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE billing.programs (
    code text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz
);

CREATE TABLE billing.program_versions (
    code text NOT NULL CONSTRAINT program_versions_code_fkey REFERENCES billing.programs,
    version integer NOT NULL,
    definition jsonb NOT NULL,
    author text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    effective_from timestamptz,
    published_at timestamptz,
    publisher text,
    PRIMARY KEY (code, version),
    CONSTRAINT program_versions_published_check
        CHECK ((effective_from IS NULL) = (published_at IS NULL))
);

CREATE FUNCTION billing.refuse_change_of_published() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % of program % is published: publish a new version instead',
        OLD.version, OLD.code USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER program_versions_published BEFORE UPDATE OR DELETE ON billing.program_versions
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL)
    EXECUTE FUNCTION billing.refuse_change_of_published();

CREATE TABLE billing.receipts (
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    channel text NOT NULL,
    store text,
    number text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    total bigint NOT NULL,
    redeemed bigint NOT NULL,
    accrued bigint NOT NULL,
    lines jsonb NOT NULL,
    payments jsonb NOT NULL,
    programs jsonb NOT NULL,
    PRIMARY KEY (id, customer_id)
);

CREATE TABLE billing.redemptions (
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    channel text NOT NULL,
    store text,
    number text NOT NULL,
    mode text NOT NULL CONSTRAINT redemptions_mode_check CHECK (mode IN ('hold', 'capture')),
    points bigint NOT NULL,
    hold_expires_at timestamptz,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    lines jsonb NOT NULL,
    PRIMARY KEY (id, customer_id),
    CONSTRAINT redemptions_hold_check CHECK ((mode = 'hold') = (hold_expires_at IS NOT NULL))
);

REVOKE UPDATE, DELETE, TRUNCATE ON billing.receipts, billing.redemptions FROM bonus_app
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    """Receipts are never taken down by a migration: that would delete what customers bought."""
    raise RuntimeError("0003 is not reversible; restore a backup instead")
