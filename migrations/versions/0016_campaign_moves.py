"""When a run of a campaign last moved, so that one that nobody goes on with is seen to be late; and
how much a campaign that one person started may give."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE billing.campaign_runs ADD COLUMN moved_at timestamptz")
    op.execute("ALTER TABLE billing.campaigns ADD COLUMN allowance bigint")


def downgrade() -> None:
    op.execute("ALTER TABLE billing.campaigns DROP COLUMN allowance")
    op.execute("ALTER TABLE billing.campaign_runs DROP COLUMN moved_at")
