"""`bonus keys`: API keys."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any
from uuid import UUID

from billing.common.auth import ROLES
from billing.common.db import Database
from billing.common.errors import NotFound, ValidationFailed
from billing.common.settings import Settings
from billing.keys.service import ApiKeys
from billing.operators.service import OperatorLog

NEEDS = ("DATABASE_URL",)

DESCRIPTION = """\
Whoever calls the API sends a key: Authorization: Bearer <key>. A key has one role:

{roles}

A key for one shop's tills is bound to it: it may act for that store only, and need not name it.
Keys are kept as hashes: a lost one cannot be shown again, only revoked and replaced."""

EXAMPLES = """\
examples:
  bonus keys create --role admin --name "chain set-up"
  bonus keys create --role pos --name "till 7" --store moscow-1
  bonus keys create --role finance --name "Anna's laptop" --owner "Anna Petrova"
  bonus keys list
  bonus keys revoke 0196f3c8-0000-7000-8000-000000000000"""


def add(subparsers: Any) -> None:
    roles = "\n".join(f"  {role:<10}{words}" for role, words in ROLES.items())
    parser = subparsers.add_parser(
        "keys",
        help="create, list and revoke API keys",
        description=DESCRIPTION.format(roles=roles),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it, alone, on stdout")
    create.add_argument("--role", required=True, choices=list(ROLES), help="what it may do")
    create.add_argument("--name", required=True, help="who uses it; shown in lists and logs")
    create.add_argument(
        "--owner",
        help="the person it belongs to: what one key of a person asks for, another of "
        "the same person does not approve (default: the name)",
    )
    create.add_argument("--channel", help="bind it to this channel of the catalog")
    create.add_argument("--store", help="bind it to this store, and so to the store's channel")
    actions.add_parser("list", help="show all keys, without their secrets")
    revoke = actions.add_parser("revoke", help="end a key for ever, within 5 seconds")
    revoke.add_argument("id", type=UUID, help="the id `bonus keys list` shows")


def run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        asyncio.run(_run(args, settings))
    except (ValidationFailed, NotFound) as error:
        print(f"bonus keys: {error.detail}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _run(args: argparse.Namespace, settings: Settings) -> None:
    database = Database(settings.database_url, application="bonus-keys", size=1)
    keys = ApiKeys(database)
    try:
        if args.action == "create":
            made, secret = await keys.create(
                args.role, args.name, args.channel, args.store, args.owner
            )
            told: dict[str, Any] = {"name": made.name, "role": made.role}
            told |= {"channel": made.channel, "store": made.store, "owner": made.owner}
            await OperatorLog(database).of_command("keys create", str(made.id), told)
            print(secret)  # noqa: T201
        elif args.action == "list":
            for key in await keys.all():
                state = "active" if key.revoked_at is None else f"revoked {key.revoked_at:%F %R}"
                bound = key.store or key.channel or "-"
                owner = f" ({key.owner})" if key.owner else ""
                print(f"{key.id}  {key.role:<9} {bound:<16} {state:<24} {key.name}{owner}")  # noqa: T201
        else:
            key = await keys.revoke(args.id)
            await OperatorLog(database).of_command("keys revoke", str(key.id), {"name": key.name})
            print(f"revoked {key.id} ({key.name})", file=sys.stderr)  # noqa: T201
    finally:
        await database.close()
