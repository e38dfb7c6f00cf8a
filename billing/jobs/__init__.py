"""Long work that somebody asks for and fetches later.

model.py     a job, and what the work of one kind looks like
tables.py    billing.jobs: the queue, the progress and the results
store.py     claiming, beating, ending: whoever holds a job is fenced by when it began
service.py   asking for a job, reading it, cancelling it
runner.py    the worker's side: one job of a kind at a time, taken over when its worker dies
"""
