#!/usr/bin/env python3
"""Verifies an exported chain of the bonus ledger, and shares no code with it.

    bonus seals export chain.ndjson.gz
    python3 verify_chain.py chain.ndjson.gz [--public-key HEX] [--checkpoints FILE]

Needs Python 3.11 and `cryptography`. Exit code: 0 all holds, 1 faults, a line each, 2 no chain.
"""

import argparse
import gzip
import json
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import Struct, pack
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# Columns in their order: u uuid, q bigint, i integer, h smallint, s text, t time, b bytes.
TRANSACTION, POSTING, ANSWER = "ququuttqqqqqsssuutsss", "uqiquttttsssssisss", "qsubhbt"
ACCOUNTS = ("available", "deferred", "held", "debt")
EPOCH, US = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
parse = datetime.fromisoformat  # not of infinity, nor of what is beyond the calendar
BYTES = {
    "u": lambda value: UUID(value).bytes,
    "s": str.encode,
    "b": lambda value: bytes.fromhex(value[2:]),
    "t": lambda at: pack(">q", (parse(at) - EPOCH) // US) if at[4] + at[-1] == "-0" else b"",
    **{kind: Struct(">" + kind).pack for kind in "qih"},
}


def record(kinds: str, values: list) -> bytes:  # of each column its length, then its value
    row = b""
    for kind, value in zip(kinds, values, strict=True):
        content = b"" if value is None else BYTES[kind](value)
        row += pack(">i", -1 if value is None else len(content)) + content
    return row


def name_of(chain: str, key: bytes) -> str:
    journal = f"{UUID(bytes=key[:16].ljust(16))}/{int.from_bytes(key[16:], signed=True)}"
    return key.decode(errors="replace") if chain == "answers" else journal


class Verifier:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.fault = self.faults.append
        self.hashes, self.last = {}, {}  # (chain, block) → hash, chain → (number, hash)
        self.rows, self.block, self.waiting = 0, "", {}  # of the block, what is still to come
        self.balances: dict = defaultdict(lambda: [0, 0, 0, 0, 0])  # version, then ACCOUNTS

    def end_block(self) -> None:
        self.faults += [f"{self.block}: {one} was deleted or moved" for one in self.waiting]

    def read_block(self, line: dict) -> None:
        self.end_block()
        chain, number, entries = line["chain"], line["block"], bytes.fromhex(line["entries"])
        self.block = f"block {chain} {number}"
        start = (0, sha256(f"bonus-ledger/{chain}/3".encode()).hexdigest())
        before, previous = self.last.get(chain, start)
        if (number, line["previous"]) != (before + 1, previous):
            self.fault(f"{self.block}: does not follow block {before} before it")
        head = bytes.fromhex(line["previous"]) + pack(">qq", number, line["sealed_at_us"])
        if sha256(head + entries).hexdigest() != line["hash"]:
            self.fault(f"{self.block}: has another hash than its content, the seal was changed")
        self.last[chain], self.hashes[chain, number] = (number, line["hash"]), line["hash"]
        self.waiting, at, places = {}, 0, []
        while at < len(entries):  # length of the place, place (commit and key), digest
            end = at + 4 + int.from_bytes(entries[at : at + 4])
            places.append(entries[at + 4 : end])
            self.waiting[name_of(chain, places[-1][8:])] = places[-1] + entries[end : end + 32]
            at = end + 32
        if places != sorted(places):
            self.fault(f"{self.block}: its rows stand in another order")

    def read_row(self, line: dict) -> None:
        self.rows, fields = self.rows + 1, line["fields"]
        if line["chain"] == "journal":
            key = UUID(fields[1]).bytes + pack(">q", fields[2])
            content = record(TRANSACTION, fields)
            content += b"".join(record(POSTING, one) for one in line["postings"])
            self.add_up(fields, line["postings"])
        else:
            key, content = fields[1].encode(), record(ANSWER, fields)
        sealed = self.waiting.pop(name := name_of(line["chain"], key), None)
        if sealed is None:
            self.fault(f"{self.block}: {name} stands in it and is not sealed, inserted")
        elif sealed != pack(">q", fields[0]) + key + sha256(content).digest():
            self.fault(f"{self.block}: {name} is not what was sealed, changed")

    def add_up(self, fields: list, postings: list) -> None:
        balance = self.balances[fields[1]]
        for _, _, _, amount, *_, debit, credit, _, _, _, _, _, _ in postings:
            for account, sign in ((debit, -(amount or 0)), (credit, amount or 0)):
                if account in ACCOUNTS:  # a debt is what the customer owes
                    balance[1 + ACCOUNTS.index(account)] += -sign if account == "debt" else sign
        balance[0] += 1
        after = [fields[2], fields[7], *fields[9:12]]
        if balance != after:
            self.fault(f"{fields[1]}/{fields[2]}: postings lead to {balance}, it says {after}")
            self.balances[fields[1]] = [one or 0 for one in after]

    def read_checkpoint(self, line: dict, which: str, key: str | None) -> None:
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key or line["public_key"]))
            public.verify(bytes.fromhex(line["signature"]), line["document"].encode())
            chains = dict(json.loads(line["document"])["chains"])
            heads = [(chain, int(one["block"]), one["hash"]) for chain, one in chains.items()]
        except (ArithmeticError, InvalidSignature, KeyError, RuntimeError, ValueError, TypeError):
            self.fault(f"{which}: is no checkpoint signed by {key or 'the key it names'}")
            return
        for chain, block, said in heads:
            if block and (there := self.hashes.get((chain, block))) != said:
                state = "another one" if there else "missing"
                self.fault(f"{which}: block {chain} {block} is {state} in the chain")


def main() -> int:
    parser, seen = argparse.ArgumentParser(), Verifier()
    parser.add_argument("chain")
    parser.add_argument("--public-key", help="the only key whose signatures count, in hex")
    parser.add_argument("--checkpoints", help="checkpoints that were kept elsewhere")
    args = parser.parse_args()
    with (gzip.open if args.chain.endswith(".gz") else open)(args.chain, "rt") as lines:
        if json.loads(next(lines, "{}")).get("format") != "bonus-ledger-chain/3":
            return 2
        for line in map(json.loads, lines):
            if "checkpoint" in line:
                seen.read_checkpoint(line, f"checkpoint {line['checkpoint']}", args.public_key)
            else:
                (seen.read_block if "block" in line else seen.read_row)(line)
        seen.end_block()
    with open(args.checkpoints or "/dev/null") as lines:
        for line in map(json.loads, lines):
            seen.read_checkpoint(line, f"kept checkpoint {line['id']}", args.public_key)
    ends = ", ".join(f"{chain} up to block {last[0]}" for chain, last in seen.last.items())
    total = f"{len(seen.faults)} faults in {seen.rows} rows: {ends or 'no block'}."
    print(*(f"WRONG: {fault}" for fault in seen.faults), total, sep="\n")
    return bool(seen.faults)


if __name__ == "__main__":
    sys.exit(main())
