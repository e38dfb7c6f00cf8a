"""`bonus events`: what could not be told to subscribers, and telling it again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any
from uuid import UUID

from billing.common.db import Database
from billing.common.errors import NotFound
from billing.common.settings import Settings
from billing.operators.service import OperatorLog
from integrations.webhooks.guard import Guard
from integrations.webhooks.service import Webhooks
from integrations.webhooks.signing import Seals

NEEDS = ("DATABASE_URL",)
STEP = 1000
DESCRIPTION = """\
Events are sent to webhook subscribers ten times within three days; what nobody took is then dead
and waits for a person: look why (GET /v1/webhook-deliveries/{id} has every attempt), have the
subscriber put it right, and replay. Receivers know an event by its webhook-id, which stays."""
EXAMPLES = """\
examples:
  bonus events dead
  bonus events replay 0196f3c8-0000-7000-8000-000000000000
  bonus events replay --all"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "events",
        help="list events that could not be delivered, and replay them",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    dead = actions.add_parser("dead", help="show dead deliveries, newest first")
    dead.add_argument("--limit", type=int, default=100, choices=range(1, 10_001), metavar="N")
    replay = actions.add_parser("replay", help="send dead deliveries once more")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("id", type=UUID, nargs="?", help="a delivery that `bonus events dead` shows")
    which.add_argument("--all", action="store_true", help="every dead delivery, oldest first")


def run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        asyncio.run(_run(args, settings))
    except NotFound as error:
        print(f"bonus events: {error.detail}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _run(args: argparse.Namespace, settings: Settings) -> None:
    database = Database(settings.database_url, application="bonus-events", size=1)
    webhooks = Webhooks(database, Seals(settings.secret_key), Guard())
    try:
        if args.action == "dead":
            for one in await webhooks.deliveries(2**62, args.limit, "dead", None):
                print(  # noqa: T201
                    f"{one.id}  {one.finished_at:%F %R}  {one.type:<22} {one.subscription_id}"
                )
        elif args.all:
            count, step = 0, STEP
            while step == STEP:
                step = await webhooks.replay_dead(STEP)
                count += step
            await OperatorLog(database).of_command("events replay", "", {"count": count})
            print(f"{count} sent once more", file=sys.stderr)  # noqa: T201
        else:
            one = await webhooks.replay(args.id)
            await OperatorLog(database).of_command("events replay", str(args.id), {})
            print(f"{one.id} is {one.state}", file=sys.stderr)  # noqa: T201
    finally:
        await database.close()
