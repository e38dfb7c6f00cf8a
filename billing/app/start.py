"""Where `bonus` begins: before anything is imported, so that Ctrl-C finds nobody half awake."""

import signal
import sys


def main() -> int:
    """Run `bonus`. Until its modules are there, Ctrl-C just ends the process, without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from billing.app.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
