"""Messages to customers, and the providers of SMS that carry them."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Numbers begin with the time: a provider must not take a message of this database for one of a
# database before it.
_TABLES = """
CREATE TABLE billing.messages (
    id uuid NOT NULL CONSTRAINT messages_pkey PRIMARY KEY,
    channel text NOT NULL DEFAULT 'sms'
        CONSTRAINT messages_channel_check CHECK (channel IN ('sms')),
    customer_id uuid,
    phone_hash bytea NOT NULL,
    phone_masked text NOT NULL,
    phone_encrypted bytea,
    text_encrypted bytea,
    purpose text NOT NULL CONSTRAINT messages_purpose_check
        CHECK (purpose IN ('verification', 'notice', 'reply', 'test')),
    kind text,
    language text NOT NULL,
    verification_id uuid,
    cause uuid CONSTRAINT messages_cause_key UNIQUE,
    zone text,
    via text,
    urgency smallint NOT NULL,
    status text NOT NULL DEFAULT 'queued' CONSTRAINT messages_status_check
        CHECK (status IN ('queued', 'unknown', 'accepted', 'sent', 'expired', 'failed',
                          'delivered')),
    status_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    not_before timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    lease uuid,
    leased_until timestamptz,
    tried text[] NOT NULL DEFAULT '{}',
    rounds smallint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    attempt_id uuid,
    provider text,
    provider_message_id text,
    segments smallint NOT NULL,
    price numeric(14, 5),
    currency text,
    error text,
    ask_at timestamptz,
    asked smallint NOT NULL DEFAULT 0,
    dead boolean NOT NULL DEFAULT false,
    finished_at timestamptz
);

CREATE INDEX messages_turn_idx ON billing.messages (urgency, next_at) WHERE status = 'queued';

CREATE INDEX messages_expires_at_idx ON billing.messages (expires_at) WHERE status = 'queued';

CREATE INDEX messages_ask_at_idx ON billing.messages (ask_at) WHERE ask_at IS NOT NULL;

CREATE INDEX messages_leased_until_idx ON billing.messages (leased_until)
    WHERE leased_until IS NOT NULL;

CREATE INDEX messages_customer_id_idx ON billing.messages (customer_id, id);

CREATE INDEX messages_phone_hash_idx ON billing.messages (phone_hash);

CREATE INDEX messages_dead_idx ON billing.messages (id) WHERE dead;

CREATE INDEX messages_finished_at_idx ON billing.messages (finished_at);

CREATE SEQUENCE billing.message_numbers MAXVALUE 2147483647 CYCLE;

SELECT setval('billing.message_numbers', extract(epoch FROM now())::bigint % 2147483647 + 1);

CREATE TABLE billing.message_attempts (
    id uuid NOT NULL CONSTRAINT message_attempts_pkey PRIMARY KEY,
    message_id uuid NOT NULL CONSTRAINT message_attempts_message_id_fkey
        REFERENCES billing.messages (id) ON DELETE CASCADE,
    provider text NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    finished_at timestamptz,
    outcome text CONSTRAINT message_attempts_outcome_check
        CHECK (outcome IN ('accepted', 'rejected', 'refused', 'unknown', 'lost')),
    code text,
    detail text,
    provider_message_id text
);

CREATE INDEX message_attempts_message_id_idx ON billing.message_attempts (message_id);

CREATE INDEX message_attempts_provider_message_id_idx
    ON billing.message_attempts (provider, provider_message_id)
    WHERE provider_message_id IS NOT NULL;

CREATE INDEX message_attempts_failed_idx ON billing.message_attempts (provider, at)
    WHERE outcome IN ('rejected', 'refused', 'unknown', 'lost');

CREATE TABLE billing.message_inbound (
    id uuid NOT NULL CONSTRAINT message_inbound_pkey PRIMARY KEY,
    provider text NOT NULL,
    provider_message_id text NOT NULL,
    phone_hash bytea NOT NULL,
    phone_masked text NOT NULL,
    command text NOT NULL,
    outcome text NOT NULL,
    answered boolean NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT message_inbound_provider_provider_message_id_key
        UNIQUE (provider, provider_message_id)
);

CREATE INDEX message_inbound_phone_hash_idx ON billing.message_inbound (phone_hash, received_at);

CREATE INDEX message_inbound_received_at_idx ON billing.message_inbound (received_at);

CREATE TABLE billing.message_opt_outs (
    phone_hash bytea NOT NULL CONSTRAINT message_opt_outs_pkey PRIMARY KEY,
    since timestamptz NOT NULL,
    via text NOT NULL
);

CREATE TABLE billing.message_templates (
    kind text NOT NULL,
    language text NOT NULL,
    version integer NOT NULL
        CONSTRAINT message_templates_version_check CHECK (version > 0),
    text text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT message_templates_pkey PRIMARY KEY (kind, language, version)
);

CREATE TABLE billing.message_settings (
    version integer NOT NULL CONSTRAINT message_settings_pkey PRIMARY KEY,
    settings jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE billing.sms_providers (
    code text NOT NULL CONSTRAINT sms_providers_pkey PRIMARY KEY,
    kind text NOT NULL,
    state text NOT NULL
        CONSTRAINT sms_providers_state_check CHECK (state IN ('active', 'paused')),
    priority smallint NOT NULL,
    rate_per_minute integer NOT NULL
        CONSTRAINT sms_providers_rate_per_minute_check CHECK (rate_per_minute > 0),
    settings jsonb NOT NULL,
    secrets bytea NOT NULL,
    token bytea NOT NULL,
    version integer NOT NULL,
    next_slot_at timestamptz NOT NULL DEFAULT 'epoch',
    not_before timestamptz,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    last_error_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE billing.sms_webhooks (
    position bigint NOT NULL GENERATED ALWAYS AS IDENTITY
        CONSTRAINT sms_webhooks_pkey PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT sms_webhooks_id_key UNIQUE,
    provider text NOT NULL,
    digest bytea NOT NULL,
    signed boolean NOT NULL,
    content bytea,
    state text NOT NULL DEFAULT 'pending' CONSTRAINT sms_webhooks_state_check
        CHECK (state IN ('pending', 'done', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    received_at timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    finished_at timestamptz,
    result text,
    CONSTRAINT sms_webhooks_provider_digest_key UNIQUE (provider, digest)
);

CREATE INDEX sms_webhooks_next_at_idx ON billing.sms_webhooks (next_at)
    WHERE state = 'pending';

CREATE INDEX sms_webhooks_dead_idx ON billing.sms_webhooks (position) WHERE state = 'dead';

CREATE INDEX sms_webhooks_received_at_idx ON billing.sms_webhooks (received_at)
"""

_DROP = """
DROP TABLE billing.sms_webhooks, billing.sms_providers, billing.message_settings,
    billing.message_templates, billing.message_opt_outs, billing.message_inbound,
    billing.message_attempts, billing.messages;

DROP SEQUENCE billing.message_numbers
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n\n"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)
