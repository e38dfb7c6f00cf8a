"""Events: what happened, told to whoever acts on it outside the service.

The journal itself is the outbox of points: a stream reads it in the order of commits, and a till
pays nothing for that. What the journal does not know is a row of billing.events, written in the
transaction that causes it.

schemas.py   the data of every event, as it leaves the service
model.py     an event, its stable id, its name
journal.py   transactions and postings as events, pure
tables.py    billing.events and billing.event_cursors
store.py     writing events beside what causes them
reading.py   the stream's queries, below the commit-order watermark
stream.py    a consumer's way along the stream: one at a time, its cursor moved with what it did
contract.py  events.schema.json, made from schemas.py
"""
