"""Messages to customers, queued."""

from alembic import op

revision = "0011m"
down_revision = "0011"
branch_labels = None
depends_on = None

_MESSAGES = """
CREATE TABLE billing.messages (
    id uuid NOT NULL CONSTRAINT messages_pkey PRIMARY KEY,
    customer_id uuid,
    purpose text NOT NULL CONSTRAINT messages_purpose_check
        CHECK (purpose IN ('verification', 'notice', 'reply', 'test')),
    status text NOT NULL,
    language text NOT NULL,
    phone_encrypted bytea,
    text_encrypted bytea,
    not_before timestamptz,
    expires_at timestamptz NOT NULL,
    verification_id uuid,
    provider text,
    provider_message_id text,
    price bigint,
    created_at timestamptz NOT NULL
);

CREATE INDEX messages_customer_id_idx ON billing.messages (customer_id)
"""


def upgrade() -> None:
    for statement in _MESSAGES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE billing.messages")
