"""Messages to customers: queued with what causes them, sent by workers."""
