"""Giving birthday points without anybody sending an event.

store.py     whose birthday it is, by an index on month and day
service.py   a pass over them: what each may get, posted once per customer, program and year
"""
