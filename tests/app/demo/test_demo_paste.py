"""The commands of the demo work in any POSIX shell; only what is repeated is the same."""

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
    """What three POSTs and a GET would send when the clock shows `seconds`."""
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


def test_a_sale_its_repetition_and_one_paid_with_points() -> None:
    bodies, words = _paste(1700000000)
    sale, again, paid = bodies
    keys = [word for word in words if word.startswith("Idempotency-Key: ")]
    assert sale == again
    assert keys == [f"Idempotency-Key: demo-1700000000{end}" for end in ("", "", "-paid")]
    assert sale["customer"] == paid["customer"] == {"phone": "+12015550106"}
    assert ("redeem" in sale, paid["redeem"]) == (False, {"points": "1.50"})
    assert words.count("http://127.0.0.1:8080/v1/receipts") == 3
    assert words.count("Authorization: Bearer bk_till") == 4
    assert words[-3].endswith("/v1/customers/0196f3c8-0000-7000-8000-000000000000/balance")


def test_the_next_paste_is_of_other_receipts() -> None:
    numbers = set()
    for seconds in (1700000000, 1700000001):
        bodies, _ = _paste(seconds)
        numbers |= {body["receipt"]["number"] for body in bodies}  # type: ignore[index]
    assert len(numbers) == 4
