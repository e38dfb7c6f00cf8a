"""The roles and the database of a new cluster. Safe to run on every start.

postgres    superuser, for this script only
bonus       owns the database and its schemas; migrations and audits
bonus_api   what the service logs in as
bonus_app   what it then acts as: may not change the journal (migration 0001)
bonus_bi    what a BI tool logs in as: reads the views of the schema `bi`, nothing else
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from billing.common.embedded.process import EmbeddedError

OWNER = "bonus"
API = "bonus_api"
DATABASE = "bonus"

ROLES = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bonus') THEN
        CREATE ROLE bonus LOGIN CREATEROLE;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bonus_api') THEN
        CREATE ROLE bonus_api LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bonus_app') THEN
        CREATE ROLE bonus_app NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bonus_bi') THEN
        CREATE ROLE bonus_bi LOGIN;
    END IF;
END $$;
GRANT bonus_app TO bonus_api;
GRANT bonus_app TO bonus WITH ADMIN OPTION;
ALTER ROLE bonus_bi SET default_transaction_read_only = on;
ALTER ROLE bonus_bi SET statement_timeout = '15min';
"""

CREATE_DATABASE = """
SELECT 'CREATE DATABASE bonus OWNER bonus'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bonus') \\gexec
"""


def bootstrap(psql: Path, socket_folder: Path) -> None:
    """Create what is missing. Raises EmbeddedError with psql's words."""
    done = subprocess.run(  # noqa: S603 - our own binary
        [
            *(psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"),
            *("--host", socket_folder, "--username", "postgres", "--dbname", "postgres"),
        ],
        input=ROLES + CREATE_DATABASE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise EmbeddedError(f"The new database could not be prepared: {done.stderr.strip()}")
