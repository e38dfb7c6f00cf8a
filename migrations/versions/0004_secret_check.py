"""A value by which a changed BONUS_SECRET_KEY is noticed."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE billing.secret_check (
    id smallint NOT NULL CONSTRAINT secret_check_pkey PRIMARY KEY
        CONSTRAINT secret_check_one_row_check CHECK (id = 1),
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

REVOKE UPDATE, DELETE, TRUNCATE ON billing.secret_check FROM bonus_app
"""


def upgrade() -> None:
    for statement in _TABLE.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE billing.secret_check")
