"""What a draft would have cost: programs calculated over posted receipts, without any writing.

model.py      what is asked for, and what is added up
drafts.py     which versions can be simulated
store.py      reading the receipts of a period in the order they happened
history.py    from a stored receipt to what programs calculate with, and what it did earn
counted.py    the limits of programs within a simulation
tally.py      adding up: by place and by goods, customers who win or lose, examples
simulator.py  the work of the job
report.py     its result
service.py    asking for a simulation
"""
