"""Closing months: from then on nothing is recorded that happened in them.

model.py     a month, what is sealed of it, and its digest
tables.py    billing.period_events: who closed and reopened what, append-only
store.py     the events, and the bound that writers look at
foureyes.py  reopening among all that a second person approves
service.py   closing, sealing, reopening by two people
"""
