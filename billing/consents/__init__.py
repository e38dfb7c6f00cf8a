"""What customers have agreed to, word for word, and what they took back."""
