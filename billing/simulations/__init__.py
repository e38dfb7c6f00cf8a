"""What a draft would have cost: programs calculated over posted receipts, without any writing.

model.py      what is added up: points beside points, by place and by goods, customers, examples
store.py      reading the receipts of a period in the order they happened
history.py    from a stored receipt to what programs calculate with, and what it did earn
simulator.py  the work of the job
service.py    asking for a simulation
"""
