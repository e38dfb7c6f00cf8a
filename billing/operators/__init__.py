"""What operators do, written down before they do it, and what came of it. Append-only."""
