"""Lots and holds know where they were made, so that what time does to them has a place; where in
the journal a period lies is found by an index."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("lots", "holds"):
        op.execute(f"ALTER TABLE ledger.{table} ADD COLUMN channel text, ADD COLUMN store text")
    op.execute(
        "CREATE INDEX transactions_occurred_at_idx ON ledger.transactions USING brin (occurred_at)"
    )
    op.execute(
        """
        UPDATE ledger.lots AS l SET channel = first.channel, store = first.store
        FROM (SELECT DISTINCT ON (customer_id, lot_id) customer_id, lot_id, channel, store
              FROM ledger.postings ORDER BY customer_id, lot_id, version, seq) AS first
        WHERE first.customer_id = l.customer_id AND first.lot_id = l.id
          AND (first.channel IS NOT NULL OR first.store IS NOT NULL)
        """
    )
    op.execute(
        """
        UPDATE ledger.holds AS h SET channel = t.channel, store = t.store
        FROM ledger.transactions t
        WHERE t.customer_id = h.customer_id AND t.id = h.id
          AND (t.channel IS NOT NULL OR t.store IS NOT NULL)
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX ledger.transactions_occurred_at_idx")
    for table in ("lots", "holds"):
        op.execute(f"ALTER TABLE ledger.{table} DROP COLUMN channel, DROP COLUMN store")
