"""The columns of the exported journal: a contract to which columns may only be added."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Type = Literal["uuid", "text", "integer", "time"]


class Column(msgspec.Struct, frozen=True):
    name: str
    type: Type
    source: str
    meaning: str


COLUMNS: Final = (
    Column("customer_id", "uuid", "p.customer_id", "the customer, by an opaque id"),
    Column("version", "integer", "p.version", "the transaction's place in the customer's journal"),
    Column("seq", "integer", "p.seq", "the posting's place in its transaction, from 1"),
    Column("transaction_id", "uuid", "t.id", "the transaction"),
    Column("transaction_kind", "text", "t.kind", "why it was written"),
    Column("operation_id", "uuid", "t.operation_id", "ties the two halves of a transfer"),
    Column("corrects", "uuid", "t.corrects", "the transaction it corrects"),
    Column("source", "text", "t.source", "the document it was posted for"),
    Column("author", "text", "t.author", "the name of the key that did it"),
    Column("occurred_at", "time", "p.occurred_at", "when it happened"),
    Column("recorded_at", "time", "p.recorded_at", "when it was written down"),
    Column("kind", "text", "p.kind", "what the posting does"),
    Column("debit", "text", "p.debit", "the account points leave"),
    Column("credit", "text", "p.credit", "the account they arrive in"),
    Column("amount_minor", "integer", "p.amount", "1/100 points, always positive"),
    Column("lot_id", "uuid", "p.lot_id", "the lot they belong to"),
    Column("bucket", "text", "p.bucket", "base or promo"),
    Column("available_from", "time", "p.active_from", "since when the lot can be spent"),
    Column("expires_at", "time", "p.expires_at", "when it is gone; exclusive"),
    Column("program", "text", "p.program", "the program that gave it"),
    Column("program_version", "integer", "p.program_version", "and its version"),
    Column("channel", "text", "p.channel", "where"),
    Column("store", "text", "p.store", "where"),
    Column("product_group", "text", "p.product_group", "for which goods"),
    Column("commit_order", "integer", "t.xid", "grows with the order of commits"),
)
SELECT: Final = ", ".join(f"{column.source} AS {column.name}" for column in COLUMNS)
