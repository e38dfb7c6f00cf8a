"""The contract with consumers: a JSON Schema of every event, checked in as events.schema.json.

python -m billing.events.contract > events.schema.json
"""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from typing import Any

import msgspec

from billing.events.schemas import DATA, Time

_REFERENCE = "#/$defs/{name}"


def event_schema() -> dict[str, Any]:
    """The schema of an event as it is sent: one of the types, each with its data."""
    shapes, definitions = msgspec.json.schema_components(
        [*DATA.values(), Time], ref_template=_REFERENCE
    )
    for definition in definitions.values():
        definition["description"] = cleandoc(definition["description"])
    instant = shapes[-1]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of the bonus-points ledger",
        "oneOf": [
            {
                "title": kind,
                "description": definitions[data.__name__].pop("description"),
                "type": "object",
                "properties": {"type": {"const": kind}, "timestamp": instant, "data": shape},
                "required": ["type", "timestamp", "data"],
            }
            for (kind, data), shape in zip(DATA.items(), shapes[:-1], strict=True)
        ],
        "$defs": definitions,
    }


def document() -> str:
    """events.schema.json, as it is checked in."""
    return json.dumps(event_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
