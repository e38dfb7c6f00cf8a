"""Python's cycle collector, for processes that make many objects and no cycles."""

from __future__ import annotations

import gc


def spare_the_collector() -> None:
    """Let Python's cycle collector look at long-lived objects rarely.

    A request makes thousands of objects and hardly a cycle; by default the collector took a
    quarter of the process's time. A batch of a thousand has some 100,000 alive at once: looking
    at them took a tenth of its time, and found nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
