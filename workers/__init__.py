"""Work outside the request. PostgreSQL holds what there is to do; Redis only wakes workers up.

broker.py     the queue: Redis, and an explicit list of middleware
names.py      the actors' names
actors.py     what workers do, each naming one function of the layers below
ledger.py     the ledger a worker process keeps open
webhooks.py   telling events to subscribers
messages.py   carrying messages to customers and back
upkeep.py     notices of expiry, birthdays, forgetting
runs.py       every run of every actor, written down
presence.py   how processes show themselves to operators
jobs.py       the kinds of jobs, and what their work needs
campaigns.py  what running campaigns needs
scenarios.py  what posting scenarios needs besides
waking.py     how other processes wake a worker
worker.py     a worker process
schedule.py   what it sends, and how often
scheduler.py  the process that sends, one at a time by an advisory lock
redis.py      connections that do not hang, and one remark when Redis goes or comes
"""
