"""Balances of an old system, taken over lot by lot, once.

reading.py    records of a file of any size, with their lines
csvfile.py    columns, and a line's cells as a lot to be, or why not
seen.py       references met so far, on disk
model.py      a lot to be, its key, control totals
matching.py   whose lots they are: customers by id, phone, card or external id
posting.py    lots posted in groups of a thousand; posted before means posted
tables.py, store.py   imports over the API: rows wait here without anybody's phone
service.py    uploading, checking totals, asking for the job; worker.py does it
"""
