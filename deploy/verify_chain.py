#!/usr/bin/env python3
"""Verifies an exported chain of the bonus ledger, and shares no code with it.

    bonus seals export chain.ndjson.gz
    python3 verify_chain.py chain.ndjson.gz [--public-key HEX] [--checkpoints FILE]

Needs Python 3.11 and `cryptography`. Exit code: 0 all holds, 1 faults, a line each, 2 no chain.
"""

import argparse
import gzip
import json
import struct
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# Columns in their order: u uuid, q bigint, i integer, h smallint, s text, t time, b bytes.
TRANSACTION = "ququusttqqqqquutsssss"
POSTING = "isssqusttsissstt"
ANSWER = "qsubhbt"
OID = {"u": 2950, "q": 20, "i": 23, "h": 21, "s": 25, "t": 1184, "b": 17}
ACCOUNTS = ("available", "deferred", "held", "debt")


def encode(kind: str, value) -> bytes:
    if kind in "qih":
        return struct.pack(">" + kind, value)
    if kind == "t":  # microseconds since 2000
        past = datetime.fromisoformat(value) - datetime(2000, 1, 1, tzinfo=UTC)
        return struct.pack(">q", past // timedelta(microseconds=1))
    if kind == "u":
        return UUID(value).bytes
    return value.encode() if kind == "s" else bytes.fromhex(value[2:])


def record(kinds: str, values: list) -> bytes:  # as PostgreSQL's record_send writes a row
    parts = [struct.pack(">i", len(kinds))]
    for kind, value in zip(kinds, values, strict=True):
        content = b"" if value is None else encode(kind, value)
        parts += [struct.pack(">ii", OID[kind], -1 if value is None else len(content)), content]
    return b"".join(parts)


class Verifier:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.fault = self.faults.append
        self.hashes: dict = {}  # (chain, block) → hash
        self.last: dict = {}  # chain → (number, hash)
        self.rows, self.block, self.waiting = 0, "", {}  # of the block, what is still to come
        self.balances: dict = defaultdict(lambda: [0, 0, 0, 0, 0])  # version, then ACCOUNTS

    def end_block(self) -> None:
        for name in self.waiting:
            self.fault(f"{self.block}: {name} is sealed in it, and was deleted or moved")

    def read_block(self, line: dict) -> None:
        self.end_block()
        chain, number = line["chain"], line["block"]
        self.block = f"block {chain} {number}"
        start = (0, sha256(f"bonus-ledger/{chain}/1".encode()).hexdigest())
        before, previous = self.last.get(chain, start)
        if (number, line["previous"]) != (before + 1, previous):
            self.fault(f"{self.block}: does not follow block {before} before it")
        content = bytearray.fromhex(line["previous"])
        content += struct.pack(">qqq", number, line["sealed_at_us"], line["commit"])
        for name, digest in [(line["key"], ""), *zip(line["names"], line["digests"], strict=True)]:
            content += struct.pack(">q", len(name.encode())) + name.encode() + bytes.fromhex(digest)
        if sha256(content).hexdigest() != line["hash"]:
            self.fault(f"{self.block}: has another hash than its content, the seal was changed")
        self.last[chain] = (number, line["hash"])
        self.hashes[chain, number] = line["hash"]
        self.waiting = dict(zip(line["names"], line["digests"], strict=True))

    def read_row(self, line: dict) -> None:
        self.rows += 1
        if line["chain"] == "journal":
            content = record(TRANSACTION, line["fields"])
            content += b"".join(record(POSTING, one) for one in line["postings"])
            self.add_up(line["fields"], line["postings"])
        else:
            content = record(ANSWER, line["fields"])
        sealed = self.waiting.pop(line["name"], None)
        if sealed is None:
            self.fault(f"{self.block}: {line['name']} stands in it and is not sealed, inserted")
        elif sealed != sha256(content).hexdigest():
            self.fault(f"{self.block}: {line['name']} is not what was sealed, changed")

    def add_up(self, fields: list, postings: list) -> None:
        balance = self.balances[fields[1]]
        for _, _, debit, credit, amount, *_ in postings:
            for account, sign in ((debit, -amount), (credit, amount)):
                if account in ACCOUNTS:  # a debt is what the customer owes
                    balance[1 + ACCOUNTS.index(account)] += -sign if account == "debt" else sign
        balance[0] += 1
        after = [fields[2], fields[8], fields[10], fields[11], fields[12]]
        if balance != after:
            self.fault(f"{fields[1]}/{fields[2]}: postings lead to {balance}, it says {after}")
            self.balances[fields[1]] = after

    def read_checkpoint(self, line: dict, which: str, key: str | None) -> None:
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key or line["public_key"]))
            public.verify(bytes.fromhex(line["signature"]), line["document"].encode())
        except (InvalidSignature, ValueError):
            self.fault(f"{which}: is not signed by {key or 'the key it names'}")
            return
        for chain, head in json.loads(line["document"])["chains"].items():
            there = self.hashes.get((chain, head["block"]))
            if head["block"] and there != head["hash"]:
                state = "is missing" if there is None else "is another one"
                self.fault(f"{which}: block {chain} {head['block']} {state} in the chain")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("chain")
    parser.add_argument("--public-key", help="the only key whose signatures count, in hex")
    parser.add_argument("--checkpoints", help="checkpoints that were kept elsewhere")
    args = parser.parse_args()
    seen = Verifier()
    with (gzip.open if args.chain.endswith(".gz") else open)(args.chain, "rt") as lines:
        if json.loads(next(lines, "{}")).get("format") != "bonus-ledger-chain/1":
            return 2
        for line in map(json.loads, lines):
            if "checkpoint" in line:
                seen.read_checkpoint(line, f"checkpoint {line['checkpoint']}", args.public_key)
            elif "block" in line:
                seen.read_block(line)
            else:
                seen.read_row(line)
    seen.end_block()
    with open(args.checkpoints or "/dev/null") as lines:
        for line in map(json.loads, lines):
            seen.read_checkpoint(line, f"kept checkpoint {line['id']}", args.public_key)
    ends = ", ".join(f"{chain} up to block {last[0]}" for chain, last in seen.last.items())
    total = f"{len(seen.faults)} faults in {seen.rows} rows: {ends or 'no block'}."
    print(*(f"WRONG: {fault}" for fault in seen.faults), total, sep="\n")
    return 1 if seen.faults else 0


if __name__ == "__main__":
    sys.exit(main())
