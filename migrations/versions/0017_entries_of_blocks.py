"""Blocks of seals hold their rows as bytes, both chains begin anew; one look at added postings.

The chains of this form were in no release: what they have is sealed again by the next run of the
sealer, from the journal. Checkpoints of the old blocks say nothing of the new ones.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_SEALS = """
DROP TABLE ledger.seals;

CREATE TABLE ledger.seals (
    chain text NOT NULL CONSTRAINT seals_chain_check CHECK (chain IN ('journal', 'answers')),
    number bigint NOT NULL CONSTRAINT seals_number_check CHECK (number > 0),
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    until_xid bigint NOT NULL,
    {columns},
    PRIMARY KEY (chain, number)
);

ALTER TABLE ledger.seals ALTER COLUMN {external} SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX seals_until_key ON ledger.seals (chain, until_xid, until_key);

CREATE TRIGGER seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.seals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

GRANT SELECT, INSERT ON ledger.seals TO bonus_app;

ALTER TABLE ledger.checkpoints DISABLE TRIGGER checkpoints_append_only;

DELETE FROM ledger.checkpoints;

ALTER TABLE ledger.checkpoints ENABLE TRIGGER checkpoints_append_only
"""
_NEW = "until_key bytea NOT NULL, entries bytea NOT NULL"
_OLD = 'until_key text COLLATE "C" NOT NULL, names text[] NOT NULL, digests bytea NOT NULL'

_REFUSE = """
CREATE OR REPLACE FUNCTION ledger.refuse_orphans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
{body}
    RETURN NULL;
END $$
"""
_ORPHANS = """EXISTS (SELECT FROM added a WHERE NOT EXISTS (
        SELECT FROM ledger.transactions t
        WHERE t.customer_id = a.customer_id AND t.version = a.version))"""
_CLOSED = """EXISTS (SELECT FROM added a
        WHERE a.occurred_at < (SELECT c.closed_until FROM ledger.closing c))"""
_RAISE_ORPHANS = """        RAISE EXCEPTION 'a posting of ledger.postings has no transaction'
            USING ERRCODE = 'foreign_key_violation';"""
_RAISE_CLOSED = """        RAISE EXCEPTION 'a posting of ledger.postings falls into a closed period'
            USING ERRCODE = 'serialization_failure';"""

# What is all right, as nearly always, is told by one query instead of two.
_ONE_LOOK = f"""
    IF {_ORPHANS} OR {_CLOSED} THEN
        IF {_ORPHANS} THEN
    {_RAISE_ORPHANS}
        END IF;
    {_RAISE_CLOSED}
    END IF;"""
_TWO_LOOKS = f"""
    IF {_ORPHANS} THEN
{_RAISE_ORPHANS}
    END IF;
    IF {_CLOSED} THEN
{_RAISE_CLOSED}
    END IF;"""


def upgrade() -> None:
    _begin_anew(_NEW, "entries")
    op.execute(_REFUSE.format(body=_ONE_LOOK))


def downgrade() -> None:
    op.execute(_REFUSE.format(body=_TWO_LOOKS))
    _begin_anew(_OLD, "digests")


def _begin_anew(columns: str, external: str) -> None:
    for statement in _SEALS.format(columns=columns, external=external).split(";\n\n"):
        op.execute(statement)
