"""All tables there are: importing a feature's `tables` module registers them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

import billing
import integrations
from billing.common.tables import metadata as billing_tables
from ledger.tables import metadata as ledger_tables

SCHEMAS = ("ledger", "billing")
TARGETS = [ledger_tables, billing_tables]

for package in (billing, integrations):
    for feature in pkgutil.iter_modules(package.__path__):
        tables = f"{package.__name__}.{feature.name}.tables"
        if feature.ispkg and importlib.util.find_spec(tables):
            importlib.import_module(tables)
