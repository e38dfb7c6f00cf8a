"""A person's rights: to have what is kept of them, and to be forgotten."""
