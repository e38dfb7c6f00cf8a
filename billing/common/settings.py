"""Settings: environment variables, read and checked once, at start.

`load_settings` names every fault it finds, not only the first, so that one look at the message is
enough to put a deployment right.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from datetime import time
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from billing.common import settings_values as values
from billing.common.money import parse_amount
from billing.common.settings_values import Limit, Unverified

T = TypeVar("T")

_ALIKE = 0.85
DATABASE_EXAMPLE = "postgresql://bonus_api:secret@127.0.0.1:5432/bonus"
SECRET_EXAMPLE = "$(openssl rand -base64 32)"  # noqa: S105 - a command, not a secret


class SettingsError(Exception):
    """The environment does not describe a service that could run. `faults` has a line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(["The settings are not right:", *(f"  {f}" for f in faults)]))
        self.faults = faults


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says. `database_url` and `redis_url` are empty when not given."""

    database_url: str
    owner_database_url: str
    """The role that owns the schemas: migrations and audits. `database_url` unless set."""
    redis_url: str
    host: str
    port: int
    data_dir: Path
    """Absolute. The embedded servers, the secret key and the demo keys live below it."""
    api_processes: int
    lanes: int
    """Lanes of each API process; a lane owns one database connection."""
    lane_capacity: int
    group_size: int
    timezone: ZoneInfo
    """The chain's time zone, for business dates."""
    secret_key: bytes
    """At least 32 bytes, empty when not given: encrypts phones and keys their hashes."""
    max_body_bytes: int
    line_tolerance: int
    """How far quantity x price may be from a line's amount, in 1/100 of money."""
    default_hold_seconds: int
    return_grace: str | None
    """For how long expired points that a return restores are given anew, ISO 8601; None: not."""
    expiry_notice_days: tuple[int, ...]
    """How many days before points expire their owner is told, each; empty: not at all."""
    campaign_approval_points: int
    """What a campaign may cost, in 1/100 points, before a second person has to approve it."""
    campaign_catch_up_days: int
    """A campaign's run that was missed for longer is skipped."""
    webhook_allow_http: bool
    """Whether webhooks may be sent by http, too: for receivers of the house's own network."""
    webhook_allowed_hosts: frozenset[str]
    """Hosts webhooks may be sent to though their addresses are not of the internet."""
    webhook_disable_days: int
    """After so many days of nothing but failures a webhook subscription is disabled."""
    unverified: Unverified
    """What a customer may do whose phone is not confirmed yet."""
    redemption_code_from: int | None
    """From so many points a redemption needs a code of the customer, in 1/100; None: never."""
    code_limits: tuple[Limit, ...]
    """How often codes are sent, by what is counted."""
    code_countries: frozenset[str]
    """Countries whose phones codes are sent to, ISO 3166."""
    sms_price: int
    """What a segment of an SMS is reckoned to cost, in 1/100 of money."""
    public_url: str
    """How the internet reaches the API, without a slash at the end; empty when it does not."""
    sms_console: bool
    """Whether messages go to a file while no SMS provider is set up."""
    sms_allow_http: bool
    sms_allowed_hosts: frozenset[str]
    """Hosts of SMS gateways that may be called though their addresses are not of the internet."""
    default_region: str
    """Country of phones written without a code, ISO 3166."""
    seal_key: bytes
    """32 bytes that sign checkpoints of the ledger; empty: made from the secret key."""
    checkpoint_file: Path | None
    """Where checkpoints are also written, a line each; None: nowhere."""
    audit_at: time | None
    """When the nightly audit begins, in the chain's time zone; None: it does not."""
    adjustment_approval_points: int
    """Adjustments by hand of more, in 1/100 points, need a second person."""
    transfer_approval_points: int
    """Transfers by hand of more, in 1/100 points, need a second person."""
    merge_approval_points: int
    """A merge of customers who have more together, in 1/100 points, needs a second person."""
    person_approval_points: int
    """What one person may move by hand in 24 hours alone, in 1/100 points."""
    log_level: str

    def __repr__(self) -> str:
        """Without URLs and keys: a settings object may end up in a log."""
        return f"Settings(host={self.host!r}, port={self.port}, data_dir={str(self.data_dir)!r})"


