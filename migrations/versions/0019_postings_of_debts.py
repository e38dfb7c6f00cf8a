"""The few postings of debts, for the ageing of what is owed now."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX postings_debt_idx ON ledger.postings (customer_id)"
        " WHERE debit = 'debt' OR credit = 'debt'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ledger.postings_debt_idx")
