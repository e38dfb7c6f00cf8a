"""`bonus messages`: what could not be told to customers, and telling it again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any
from uuid import UUID

from billing.common.db import Database
from billing.common.errors import Conflict, NotFound
from billing.common.settings import Settings
from billing.customers.vault import Vault
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from billing.operators.service import OperatorLog

NEEDS = ("DATABASE_URL", "BONUS_SECRET_KEY")
STEP = 1000
NEWEST = UUID(int=2**128 - 1)
DESCRIPTION = """\
Messages are tried at every SMS provider, again and again for some hours; what nobody took, or what
nobody can tell about, is then dead and waits for a person: look why (GET /v1/messages/{id} has
every attempt), put it right, and replay. Codes are never replayed: a new one is asked for."""
EXAMPLES = """\
examples:
  bonus messages dead
  bonus messages replay 0196f3c8-0000-7000-8000-000000000000
  bonus messages replay --all"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "messages",
        help="list messages that could not be sent, and replay them",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    dead = actions.add_parser("dead", help="show dead messages, newest first")
    dead.add_argument("--limit", type=int, default=100, choices=range(1, 10_001), metavar="N")
    replay = actions.add_parser("replay", help="send dead messages once more")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("id", type=UUID, nargs="?", help="a message `bonus messages dead` shows")
    which.add_argument("--all", action="store_true", help="every dead message, oldest first")


def run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        asyncio.run(_run(args, settings))
    except (NotFound, Conflict) as error:
        print(f"bonus messages: {error.detail}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _run(args: argparse.Namespace, settings: Settings) -> None:
    database = Database(settings.database_url, application="bonus-messages", size=1)
    vault = MessageVault(settings.secret_key, Vault(settings.secret_key, key="not compared"))
    messages = Messages(database, vault)
    try:
        if args.action == "dead":
            for one in await messages.page(NEWEST, args.limit, None, "dead"):
                what = one.kind or one.purpose
                print(  # noqa: T201
                    f"{one.id}  {one.status_at:%F %R}  {one.status:<8} {what:<14} {one.error or ''}"
                )
        elif args.all:
            count, step = 0, STEP
            while step == STEP:
                step = await messages.replay_dead(STEP)
                count += step
            await OperatorLog(database).of_command("messages replay", "", {"count": count})
            print(f"{count} sent once more", file=sys.stderr)  # noqa: T201
        else:
            one = await messages.replay(args.id)
            await OperatorLog(database).of_command("messages replay", str(args.id), {})
            print(f"{one.id} is {one.status}", file=sys.stderr)  # noqa: T201
    finally:
        await database.close()
