"""The demo chain of `bonus up`: asked for once, loaded once, shown at every start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from billing.app.running import write_private
from billing.common.embedded.process import EmbeddedError

KEY_TIMEOUT_S = 60


class Kept(msgspec.Struct, frozen=True):
    """`<data_dir>/demo.json`. `text` names the service as `base_url`."""

    base_url: str
    admin_key: str
    pos_key: str
    text: str


class Showcase:
    def __init__(self, data_dir: Path, environ: Mapping[str, str], base_url: str) -> None:
        self._asked = data_dir / "demo.asked"
        self._kept = data_dir / "demo.json"
        self._data_dir = data_dir
        self._environ = environ
        self._base_url = base_url

    def ask(self) -> None:
        """Remember that the chain is wanted, also if loading it is interrupted."""
        self._asked.touch()

    @property
    def is_asked(self) -> bool:
        return self._asked.exists()

    def load(self, report: Callable[[str], None]) -> None:
        from billing.app.commands.demo import load

        result = load(self._base_url, self._admin_key(), report)
        kept = Kept(self._base_url, result.admin_key, result.pos_key, result.text)
        write_private(self._kept, msgspec.json.encode(kept).decode())
        self._asked.unlink()

    def text(self) -> str:
        """What a person needs to go on: the address, the keys, something to paste."""
        lines = ["", f"The service is at {self._base_url} (its documentation: /docs)."]
        if self._kept.exists():
            kept = msgspec.json.decode(self._kept.read_bytes(), type=Kept)
            lines += [
                "",
                f"  demo key of an administrator  {kept.admin_key}",
                f"  demo key of a till            {kept.pos_key}",
                "",
                kept.text.replace(kept.base_url, self._base_url),
            ]
        else:
            lines += ["Make a key with: bonus keys create --role admin --name NAME"]
        lines += ["", f"Data and logs are in {self._data_dir}. Ctrl-C stops the service.", ""]
        return "\n".join(lines)

    def _admin_key(self) -> str:
        done = subprocess.run(  # noqa: S603 - ourselves
            [
                *(sys.executable, "-m", "billing.app.cli", "keys", "create"),
                *("--role", "admin", "--name", "demo"),
            ],
            env=dict(self._environ),
            capture_output=True,
            text=True,
            timeout=KEY_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedError(f"The demo's key could not be made: {done.stderr.strip()}")
        return done.stdout.strip()