def load_settings(environ: Mapping[str, str], *, needs: Collection[str] = ()) -> Settings:
    """Read the settings; the variables named in `needs` must be there. Raises SettingsError."""
    read = _Reader(environ, needs)
    database_url = read("DATABASE_URL", "", values.postgres_url, DATABASE_EXAMPLE)
    region = read("BONUS_PHONE_REGION", "RU", values.region, "RU")
    settings = Settings(
        database_url=database_url,
        owner_database_url=read(
            "BONUS_OWNER_DATABASE_URL",
            "",
            values.postgres_url,
            "postgresql://bonus:secret@db:5432/bonus",
        )
        or database_url,
        redis_url=read("REDIS_URL", "", values.redis_url, "redis://127.0.0.1:6379/0"),
        host=read("BONUS_HOST", "127.0.0.1", values.text, "127.0.0.1"),
        port=read("BONUS_PORT", "8080", values.between(1, 65535), "8080"),
        data_dir=read("BONUS_DATA_DIR", ".data", values.path, "/var/lib/bonus"),
        api_processes=read(
            "BONUS_API_PROCESSES", _default_api_processes(), values.between(1, 256), "2"
        ),
        lanes=read("BONUS_LANES", "1", values.between(1, 64), "1"),
        lane_capacity=read("BONUS_LANE_CAPACITY", "4096", values.between(1, 1_000_000), "4096"),
        group_size=read("BONUS_GROUP_SIZE", "256", values.between(1, 10_000), "256"),
        timezone=read("BONUS_TIMEZONE", "Europe/Moscow", values.timezone, "Europe/Moscow"),
        secret_key=read("BONUS_SECRET_KEY", "", values.secret, SECRET_EXAMPLE),
        max_body_bytes=read(
            "BONUS_MAX_BODY_BYTES", str(4 << 20), values.between(1024, 1 << 30), str(4 << 20)
        ),
        line_tolerance=read("BONUS_LINE_TOLERANCE", "0.01", parse_amount, "0.01"),
        default_hold_seconds=read(
            "BONUS_HOLD_SECONDS", "900", values.between(1, 30 * 86_400), "900"
        ),
        return_grace=read("BONUS_RETURN_GRACE", "", values.period, "P30D"),
        expiry_notice_days=read("BONUS_EXPIRY_NOTICE_DAYS", "7", values.days_ahead, "30,7"),
        campaign_approval_points=read(
            "BONUS_CAMPAIGN_APPROVAL_POINTS", "100000.00", parse_amount, "100000.00"
        ),
        campaign_catch_up_days=read(
            "BONUS_CAMPAIGN_CATCH_UP_DAYS", "7", values.between(1, 365), "7"
        ),
        webhook_allow_http=read("BONUS_WEBHOOK_ALLOW_HTTP", "no", values.yes_or_no, "yes"),
        webhook_allowed_hosts=read(
            "BONUS_WEBHOOK_ALLOWED_HOSTS", "", values.hosts, "crm.internal,10.0.0.5"
        ),
        webhook_disable_days=read("BONUS_WEBHOOK_DISABLE_DAYS", "5", values.between(1, 90), "5"),
        unverified=read("BONUS_UNVERIFIED", "refuse", values.unverified, "collect"),
        redemption_code_from=read(
            "BONUS_REDEMPTION_CODE_FROM", "", values.amount_or_none, "500.00"
        ),
        code_limits=read("BONUS_CODE_LIMITS", values.CODE_LIMITS, values.limits, "phone=5/1h"),
        code_countries=read("BONUS_CODE_COUNTRIES", "", values.regions, "RU,KZ")
        or frozenset((region,)),
        sms_price=read("BONUS_SMS_PRICE", "5.00", parse_amount, "3.50"),
        default_region=region,
        public_url=read("BONUS_PUBLIC_URL", "", values.public_url, "https://bonus.example.ru"),
        sms_console=read("BONUS_SMS_CONSOLE", "no", values.yes_or_no, "yes"),
        sms_allow_http=read("BONUS_SMS_ALLOW_HTTP", "no", values.yes_or_no, "yes"),
        sms_allowed_hosts=read(
            "BONUS_SMS_ALLOWED_HOSTS", "", values.hosts, "gateway.internal,10.0.0.6"
        ),
        seal_key=read("BONUS_SEAL_KEY", "", values.secret, SECRET_EXAMPLE),
        checkpoint_file=read(
            "BONUS_CHECKPOINT_FILE", "", values.optional_path, "/mnt/vault/checkpoints.ndjson"
        ),
        audit_at=read("BONUS_AUDIT_AT", "03:30", values.time_of_day, "03:30"),
        adjustment_approval_points=read(
            "BONUS_ADJUSTMENT_APPROVAL_POINTS", "100000.00", parse_amount, "100000.00"
        ),
        transfer_approval_points=read(
            "BONUS_TRANSFER_APPROVAL_POINTS", "0.00", parse_amount, "0.00"
        ),
        merge_approval_points=read(
            "BONUS_MERGE_APPROVAL_POINTS", "10000.00", parse_amount, "10000.00"
        ),
        person_approval_points=read(
            "BONUS_PERSON_APPROVAL_POINTS", "1000000.00", parse_amount, "1000000.00"
        ),
        log_level=read("BONUS_LOG_LEVEL", "info", values.log_level, "info"),
    )
    read.find_misspelt()
    if read.faults:
        raise SettingsError(read.faults)
    return settings


def _default_api_processes() -> str:
    """One Python process is the limit before PostgreSQL is: two where there are cores for them."""
    return "2" if (os.cpu_count() or 1) >= 2 else "1"


class _Reader:
    """Reads one variable after another and gathers the faults instead of stopping at one."""

    def __init__(self, environ: Mapping[str, str], needs: Collection[str]) -> None:
        self._environ = environ
        self._needs = needs
        self._known: set[str] = set()
        self.faults: list[str] = []

    def __call__(self, name: str, default: str, parse: Callable[[str], T], example: str) -> T:
        self._known.add(name)
        text = self._environ.get(name, "").strip()
        if not text and name in self._needs:
            self._fault(name, "is not set", example)
        try:
            return parse(text or default)
        except ValueError as error:
            self._fault(name, str(error), example)
            return parse(default)

    def find_misspelt(self) -> None:
        """A setting under a wrong name would silently be the default. Only what is very like one:
        others may have variables of that beginning, too."""
        for name in sorted(self._environ):
            if name.startswith("BONUS_") and name not in self._known:
                for meant in get_close_matches(name, self._known, 1, _ALIKE):
                    self.faults.append(f"{name} is not a setting; did you mean {meant}?")

    def _fault(self, name: str, wrong: str, example: str) -> None:
        self.faults.append(f"{name} {wrong}; for example {name}={example}")
