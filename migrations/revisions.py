"""Which migrations this code knows, told without loading them: their files bear their numbers."""

from __future__ import annotations

from pathlib import Path


def revisions() -> list[str]:
    """The oldest first."""
    folder = Path(__file__).parent / "versions"
    return sorted(file.name.partition("_")[0] for file in folder.glob("[0-9]*_*.py"))
