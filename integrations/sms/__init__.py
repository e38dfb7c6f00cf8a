"""SMS: providers behind one protocol, sending what is queued, and hearing what they say.

protocol.py       what a provider can be asked, and what it may answer
wire.py           HTTP to providers: checked addresses, and whether a request may have arrived
forms.py          bodies of webhooks: forms and JSON, decimals of prices
smsc.py           SMSC.ru
smsru.py          SMS.ru, with flash calls and its call check
exolve.py         MTS Exolve
twilio.py         Twilio
twilio_verify.py  Twilio Verify: codes that the provider makes and checks
generic.py        any other provider with HTTP, by templates
generic_settings.py  what describes it
console.py        development: a file in place of telephones
gateway.py        checks of phones, as verifications ask for them
registry.py       all kinds, their settings and secrets
tables.py         billing.sms_providers and billing.sms_webhooks
vault.py          secrets and raw webhooks at rest
store.py          providers, as the API sees them
fleet.py          the providers in force, ready to be asked
slots.py          how many messages each provider may take now
queue.py          claiming what is due
settling.py       what became of attempts, and what follows
sender.py         sending: priorities, fail-over, limits
inquiry.py        asking what became of what is unknown or unreported
webhooks.py       taking a webhook in: token, signature, at once
reports.py        working on what was taken in
running.py        all of it, as a worker runs it
service.py        what an admin does with providers
schemas.py        wire types
routes.py         /v1/sms-providers, /v1/sms-webhooks, /v1/webhooks/sms
"""
