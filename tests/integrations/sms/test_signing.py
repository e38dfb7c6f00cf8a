"""Every signature vector there is, and what is not signed by it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import urlencode

import msgspec
import pytest

from integrations.sms.generic import Generic
from integrations.sms.generic_settings import GenericSecrets, GenericSettings
from integrations.sms.protocol import Provider, RawRequest
from integrations.sms.smsc import Smsc, SmscSecrets, SmscSettings
from integrations.sms.smsru import Smsru, SmsruSecrets, SmsruSettings
from integrations.sms.twilio import Twilio, TwilioSecrets, TwilioSettings, sign
from integrations.sms.wire import Wire
from integrations.webhooks.guard import Guard

URL = "https://pos.example/sms/cb?p=twilio"
TWILIO = [("MessageSid", "SM1"), ("MessageStatus", "delivered"), ("To", "+79991234567")]
TWILIO_SIGNATURE = "m4onUCkAgfX9xQWu/ofNN8BqtwI="
SMSRU = (
    "sms_status\n000000-10000000\n103\n1767225600",
    "callcheck_status\n201737-542\n401\n1767225601",
)
SMSRU_HASH = "ddf2ae5a812719d300bcc581c7aaea962a622357b8256112d9e303c505440f6a"
SMSC_MD5 = "b9bca81f847f3c964fba17a9f9438e51"
WIRE = Wire(Guard())


def twilio() -> Provider:
    settings = TwilioSettings(account_sid="AC1", sender="+1")
    return Twilio(settings, TwilioSecrets(auth_token="tok_12345"), WIRE)


def smsru() -> Provider:
    return Smsru(SmsruSettings(), SmsruSecrets(api_id="API"), WIRE)


def smsc(signs: bool = True) -> Provider:
    secret = "sec" if signs else None
    return Smsc(SmscSettings(), SmscSecrets(api_key="key", callback_secret=secret), WIRE)


def raw(pairs: list[tuple[str, str]], url: str = URL, **headers: str) -> RawRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RawRequest(url=url, headers=named, body=urlencode(pairs).encode())


def test_twilios_own_vector() -> None:
    assert sign("tok_12345", URL, TWILIO) == TWILIO_SIGNATURE
    assert twilio().verify(raw(TWILIO, x_twilio_signature=TWILIO_SIGNATURE)) == "signed"


@pytest.mark.parametrize(
    ("configured", "signed"),
    [
        ("https://pos.example/cb?p=1", "https://pos.example:443/cb?p=1"),
        ("https://pos.example:443/cb", "https://pos.example/cb"),
        ("https://pos.example:8443/cb", "https://pos.example/cb"),
    ],
)
def test_twilio_may_sign_with_or_without_the_port(configured: str, signed: str) -> None:
    signature = sign("tok_12345", signed, TWILIO)
    assert twilio().verify(raw(TWILIO, configured, x_twilio_signature=signature)) == "signed"


def test_what_twilio_did_not_sign_is_forged() -> None:
    provider = twilio()
    other = [*TWILIO[:1], ("MessageStatus", "failed"), *TWILIO[2:]]
    for request in (
        raw(other, x_twilio_signature=TWILIO_SIGNATURE),
        raw(TWILIO, "https://pos.example/sms/cb?p=other", x_twilio_signature=TWILIO_SIGNATURE),
        raw(TWILIO, x_twilio_signature="é" * 28),
        raw(TWILIO, x_twilio_signature=""),
        raw(TWILIO),
        raw([*TWILIO, ("To", "+79990000000")], x_twilio_signature=TWILIO_SIGNATURE),
    ):
        assert provider.verify(request) == "forged"


def test_a_json_body_of_twilios_is_signed_by_its_hash() -> None:
    body = b'{"a": 1}'
    url = f"https://pos.example/cb?bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"content-type": "application/json", "x-twilio-signature": sign("tok_12345", url, [])}
    provider = twilio()
    assert provider.verify(RawRequest(url=url, headers=headers, body=body)) == "signed"
    assert provider.verify(RawRequest(url=url, headers=headers, body=b'{"a": 2}')) == "forged"


def test_smsrus_vector() -> None:
    pairs = [(f"data[{place}]", entry) for place, entry in enumerate(SMSRU)]
    provider = smsru()
    request = raw([*pairs, ("hash", SMSRU_HASH)])
    assert provider.verify(request) == "signed"
    (said,) = provider.parse_reports(request)
    assert (said.provider_message_id, said.status) == ("000000-10000000", "delivered")
    assert provider.acknowledge(request).body == b"100"
    for forged in ([*pairs[::-1], ("hash", SMSRU_HASH)], [pairs[0], ("hash", SMSRU_HASH)], pairs):
        assert provider.verify(raw(forged)) == "forged"


def test_smscs_vector() -> None:
    pairs = [("id", "5"), ("phone", "79991234567"), ("status", "1")]
    provider = smsc()
    assert provider.verify(raw([*pairs, ("md5", SMSC_MD5)])) == "signed"
    sha1 = hashlib.sha1(b"5:79991234567:1:sec", usedforsecurity=False).hexdigest()
    assert provider.verify(raw([*pairs, ("sha1", sha1)])) == "signed"
    assert provider.verify(raw([*pairs, ("md5", SMSC_MD5), ("sha1", "0" * 40)])) == "forged"
    assert provider.verify(raw([*pairs[:2], ("status", "20"), ("md5", SMSC_MD5)])) == "forged"
    assert provider.verify(raw(pairs)) == "forged"
    assert smsc(signs=False).verify(raw(pairs)) == "unsigned"


def test_an_sms_from_a_telephone_is_never_signed_by_smsc() -> None:
    """Its hash is over id, phone and status: the text could be anything."""
    pairs = [("id", "5"), ("phone", "79991234567"), ("status", "1"), ("md5", SMSC_MD5)]
    assert smsc().verify(raw([*pairs, ("mes", "ДА"), ("sms_id", "9")])) == "unsigned"


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_any_other_provider_may_sign_its_raw_body(encoding: str) -> None:
    settings = msgspec.convert(
        {
            "send": {"url": "https://sms.example/send"},
            "sent": {"id": "id"},
            "signature": {
                "header": "X-Signature", "secret": "hook", "encoding": encoding, "prefix": "v1=",
            },
        },
        GenericSettings,
    )  # fmt: skip
    provider = Generic(settings, GenericSecrets(named={"hook": "hook secret"}), WIRE)
    digest = hmac.new(b"hook secret", b'{"id":"1"}', hashlib.sha256).digest()
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    for body, signature, trust in (
        (b'{"id":"1"}', f"v1={text}", "signed"),
        (b'{"id": "1"}', f"v1={text}", "forged"),
        (b'{"id":"1"}', text, "forged"),
        (b'{"id":"1"}', "", "forged"),
    ):
        request = RawRequest(url="", headers={"x-signature": signature}, body=body)
        assert provider.verify(request) == trust
