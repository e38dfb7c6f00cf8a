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

CREATE TABLE billing.webhook_subscriptions (
    id uuid NOT NULL CONSTRAINT webhook_subscriptions_pkey PRIMARY KEY,
    url text NOT NULL,
    events text[] NOT NULL,
    description text NOT NULL,
    state text NOT NULL DEFAULT 'active' CONSTRAINT webhook_subscriptions_state_check
        CHECK (state IN ('active', 'paused', 'disabled', 'deleted')),
    disabled_because text,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_until timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    not_before timestamptz,
    since bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE billing.webhook_deliveries (
    position bigint NOT NULL GENERATED ALWAYS AS IDENTITY
        CONSTRAINT webhook_deliveries_pkey PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT webhook_deliveries_id_key UNIQUE,
    subscription_id uuid NOT NULL CONSTRAINT webhook_deliveries_subscription_id_fkey
        REFERENCES billing.webhook_subscriptions (id),
    event_id uuid NOT NULL,
    type text NOT NULL,
    customer_id uuid NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CONSTRAINT webhook_deliveries_state_check
        CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT webhook_deliveries_subscription_id_event_id_key UNIQUE (subscription_id, event_id)
);

CREATE INDEX webhook_deliveries_turn_idx
    ON billing.webhook_deliveries (subscription_id, customer_id, position)
    WHERE state = 'pending';

CREATE INDEX webhook_deliveries_page_idx
    ON billing.webhook_deliveries (subscription_id, position);

CREATE INDEX webhook_deliveries_pending_idx ON billing.webhook_deliveries (position)
    WHERE state = 'pending';

CREATE INDEX webhook_deliveries_dead_idx ON billing.webhook_deliveries (position)
    WHERE state = 'dead';

CREATE INDEX webhook_deliveries_finished_at_idx ON billing.webhook_deliveries (finished_at);

CREATE TABLE billing.webhook_queues (
    subscription_id uuid NOT NULL CONSTRAINT webhook_queues_subscription_id_fkey
        REFERENCES billing.webhook_subscriptions (id),
    customer_id uuid NOT NULL,
    next_at timestamptz NOT NULL,
    lease uuid,
    leased_until timestamptz,
    CONSTRAINT webhook_queues_pkey PRIMARY KEY (subscription_id, customer_id)
);

CREATE INDEX webhook_queues_next_at_idx ON billing.webhook_queues (subscription_id, next_at);

CREATE INDEX webhook_queues_leased_until_idx
    ON billing.webhook_queues (subscription_id, leased_until) WHERE lease IS NOT NULL;

CREATE TABLE billing.delivery_attempts (
    id uuid NOT NULL CONSTRAINT delivery_attempts_pkey PRIMARY KEY,
    delivery_id uuid NOT NULL CONSTRAINT delivery_attempts_delivery_id_fkey
        REFERENCES billing.webhook_deliveries (id) ON DELETE CASCADE,
    at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status integer,
    error text,
    answer text
);

CREATE INDEX delivery_attempts_delivery_id_idx ON billing.delivery_attempts (delivery_id);

REVOKE UPDATE, DELETE, TRUNCATE ON billing.events FROM bonus_app;

REVOKE UPDATE, TRUNCATE ON billing.delivery_attempts FROM bonus_app;

REVOKE DELETE, TRUNCATE ON billing.event_cursors FROM bonus_app
"""

_DROP = """
DROP TABLE billing.delivery_attempts, billing.webhook_queues, billing.webhook_deliveries,
    billing.webhook_subscriptions;

DROP TABLE billing.event_cursors, billing.events;

DROP INDEX ledger.transactions_xid_idx
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
