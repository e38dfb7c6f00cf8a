"""The few postings of debts, for the ageing of what is owed now."""

from alembic import op

from migrations.runner import LOCK_TIMEOUT

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_BESIDE_THE_TILLS = f"""
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS ledger.postings_debt_idx;
CREATE INDEX CONCURRENTLY postings_debt_idx ON ledger.postings (customer_id)
    WHERE debit = 'debt' OR credit = 'debt';
SET lock_timeout = '{LOCK_TIMEOUT}'
"""
"""Tills post while all postings are read, and nobody waits for it; it waits for who reads longer
than the lock timeout. One that was broken off has left an index that is of no use."""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for statement in _BESIDE_THE_TILLS.split(";"):
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX ledger.postings_debt_idx")
