"""Deferred revenue of points (IFRS 15, ASC 606): policies with history, a journal a month.

model.py     policies, cohorts and the arithmetic: allocation, recognition, breakage. Pure
tables.py    billing.revenue_policies and billing.revenue_journals, append-only
store.py     policies, frozen journals, and what the ledger and the receipts say of cohorts
service.py   the journal of a month: calculated, or frozen once the month is closed
"""
