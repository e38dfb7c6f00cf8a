"""Four eyes: what one person asks for, and another one approves.

model.py      an approval, and the protocol of what may be approved
people.py     who is the same person as who asked, whatever the key
tables.py     billing.approvals
store.py      queries; other features write theirs in their own transaction
service.py    asking, approving, rejecting; what was approved is carried out once

A feature that wants four eyes implements `Approvable`, registers it with `Approvals`, and asks by
`Approvals.ask` (or `store.ask` in its own transaction). What it does on approval may run again, so
it does it under a key of the approval: `key_of`.
"""
