"""The commands of the demo work in any POSIX shell, and post another receipt each time."""

from __future__ import annotations

import json
import subprocess

from billing.app.replay.paste import Example, commands

EXAMPLE = Example(
    url="http://127.0.0.1:8080",
    key="bk_till",
    phone="+12015550106",
    customer_id="0196f3c8-0000-7000-8000-000000000000",
    channel="shop",
    store="319",
    sku="1075313",
)
CURL = """curl() {
  for word in "$@"; do printf '%s\\n' "$word" >&2; done
  case "$*" in *'-d @-'*) cat; echo ,;; esac
}
"""
"""A shell function in the place of curl: its words go to stderr, its input to stdout."""


def _paste(seconds: int) -> tuple[list[dict[str, object]], list[str]]:
    """What two POSTs and a GET would send when the clock shows `seconds`."""
    clock = f'date() {{ [ $1 = +%s ] && echo {seconds} || command date "$@"; }}\n'
    lines = [row for row in commands(EXAMPLE).splitlines() if not row.endswith(":")]
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input=CURL + clock + "\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(f"[{done.stdout.strip().rstrip(',')}]"), done.stderr.splitlines()


def test_a_pasted_command_sends_a_whole_receipt() -> None:
    bodies, words = _paste(1700000000)
    sale, payment = bodies
    assert sale["customer"] == payment["customer"] == {"phone": "+12015550106"}
    assert (payment["points"], payment["mode"]) == ("1.50", "capture")
    assert words.count("http://127.0.0.1:8080/v1/accruals") == 1
    assert words.count("http://127.0.0.1:8080/v1/redemptions") == 1
    assert words.count("Authorization: Bearer bk_till") == 3
    assert words[-3].endswith("/v1/customers/0196f3c8-0000-7000-8000-000000000000/balance")


def test_keys_and_receipt_numbers_are_new_each_time() -> None:
    numbers, keys = set(), set()
    for seconds in (1700000000, 1700000001):
        bodies, words = _paste(seconds)
        numbers |= {body["receipt"]["number"] for body in bodies}  # type: ignore[index]
        keys |= {word for word in words if word.startswith("Idempotency-Key: ")}
    assert len(numbers) == len(keys) == 4
