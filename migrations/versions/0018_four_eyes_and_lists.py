"""Whose a key is; approvals that nobody rewrites; where in the journal a cell of the roll-ups lies;
lots of a place for BI."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_KEEP = """
CREATE FUNCTION billing.keep_approvals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.kind, NEW.subject, NEW.summary, NEW.content, NEW.asked_by, NEW.asked_key,
        NEW.asked_at)
       IS DISTINCT FROM
       (OLD.id, OLD.kind, OLD.subject, OLD.summary, OLD.content, OLD.asked_by, OLD.asked_key,
        OLD.asked_at) THEN
        RAISE EXCEPTION 'what was asked for in billing.approvals is not changed'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.state NOT IN ('pending', 'approved')
       OR NEW.decided_by IS NULL
       OR (OLD.state = 'approved' AND (NEW.state NOT IN ('done', 'failed')
           OR (NEW.decided_by, NEW.decided_key, NEW.decided_at, NEW.reason) IS DISTINCT FROM
              (OLD.decided_by, OLD.decided_key, OLD.decided_at, OLD.reason))) THEN
        RAISE EXCEPTION 'a decision in billing.approvals is not changed'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.state IN ('approved', 'done') AND NEW.decided_key = OLD.asked_key THEN
        RAISE EXCEPTION 'whoever asks in billing.approvals does not approve'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""

_LOTS = """
CREATE OR REPLACE VIEW bi.fact_lot AS
SELECT customer_id, id AS lot_id, bucket, program, program_version, occurred_at,
       active_from AS available_from, expires_at, amount AS amount_minor,
       (amount / 100.0)::numeric(20, 2) AS amount, available AS available_minor,
       deferred AS deferred_minor, held AS held_minor, redeemed AS redeemed_minor,
       expired AS expired_minor, revoked AS revoked_minor, open{more}
FROM ledger.lots
"""


def upgrade() -> None:
    op.execute("ALTER TABLE billing.api_keys ADD COLUMN owner text")
    op.execute(_KEEP)
    op.execute(
        "CREATE TRIGGER approvals_kept BEFORE UPDATE ON billing.approvals"
        " FOR EACH ROW EXECUTE FUNCTION billing.keep_approvals()"
    )
    op.execute(
        "CREATE TRIGGER approvals_append_only BEFORE DELETE OR TRUNCATE ON billing.approvals"
        " FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change()"
    )
    # Of cells that were summed up before nobody knows where they lie: the worker begins anew.
    op.execute("ALTER TABLE ledger.rollups ADD COLUMN first_xid bigint, ADD COLUMN last_xid bigint")
    op.execute("ALTER TABLE ledger.rollup_state ADD COLUMN placed_xid bigint")
    op.execute(_LOTS.format(more=", channel, store"))


def downgrade() -> None:
    op.execute("DROP VIEW bi.fact_lot")
    op.execute(_LOTS.format(more="").replace("CREATE OR REPLACE", "CREATE"))
    op.execute("GRANT SELECT ON bi.fact_lot TO bonus_bi")
    op.execute("ALTER TABLE ledger.rollup_state DROP COLUMN placed_xid")
    op.execute("ALTER TABLE ledger.rollups DROP COLUMN first_xid, DROP COLUMN last_xid")
    op.execute("DROP TRIGGER approvals_append_only ON billing.approvals")
    op.execute("DROP TRIGGER approvals_kept ON billing.approvals")
    op.execute("DROP FUNCTION billing.keep_approvals()")
    op.execute("ALTER TABLE billing.api_keys DROP COLUMN owner")
