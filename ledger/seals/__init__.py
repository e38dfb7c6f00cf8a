"""Seals: the committed journal chained in blocks, so that no change of the past goes unseen.

model.py      a block, its hash, and where a row stands
canonical.py  what is sealed of a row
streams.py    the two chains, and the rows of each in the order of commits
store.py      blocks and checkpoints in the database
sealing.py    the writer: what is committed becomes blocks
verifying.py  the reader: blocks and rows compared, what differs is named
comparing.py  whether a whole chain and its rows agree, whatever their order
tally.py      … by a keyed sum of each
exporting.py  chain and rows as lines for somebody else's verifier
era.py        the order of commits across a restore into another server
"""
