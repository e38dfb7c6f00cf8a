"""What is old is found by index and dropped in time; answers of providers that a message never
came are counted apart from the questions."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_INDEXES = {
    "messages_kept_idx": "billing.messages (finished_at) WHERE finished_at IS NOT NULL"
    " AND (phone_encrypted IS NOT NULL OR text_encrypted IS NOT NULL)",
    "message_inbound_answered_idx": "billing.message_inbound (received_at) WHERE answered",
    "sms_webhooks_kept_idx": "billing.sms_webhooks (provider, state) WHERE state <> 'done'",
}


def upgrade() -> None:
    op.execute("ALTER TABLE billing.messages ADD COLUMN missing smallint NOT NULL DEFAULT 0")
    for name, of in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {of}")


def downgrade() -> None:
    for name in _INDEXES:
        op.execute(f"DROP INDEX billing.{name}")
    op.execute("ALTER TABLE billing.messages DROP COLUMN missing")
