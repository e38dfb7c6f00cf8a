"""`bonus`: the command line. Every command is a module of `billing.app.commands`."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import signal
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from billing.app import commands
from billing.app.running import recall
from billing.app.supervised import end_with_parent
from billing.common import settings_values as values
from billing.common.embedded.process import EmbeddedError
from billing.common.errors import Overloaded
from billing.common.logging import configure_logging
from billing.common.settings import SettingsError, load_settings

DESCRIPTION = "Bonus points of a retail chain: the service and its tools."
EPILOG = """\
Settings are environment variables (BONUS_PORT, DATABASE_URL ...). While `bonus up` runs in the
same folder, the other commands find its servers by themselves."""
INTERRUPTED = 130
UNHEARD = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 not done, 2 wrong arguments or settings, 130 ended by
    hand, 141 whoever read what is printed was gone. A command that says what it `FAILED` with ends
    so, in one line, when a file cannot be written or the database is away."""
    given = sys.argv[1:] if argv is None else argv
    modules = _modules(given)
    args = _parser(modules).parse_args(given)
    module = modules[args.command]
    environ = recall(os.environ) if getattr(module, "RECALLS", True) else dict(os.environ)
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see billing.app.start
            signal.signal(signal.SIGINT, signal.default_int_handler)
        settings = load_settings(environ, needs=getattr(module, "NEEDS", ()))
        configure_logging(settings.log_level)
        end_with_parent(os.environ)
        code: int = module.run(args, settings)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich raises the latter for the former
        return _unheard()
    except SettingsError as error:
        return _refuse(f"{error}{_ways_out(module, environ)}", 2)
    except (EmbeddedError, Overloaded) as error:
        return _refuse(str(error), 1)
    except OSError as error:
        if not hasattr(module, "FAILED"):
            raise
        return _refuse(f"{args.command}: {error}", module.FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _unheard() -> int:
    """Whoever read what is printed has gone, such as `| head -1`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNHEARD


def _modules(argv: Sequence[str]) -> dict[str, ModuleType]:
    """The command's alone, where one is named: all of them take seconds to import."""
    names = {
        found.name.rstrip("_"): found.name for found in pkgutil.iter_modules(commands.__path__)
    }
    if argv and argv[0] in names:
        names = {argv[0]: names[argv[0]]}
    return {
        command: importlib.import_module(f"{commands.__name__}.{name}")
        for command, name in names.items()
    }


def _parser(modules: dict[str, ModuleType]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bonus",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in modules.values():
        module.add(subparsers)
    return parser


def _ways_out(module: ModuleType, environ: Mapping[str, str]) -> str:
    """What to do without a database, which a beginner meets first."""
    if environ.get("DATABASE_URL") or "DATABASE_URL" not in getattr(module, "NEEDS", ()):
        return ""
    folder = values.path(environ.get("BONUS_DATA_DIR") or ".data")
    return (
        f"\nNo `bonus up` runs in {folder}. Two ways out: start one there with `bonus up` (or "
        "`make run`),\nwhose database this command then finds by itself; or set DATABASE_URL to "
        "a database of your own."
    )


def _refuse(message: str, code: int) -> int:
    print(f"bonus: {message}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
