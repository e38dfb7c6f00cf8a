"""All kinds of providers, with their settings and secrets. A new kind is a file and a line here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from billing.common.errors import ValidationFailed
from billing.common.faults import find_faults
from billing.messages.checks import PhoneCheck
from integrations.sms.console import Console, ConsoleSecrets, ConsoleSettings
from integrations.sms.exolve import Exolve, ExolveSecrets, ExolveSettings
from integrations.sms.generic import Generic
from integrations.sms.generic_settings import GenericSecrets, GenericSettings
from integrations.sms.protocol import Provider
from integrations.sms.smsc import Smsc, SmscSecrets, SmscSettings
from integrations.sms.smsru import Smsru, SmsruSecrets, SmsruSettings
from integrations.sms.smsru_calls import CallCheck, FlashCall
from integrations.sms.twilio import Twilio, TwilioSecrets, TwilioSettings
from integrations.sms.twilio_verify import TwilioVerify
from integrations.sms.wire import TIMEOUT_S, Wire
from integrations.webhooks.guard import Guard

KindName = Literal["smsc", "smsru", "exolve", "twilio", "http", "console"]

FROM_ENVIRONMENT: Final = "env:"
ENVIRONMENT: Final = "BONUS_SMS_SECRET_"
"""Only such variables can be named: a provider's address is given by the same hand, and must not
be able to ask for the service's own secrets."""


class Kind(msgspec.Struct, frozen=True):
    settings: type
    secrets: type
    make: Callable[[Any, Any, Wire], Provider]


KINDS: Final[Mapping[KindName, Kind]] = {
    "smsc": Kind(SmscSettings, SmscSecrets, Smsc),
    "smsru": Kind(SmsruSettings, SmsruSecrets, Smsru),
    "exolve": Kind(ExolveSettings, ExolveSecrets, Exolve),
    "twilio": Kind(TwilioSettings, TwilioSecrets, Twilio),
    "http": Kind(GenericSettings, GenericSecrets, Generic),
}


class Made(msgspec.Struct, frozen=True):
    """A provider, and the checks of phones it can do besides."""

    provider: Provider
    checks: tuple[PhoneCheck, ...] = ()


def read(kind: KindName, settings: object, secrets: object) -> tuple[Any, Any]:
    """Settings and secrets as their types. Raises ValidationFailed with every fault."""
    types: dict[str, type] = {"settings": ConsoleSettings, "secrets": ConsoleSecrets}
    if kind != "console":
        types = {"settings": KINDS[kind].settings, "secrets": KINDS[kind].secrets}
    found: list[Any] = []
    for (name, of), given in zip(types.items(), (settings, secrets), strict=True):
        try:
            found.append(msgspec.convert(given, of))
        except msgspec.ValidationError:
            raise _refused(given, of, f"/{name}") from None
    made, kept = found
    _check(kind, made, kept)
    return made, kept


def make(
    kind: KindName,
    settings: object,
    secrets: object,
    guard: Guard,
    folder: Path,
    timeout_s: float = TIMEOUT_S,
) -> Made:
    """A connection. Raises ValidationFailed, LookupError for a variable that is not set."""
    parsed, kept = read(kind, settings, from_environment(secrets))
    if kind == "console":
        return Made(Console(folder))
    wire = Wire(guard, timeout_s=timeout_s)
    provider = KINDS[kind].make(parsed, kept, wire)
    if isinstance(provider, Smsru):
        return Made(provider, (FlashCall(provider), CallCheck(provider)))
    if isinstance(provider, Twilio) and parsed.verify_service_sid is not None:
        return Made(provider, (TwilioVerify(parsed, kept, wire),))
    return Made(provider)


def from_environment(secrets: Any) -> Any:
    """Secrets with `env:BONUS_SMS_SECRET_…` replaced. Raises LookupError."""
    if isinstance(secrets, dict):
        return {name: from_environment(value) for name, value in secrets.items()}
    if isinstance(secrets, str) and secrets.startswith(FROM_ENVIRONMENT):
        name = secrets.removeprefix(FROM_ENVIRONMENT)
        if not name.startswith(ENVIRONMENT):
            raise LookupError(f"only variables named {ENVIRONMENT}… can be secrets")
        if name not in os.environ:
            raise LookupError(f"{name} is not set in this process")
        return os.environ[name]
    return secrets


def _check(kind: KindName, settings: Any, secrets: Any) -> None:
    signature = getattr(settings, "signature", None)
    if signature is not None and signature.secret not in secrets.named:
        raise ValidationFailed.at(
            "/settings/signature/secret", "names none of the secrets in /secrets/named"
        )
    for name, (endpoint, slash) in _endpoints(kind, settings).items():
        if slash:
            raise ValidationFailed.at(f"/settings/{name}", f"must not end with /: {endpoint!r}")


def _endpoints(kind: KindName, settings: Any) -> dict[str, tuple[str, bool]]:
    named = {name: getattr(settings, name, "") for name in ("endpoint", "verify_endpoint")}
    return {name: (value, value.endswith("/")) for name, value in named.items() if value}


def _refused(given: object, of: type, at: str) -> ValidationFailed:
    return ValidationFailed(find_faults(given, of, at))
