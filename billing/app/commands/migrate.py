"""`bonus migrate`: bring the database to the newest revision."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from alembic.util import CommandError
from asyncpg import PostgresError
from sqlalchemy.exc import DBAPIError

from billing.common.settings import Settings
from migrations.runner import check, upgrade

NEEDS = ("DATABASE_URL",)

DESCRIPTION = """\
Brings the database to the newest revision, as the role of BONUS_OWNER_DATABASE_URL (or of
DATABASE_URL when that is not set). Safe to start several times and from several machines at once:
one migrates, the others wait and then find nothing to do. A migration that cannot lock a table
within seconds gives up without changing anything, so that tills never wait behind it; start it
again."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "migrate",
        help="bring the database to the newest revision",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="change nothing; fail when the database is not at the newest revision, or when the "
        "tables in code differ from what the migrations make",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        if args.check:
            asyncio.run(check(settings.owner_database_url))
        else:
            asyncio.run(upgrade(settings.owner_database_url))
    except CommandError as error:
        return _fail(f"{error}")
    except (DBAPIError, PostgresError, OSError) as error:
        return _fail(f"the database did not let us migrate: {error}")
    print("The database is as this version needs it.")  # noqa: T201
    return 0


def _fail(message: str) -> int:
    print(f"bonus migrate: {message}", file=sys.stderr)  # noqa: T201
    return 1
