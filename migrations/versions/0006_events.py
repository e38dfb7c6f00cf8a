"""Events and their delivery."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The journal is read as a stream in the order of xid. A b-tree, though the journal grows in that
# order and a BRIN would be smaller: the stream asks for the next thousand rows after a place that
# is nearly always the last page, every second, in order; a BRIN would read and sort whole ranges
# of blocks each time, and knows nothing of those not summarised yet, the newest. All transactions
# of a group share one xid, which the b-tree keeps once: six bytes an entry, always at its end.
_TABLES = """
CREATE INDEX transactions_xid_idx ON ledger.transactions (xid);

CREATE TABLE billing.events (
    id uuid NOT NULL CONSTRAINT events_pkey PRIMARY KEY,
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    type text NOT NULL,
    customer_id uuid,
    occurred_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint
);

CREATE INDEX events_xid_idx ON billing.events (xid);

CREATE TABLE billing.event_cursors (
    consumer text NOT NULL CONSTRAINT event_cursors_pkey PRIMARY KEY,
    xid bigint NOT NULL,
    moved_at timestamptz NOT NULL
);

REVOKE UPDATE, DELETE, TRUNCATE ON billing.events FROM bonus_app;

REVOKE DELETE, TRUNCATE ON billing.event_cursors FROM bonus_app
"""

_DROP = """
DROP TABLE billing.event_cursors, billing.events;

DROP INDEX ledger.transactions_xid_idx
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
