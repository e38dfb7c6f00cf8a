"""Work outside the request as operators see it: what waits, what is late, who works.

model.py     the report, and what of it is late
tables.py    billing.work_runs and billing.work_processes
lags.py      what may wait, and for how long it may: one query each
queues.py    the messages in Redis
store.py     queries: recording runs and processes, reading them
service.py   the report
sampling.py  the same for Prometheus, looked at every quarter of a minute
routes.py    GET /v1/work
"""
