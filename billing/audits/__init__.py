"""Proof that nobody touched the ledger: audits, and signed checkpoints of its seals.

model.py        what an audit of the whole house saw
checks.py       what billing adds to the ledger's own audit
signing.py      the key that signs checkpoints
checkpoints.py  heads of the chains, signed, kept in the database, told as events, put into a file
tables.py, store.py   audits that are kept
service.py      running an audit and keeping its report; sealing
sampling.py     the last audit and the seals as metrics
"""
