"""Confirming that a phone is the customer's: codes by message, replies, providers' own checks."""
