"""All tables there are: importing a feature's `tables` module registers them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

import billing
from billing.common.tables import metadata as billing_tables
from ledger.tables import metadata as ledger_tables

SCHEMAS = ("ledger", "billing")
TARGETS = [ledger_tables, billing_tables]

for feature in pkgutil.iter_modules(billing.__path__):
    tables = f"billing.{feature.name}.tables"
    if feature.ispkg and importlib.util.find_spec(tables):
        importlib.import_module(tables)
