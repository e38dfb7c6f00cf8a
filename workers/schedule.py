"""What the scheduler sends, and how often: an actor that has not run for much longer is late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workers.actors import POST_DUE, POST_SCENARIOS, RUN_CAMPAIGNS, RUN_JOBS

EVERY_S: Final[Mapping[str, int]] = {
    POST_DUE: 30,
    RUN_JOBS: 30,  # only to find jobs whose worker died, or that nobody was woken for
    POST_SCENARIOS: 60,
    RUN_CAMPAIGNS: 30,
}
