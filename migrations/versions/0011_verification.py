"""Customers' verification by message: codes, limits, consents; merging and search."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_OLD_FLOWS = """
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
    ('transfer', 'clearing', 'available'),
    ('forgive', 'adjustment', 'debt'),
    ('forgive', 'available', 'adjustment')
"""
_NEW_FLOWS = (
    _OLD_FLOWS
    + """,
    ('transfer', 'deferred', 'clearing'),
    ('transfer', 'clearing', 'deferred'),
    ('transfer', 'clearing', 'debt')
"""
)

_CUSTOMERS = """
ALTER TABLE billing.customers
    ADD COLUMN name_tokens bigint[],
    ADD COLUMN merged_into uuid CONSTRAINT customers_merged_into_fkey
        REFERENCES billing.customers (id),
    ADD COLUMN erased_at timestamptz;

CREATE INDEX customers_name_tokens_idx ON billing.customers USING gin (name_tokens)
    WHERE name_tokens IS NOT NULL;

CREATE INDEX customers_unnamed_idx ON billing.customers (id)
    WHERE name_tokens IS NULL AND data_key IS NOT NULL;

CREATE INDEX customers_merged_into_idx ON billing.customers (merged_into)
    WHERE merged_into IS NOT NULL;

ALTER TABLE billing.customer_cards ADD COLUMN blocked_at timestamptz;

CREATE TABLE billing.customer_merges (
    id uuid NOT NULL CONSTRAINT customer_merges_pkey PRIMARY KEY,
    customer_id uuid NOT NULL CONSTRAINT customer_merges_customer_id_fkey
        REFERENCES billing.customers (id),
    into_id uuid NOT NULL CONSTRAINT customer_merges_into_id_fkey
        REFERENCES billing.customers (id),
    reason text NOT NULL,
    author text NOT NULL,
    merged_at timestamptz NOT NULL,
    undone_at timestamptz,
    undone_by text,
    CONSTRAINT customer_merges_others_check CHECK (customer_id <> into_id)
);

CREATE UNIQUE INDEX customer_merges_standing_idx ON billing.customer_merges (customer_id)
    WHERE undone_at IS NULL;

CREATE INDEX customer_merges_into_id_idx ON billing.customer_merges (into_id);

REVOKE DELETE ON billing.customer_merges FROM bonus_app
"""

_VERIFICATIONS = """
CREATE TABLE billing.verifications (
    id uuid NOT NULL CONSTRAINT verifications_pkey PRIMARY KEY,
    customer_id uuid NOT NULL CONSTRAINT verifications_customer_id_fkey
        REFERENCES billing.customers (id),
    purpose text NOT NULL CONSTRAINT verifications_purpose_check
        CHECK (purpose IN ('registration', 'redemption', 'phone_change')),
    method text NOT NULL CONSTRAINT verifications_method_check
        CHECK (method IN ('sms_code', 'sms_reply', 'provider', 'flash_call')),
    state text NOT NULL CONSTRAINT verifications_state_check
        CHECK (state IN ('open', 'confirmed', 'failed', 'superseded')),
    phone_hash bytea,
    phone_masked text NOT NULL,
    phone_encrypted bytea,
    language text NOT NULL,
    points bigint,
    code_mac bytea,
    provider_ref text,
    attempts smallint NOT NULL DEFAULT 0 CONSTRAINT verifications_attempts_check
        CHECK (attempts BETWEEN 0 AND max_attempts),
    max_attempts smallint NOT NULL,
    sends smallint NOT NULL,
    text_version text NOT NULL,
    text_encrypted bytea,
    message_id uuid,
    channel text,
    store text,
    seller text,
    author text NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    confirmed_by text
);

CREATE UNIQUE INDEX verifications_open_idx ON billing.verifications (customer_id, purpose)
    WHERE state = 'open';

CREATE INDEX verifications_phone_idx ON billing.verifications (phone_hash)
    WHERE state = 'open';

CREATE INDEX verifications_customer_id_idx ON billing.verifications (customer_id, created_at);

CREATE UNIQUE INDEX verifications_provider_ref_idx ON billing.verifications (provider_ref)
    WHERE provider_ref IS NOT NULL;

CREATE TABLE billing.verification_phones (
    phone_hash bytea NOT NULL CONSTRAINT verification_phones_pkey PRIMARY KEY,
    sends integer NOT NULL,
    last_sent_at timestamptz NOT NULL
);

CREATE TABLE billing.verification_limits (
    scope text NOT NULL,
    key bytea NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    used bigint NOT NULL,
    CONSTRAINT verification_limits_pkey PRIMARY KEY (scope, key, since)
);

CREATE INDEX verification_limits_until_idx ON billing.verification_limits (until);

CREATE TABLE billing.consents (
    id uuid NOT NULL CONSTRAINT consents_pkey PRIMARY KEY,
    customer_id uuid NOT NULL CONSTRAINT consents_customer_id_fkey
        REFERENCES billing.customers (id),
    kind text NOT NULL CONSTRAINT consents_kind_check CHECK (kind IN ('processing', 'messages')),
    action text NOT NULL CONSTRAINT consents_action_check CHECK (action IN ('given', 'withdrawn')),
    at timestamptz NOT NULL,
    method text NOT NULL CONSTRAINT consents_method_check
        CHECK (method IN ('code', 'reply', 'provider', 'api', 'inbound', 'erasure')),
    text_version text,
    text_sha256 bytea,
    text_encrypted bytea,
    language text,
    requested_at timestamptz,
    channel text,
    store text,
    seller text,
    author text,
    verification_id uuid,
    message_id uuid,
    provider_message_id text
);

CREATE INDEX consents_customer_id_kind_at_idx ON billing.consents (customer_id, kind, at);

REVOKE UPDATE, DELETE ON billing.consents FROM bonus_app;

CREATE TABLE billing.erasures (
    customer_id uuid NOT NULL CONSTRAINT erasures_pkey PRIMARY KEY,
    at timestamptz NOT NULL,
    reason text NOT NULL,
    author text NOT NULL
);

REVOKE UPDATE, DELETE ON billing.erasures FROM bonus_app
"""

_DROP = """
DROP TABLE billing.erasures, billing.consents, billing.verification_limits,
    billing.verification_phones, billing.verifications, billing.customer_merges;

ALTER TABLE billing.customer_cards DROP COLUMN blocked_at;

ALTER TABLE billing.customers DROP COLUMN name_tokens, DROP COLUMN merged_into,
    DROP COLUMN erased_at
"""


def upgrade() -> None:
    for script in (_CUSTOMERS, _VERIFICATIONS):
        for statement in script.split(";\n\n"):
            op.execute(statement)
    _flows(_NEW_FLOWS)


def downgrade() -> None:
    _flows(_OLD_FLOWS)
    for statement in _DROP.split(";\n\n"):
        op.execute(statement)


def _flows(flows: str) -> None:
    op.execute("ALTER TABLE ledger.postings DROP CONSTRAINT postings_flow_check")
    op.execute(
        "ALTER TABLE ledger.postings ADD CONSTRAINT postings_flow_check"
        f" CHECK ((kind, debit, credit) IN ({flows}))"
    )
