"""What each kind of setting looks like: text in, value out, ValueError saying what it must be.

The messages never repeat the text: it may hold a password.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args
from urllib.parse import SplitResult, parse_qs, urlsplit
from zoneinfo import ZoneInfo

from billing.common.money import parse_amount

_PERIOD = re.compile(
    r"P(?=[1-9])([0-9]{1,2}Y)?([0-9]{1,2}M)?([0-9]{1,3}W)?([0-9]{1,4}D)?", re.ASCII
)
_LIMIT = re.compile(r"([a-z]+)=([0-9]{1,9}(?:\.[0-9]{1,2})?)/([0-9]{1,4})(m|h|d)", re.ASCII)
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)
LOG_LEVELS = ("debug", "info", "warning", "error")
SECRET_BYTES = 32

Unverified = Literal["refuse", "collect", "all"]
"""What a customer may do who has not confirmed the phone: nothing; collect points that become
available once verified; all that a verified customer may."""
Scope = Literal["phone", "cashier", "key", "store", "address", "prefix", "country", "cost"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
CODE_LIMITS: Final = (
    "phone=5/1h,phone=10/1d,cashier=60/1h,key=600/1h,store=200/1h,address=60/1h,prefix=60/1h,"
    "country=5000/1d,cost=10000.00/1d"
)


class Limit(NamedTuple):
    """At most `most` in `seconds`: sends, of `cost` 1/100 of money."""

    scope: Scope
    most: int
    seconds: int


def text(value: str) -> str:
    return value


def path(value: str) -> Path:
    return Path(value).expanduser().absolute()


def optional_path(value: str) -> Path | None:
    return path(value) if value else None


def time_of_day(value: str) -> time | None:
    """`03:30`, or `off` as None."""
    if value == "off":
        return None
    if not _TIME_OF_DAY.fullmatch(value):
        raise ValueError("must be a time of day such as 03:30, or off")
    return time.fromisoformat(value)


def between(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        digits = value.isascii() and value.isdigit() and len(value) <= len(str(high))
        if not (digits and low <= int(value) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def yes_or_no(value: str) -> bool:
    if value not in {"yes", "no"}:
        raise ValueError("must be yes or no")
    return value == "yes"


def hosts(value: str) -> frozenset[str]:
    """Names or addresses, separated by commas."""
    found = frozenset(one.strip().lower() for one in value.split(",") if one.strip())
    if not all(_HOST.fullmatch(one) for one in found):
        raise ValueError("must be host names or addresses with commas between, without ports")
    return found


def postgres_url(value: str) -> str:
    """`postgresql://user:pass@host:port/db` or `postgresql:///db?host=/folder&user=name`."""
    if not value:
        return ""
    parts = _split(value)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("must start with postgresql://")
    if len(parts.path) < 2:
        raise ValueError("must name the database after the host")
    if not (parts.hostname or parse_qs(parts.query).get("host")):
        raise ValueError("must name a host, or a socket folder as ?host=/folder")
    return value


def redis_url(value: str) -> str:
    """`redis://host:port/0`, `rediss://…` or `unix:///path/to.sock`."""
    if not value:
        return ""
    parts = _split(value)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must start with redis://, rediss:// or unix://")
    if parts.scheme == "unix" and not parts.path.startswith("/"):
        raise ValueError("must give the socket's whole path, as unix:///run/redis.sock")
    if parts.scheme != "unix" and not parts.hostname:
        raise ValueError("must name a host")
    return value


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise ValueError(
            "must be a URL with a right host and port; write @ : / ? # of a password as %40 …"
        ) from error
    return parts


def public_url(value: str) -> str:
    """`https://host[:port][/path]`, without a slash at its end."""
    if not value:
        return ""
    parts = _split(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("must be a URL that starts with https://")
    if parts.query or parts.fragment or parts.username or value.endswith("/"):
        raise ValueError("must be the address alone, without a user, query, # or a / at its end")
    return value


def timezone(value: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError("must be an IANA time zone") from error


def secret(value: str) -> bytes:
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be base64") from error
    if value and len(key) < SECRET_BYTES:
        raise ValueError(f"must be base64 of at least {SECRET_BYTES} bytes")
    return key


def period(value: str) -> str | None:
    if value and not _PERIOD.fullmatch(value):
        raise ValueError("must be a period of days, weeks or months such as P30D")
    return value or None


def days_ahead(value: str) -> tuple[int, ...]:
    """`30,7` as (30, 7); `off` as none."""
    if value == "off":
        return ()
    try:
        days = sorted({between(1, 365)(one.strip()) for one in value.split(",")}, reverse=True)
    except ValueError:
        days = []
    if not 1 <= len(days) <= 10:
        raise ValueError("must be one to ten whole numbers of days from 1 to 365, or off")
    return tuple(days)


def unverified(value: str) -> Unverified:
    for policy in get_args(Unverified):
        if value == policy:
            return policy  # type: ignore[no-any-return]
    raise ValueError("must be one of refuse, collect, all")


def amount_or_none(value: str) -> int | None:
    return parse_amount(value) if value else None


def limits(value: str) -> tuple[Limit, ...]:
    """`phone=5/1h,cost=100.00/1d`: at most so many within minutes, hours or days."""
    return tuple(_limit(one.strip()) for one in value.split(",") if one.strip())


def _limit(one: str) -> Limit:
    found = _LIMIT.fullmatch(one)
    scope = next((known for known in SCOPES if found and found[1] == known), None)
    wrong = found is None or int(found[3]) == 0 or ("." in found[2] and scope != "cost")
    if found is None or scope is None or wrong:
        raise ValueError(
            f"must be limits such as phone=5/1h with commas between, of {', '.join(SCOPES)}, by "
            "minutes (m), hours (h) or days (d)"
        )
    most = parse_amount(found[2]) if scope == "cost" else int(found[2])
    return Limit(scope, most, int(found[3]) * {"m": 60, "h": 3600, "d": 86_400}[found[4]])


def regions(value: str) -> frozenset[str]:
    """`RU,KZ`; nothing as none of them."""
    return frozenset(region(one.strip()) for one in value.split(",") if one.strip())


def region(value: str) -> str:
    if not (len(value) == 2 and value.isascii() and value.isalpha() and value.isupper()):
        raise ValueError("must be a country of two capital letters")
    return value


def log_level(value: str) -> str:
    if value.lower() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return value.lower()
