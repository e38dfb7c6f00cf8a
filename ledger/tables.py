"""The ledger's tables, in the PostgreSQL schema `ledger`.

Truth, append-only: `transactions`, `postings`, `idempotency_keys`, `sources`. Projections, that
`ledger.rebuild` can make anew: `balances`, `lots`, `holds`. `seals` and `checkpoints` prove the
truth. Customers whom a sweep could not bring up to date wait in `set_aside`. Every table of the
hot path has `customer_id`, but for the bound of closed periods (`closing`); `rollups` are the sums
of reports.

A trigger, not a foreign key, sees to it that each posting has its transaction: asked once a
statement, it costs less than half of what a foreign key does.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from ledger.flows import BUCKETS, FLOWS, TRANSACTION_KINDS

metadata = MetaData(schema="ledger")

_TIME = DateTime(timezone=True)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


_XID = text("((pg_current_xact_id())::text)::bigint")
"""Who reads the journal as a stream reads up to `ledger.horizon()` only: commit-order watermark."""

_FLOW_CHECK = "(kind, debit, credit) IN (" + ", ".join(repr(flow) for flow in FLOWS) + ")"

transactions = Table(
    "transactions",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Uuid, nullable=False),
    Column("operation_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("occurred_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False),
    Column("available_after", BigInteger, nullable=False),
    Column("promo_after", BigInteger, nullable=False),
    Column("deferred_after", BigInteger, nullable=False),
    Column("held_after", BigInteger, nullable=False),
    Column("debt_after", BigInteger, nullable=False),
    Column("corrects", Uuid),
    Column("hold_id", Uuid),
    Column("hold_expires_at", _TIME),
    Column("source", Text),
    Column("channel", Text),
    Column("store", Text),
    Column("author", Text),
    Column("reason", Text),
    Column("xid", BigInteger, nullable=False, server_default=_XID),
    CheckConstraint("version > 0", name="transactions_version_check"),
    CheckConstraint(_one_of("kind", TRANSACTION_KINDS), name="transactions_kind_check"),
    CheckConstraint(
        "available_after >= 0 AND promo_after >= 0 AND promo_after <= available_after"
        " AND deferred_after >= 0 AND held_after >= 0 AND debt_after >= 0",
        name="transactions_after_check",
    ),
    Index("transactions_id_key", "id", "customer_id", unique=True),
    Index("transactions_xid_idx", "xid"),
    Index("transactions_occurred_at_idx", "occurred_at", postgresql_using="brin"),
    Index(
        "transactions_corrects_idx",
        "customer_id",
        "corrects",
        postgresql_where=text("corrects IS NOT NULL"),
    ),
    Index(
        "transactions_reversal_key",
        "customer_id",
        "corrects",
        unique=True,
        postgresql_where=text("kind = 'reversal'"),
    ),
)

postings = Table(
    "postings",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("lot_id", Uuid, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("active_from", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("program", Text),
    Column("program_version", Integer),
    Column("channel", Text),
    Column("store", Text),
    Column("product_group", Text),
    Column("occurred_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False),
    CheckConstraint("amount > 0", name="postings_amount_check"),
    CheckConstraint(_one_of("bucket", BUCKETS), name="postings_bucket_check"),
    CheckConstraint(_FLOW_CHECK, name="postings_flow_check"),
    Index("postings_recorded_at_idx", "recorded_at", postgresql_using="brin"),
    # Debts are no lot's: what is left of them is added up from these few.
    Index(
        "postings_debt_idx",
        "customer_id",
        postgresql_where=text("debit = 'debt' OR credit = 'debt'"),
    ),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("customer_id", Uuid),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("recorded_at", _TIME, nullable=False),
    Column("xid", BigInteger, nullable=False, server_default=_XID),
    Index("idempotency_keys_xid_idx", "xid"),
)

sources = Table(
    "sources",
    metadata,
    Column("source", Text, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("transaction_id", Uuid, nullable=False),
)

balances = Table(
    "balances",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("promo", BigInteger, nullable=False),
    Column("deferred", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("debt", BigInteger, nullable=False),
    Column("next_due", _TIME),
    Column("recorded_at", _TIME),
    CheckConstraint(
        "available >= 0 AND promo >= 0 AND promo <= available"
        " AND deferred >= 0 AND held >= 0 AND debt >= 0",
        name="balances_bucket_check",
    ),
    Index("balances_next_due_idx", "next_due", postgresql_where=text("next_due IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
)

lots = Table(
    "lots",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("bucket", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("active_from", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("program", Text),
    Column("program_version", Integer),
    Column("occurred_at", _TIME, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("deferred", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("redeemed", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=False),
    Column("owed", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),
    Column("forgiven", BigInteger, nullable=False, server_default=text("0")),
    Column("channel", Text),
    Column("store", Text),
    Column("open", Boolean, nullable=False),
    CheckConstraint(
        "available >= 0 AND deferred >= 0 AND held >= 0 AND redeemed >= 0 AND owed >= 0"
        " AND revoked >= 0 AND revoked <= amount"
        " AND available + deferred + held + redeemed <= amount"
        " AND open = (available + deferred + held > 0)",
        name="lots_bucket_check",
    ),
    CheckConstraint("forgiven >= 0", name="lots_forgiven_check"),
    Index("lots_open_idx", "customer_id", postgresql_where=text("open")),
    Index("lots_deferred_idx", "customer_id", postgresql_where=text("deferred > 0")),
    Index(
        "lots_expires_at_idx",
        "expires_at",
        "customer_id",
        postgresql_where=text("open AND expires_at IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "85"},
)

holds = Table(
    "holds",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("status", Text, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("lots", ARRAY(Uuid), nullable=False),
    Column("amounts", ARRAY(BigInteger), nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("channel", Text),
    Column("store", Text),
    CheckConstraint(
        _one_of("status", ("open", "captured", "released", "expired")),
        name="holds_status_check",
    ),
    Index("holds_open_idx", "customer_id", postgresql_where=text("status = 'open'")),
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("since", _TIME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("again_at", _TIME, nullable=False),
    Column("error", Text, nullable=False),
)

rollups = Table(
    "rollups",
    metadata,
    # Days of the zone that `rollup_state` names.
    Column("occurred_day", Date, nullable=False),
    Column("recorded_day", Date, nullable=False),
    Column("kind", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("channel", Text),
    Column("store", Text),
    Column("product_group", Text),
    Column("program", Text),
    Column("program_version", Integer),
    Column("bucket", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    # Where in the journal its postings lie; to be relied on where `placed_xid` says so.
    Column("first_xid", BigInteger),
    Column("last_xid", BigInteger),
    Index(
        "rollups_cell_key",
        *("occurred_day", "recorded_day", "kind", "debit", "credit", "channel", "store"),
        *("product_group", "program", "program_version", "bucket"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    postgresql_with={"fillfactor": "80"},
)

rollup_state = Table(
    "rollup_state",
    metadata,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    # Every transaction below it is in the sums, none above.
    Column("xid", BigInteger, nullable=False),
    Column("zone", Text),
    Column("moved_at", _TIME),
    # As `xid` when whoever wrote the sums also wrote where they lie.
    Column("placed_xid", BigInteger),
    CheckConstraint("one = 1", name="rollup_state_one_check"),
)

closing = Table(
    "closing",
    metadata,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    # Nothing is recorded any more that happened before.
    Column("closed_until", _TIME, nullable=False),
    Column("late", Text, nullable=False),
    Column("xid", BigInteger, nullable=False, server_default=_XID),
    CheckConstraint("one = 1", name="closing_one_check"),
    CheckConstraint(_one_of("late", ("refuse", "post")), name="closing_late_check"),
)

FOR_REPORTS = (rollups, rollup_state, closing)

seals = Table(
    "seals",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("sealed_at", _TIME, nullable=False),
    Column("until_xid", BigInteger, nullable=False),
    Column("until_key", LargeBinary, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    CheckConstraint(_one_of("chain", ("journal", "answers")), name="seals_chain_check"),
    CheckConstraint("number > 0", name="seals_number_check"),
    Index("seals_until_key", "chain", "until_xid", "until_key", unique=True),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", _TIME, nullable=False),
    Column("document", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
)

APPEND_ONLY = (transactions, postings, idempotency_keys, sources, seals, checkpoints)
