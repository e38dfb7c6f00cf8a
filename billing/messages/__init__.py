"""Messages to customers: what is told, in which words, when, and what became of it.

model.py      a message, its statuses and their order: pure
tables.py     billing.messages, its attempts, what customers wrote, opt-outs, templates, settings
sealing.py    phones and texts at rest
segments.py   how many SMS a text takes
wording.py    kinds of messages, their variables, filling a template: pure
defaults.py   the texts a new service has, Russian and English
templates.py  the texts in force, and their versions
settings.py   keywords, quiet hours, switches: versions, too
store.py      queries
service.py    putting a message in the queue of the caller's transaction; looking; replaying
statuses.py   what a provider says becomes the message's status, in any order
telling.py    events become messages
acts.py       what a customer's SMS may ask the rest of the service for
inbound.py    what a customer wrote, and the answer
schemas.py    wire types
routes.py     /v1/messages, /v1/message-templates, /v1/message-settings
"""
