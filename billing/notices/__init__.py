"""Telling customers that points will expire: an event N days before, once a customer and day.

model.py     what a customer will lose on a day, by the ledger's own rules
tables.py    billing.notices, and billing.notice_runs: how far each day's notices are
store.py     finding open lots by their expiry, and writing what was told
service.py   the daily walk, in steps that can be killed
"""
