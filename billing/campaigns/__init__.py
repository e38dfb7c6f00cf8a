"""Campaigns: points for many customers at a time, once or by a calendar.

schemas.py     campaigns, lists, previews and runs on the wire
model.py       a campaign and its runs, and what may become of them
definition.py  from what a marketer wrote to what runs, or what is wrong with it
rrule.py       the RFC 5545 rules that are taken
schedule.py    when a campaign runs: by a rule and the chain's clocks
wallclock.py   wall clocks and moments
programs.py    the program a campaign may name
naming.py      whether what a condition names exists
tables.py      campaigns, lists, runs, customers set aside
store.py       their queries
service.py     what people do with campaigns
approval.py    when a second person is needed
upload.py      the list of a campaign
views.py       campaigns and runs as they are told
routes.py      the same over HTTP
crowd.py       the customers a campaign may be for, as a stream
audience.py    who of them is meant, and who may get points
gifts.py       what is given: points, or what a program calculates
budget.py      a counter of the house that a campaign keeps within
giving.py      giving to a chunk of customers, and counting what became of each
work.py        one run at work
beginning.py   beginning what is due
ending.py      ending a run
runs.py        the worker's side: any number side by side, killed at any moment
preview.py     how many and how much, before anything is given
"""
