"""Webhooks: events sent to subscribers, by Standard Webhooks 1.0.0.

model.py        a subscription, a delivery, the retry schedule: pure
tables.py       billing.webhook_subscriptions, _deliveries, _queues and billing.delivery_attempts
signing.py      secrets and signatures
guard.py        addresses that may be sent to
sender.py       one attempt: connect to what was checked, bounded in time and size
store.py        subscriptions and deliveries, as the API and the command line see them
queue.py        claiming what is due and writing down what became of it
dispatcher.py   events become deliveries
deliverer.py    deliveries are sent, in order per customer
running.py      both together, as a worker runs them
service.py      what an admin does with subscriptions and deliveries
schemas.py      wire types
routes.py       /v1/webhook-subscriptions and /v1/webhook-deliveries
"""
