"""Events and their delivery."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = """
SELECT 1
"""

_DROP = """
SELECT 1
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
