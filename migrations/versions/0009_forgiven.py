"""What was forgiven of a revocation stands on its lot, and on postings of their own kind."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OLD = """
    ('accrue', 'issued', 'available'),
    ('accrue', 'issued', 'deferred'),
    ('accrue', 'issued', 'debt'),
    ('activate', 'deferred', 'available'),
    ('redeem', 'available', 'redeemed'),
    ('hold', 'available', 'held'),
    ('capture', 'held', 'redeemed'),
    ('release', 'held', 'available'),
    ('expire', 'available', 'expired'),
    ('revoke', 'deferred', 'issued'),
    ('revoke', 'available', 'issued'),
    ('revoke', 'debt', 'issued'),
    ('restore', 'redeemed', 'available'),
    ('settle', 'available', 'debt'),
    ('adjust', 'adjustment', 'available'),
    ('adjust', 'adjustment', 'deferred'),
    ('adjust', 'available', 'adjustment'),
    ('adjust', 'deferred', 'adjustment'),
    ('transfer', 'available', 'clearing'),
    ('transfer', 'clearing', 'available')
"""
_NEW = (
    _OLD
    + """,
    ('forgive', 'adjustment', 'debt'),
    ('forgive', 'available', 'adjustment')
"""
)


def upgrade() -> None:
    op.execute(
        "ALTER TABLE ledger.lots ADD COLUMN forgiven bigint NOT NULL DEFAULT 0"
        " CONSTRAINT lots_forgiven_check CHECK (forgiven >= 0)"
    )
    _flows(_NEW)


def downgrade() -> None:
    _flows(_OLD)
    op.execute("ALTER TABLE ledger.lots DROP COLUMN forgiven")


def _flows(flows: str) -> None:
    op.execute("ALTER TABLE ledger.postings DROP CONSTRAINT postings_flow_check")
    op.execute(
        "ALTER TABLE ledger.postings ADD CONSTRAINT postings_flow_check"
        f" CHECK ((kind, debit, credit) IN ({flows}))"
    )
