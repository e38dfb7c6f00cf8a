"""What Twilio takes and gives, of the operations that are used: Messages 2010-04-01 and Verify v2,
written down from their API reference. A parameter that is not here does not fit."""

from __future__ import annotations

import re
from typing import Any

import msgspec

S = "a" * 32
PHONE, NUMBER, ANY = r"\+[1-9][0-9]{6,14}", "[0-9]{1,18}", "(?s:.+)"


def sid(prefix: str) -> str:
    """The pattern of Twilio's ids."""
    return f"{prefix}[0-9a-fA-F]{{32}}"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """Patterns of whole values. `answer` is an example of what Twilio says, by its status."""

    method: str
    path: str
    query: dict[str, str] = {}
    required: tuple[str, ...] = ()
    form: dict[str, str] = {}
    status: int = 200
    answer: dict[str, Any]

    def match(self, method: str, path: str) -> bool:
        return method == self.method and re.fullmatch(self.path, path) is not None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path.rpartition('/')[2]}"


_ACCOUNT = f"/2010-04-01/Accounts/{sid('AC')}"
_SERVICE = f"/v2/Services/{sid('VA')}"
_MESSAGE: dict[str, Any] = {
    "account_sid": f"AC{S}",
    "api_version": "2010-04-01",
    "body": "a text",
    "date_created": "Fri, 24 May 2019 17:18:27 +0000",
    "date_sent": "Fri, 24 May 2019 17:18:28 +0000",
    "direction": "outbound-api",
    "error_code": None,
    "error_message": None,
    "num_media": "0",
    "num_segments": "1",
    "price": None,
    "price_unit": None,
    "sid": f"SM{S}",
    "status": "queued",
    "to": "+15558675310",
}
_CHECK: dict[str, Any] = {
    "sid": f"VE{S}",
    "service_sid": f"VA{S}",
    "account_sid": f"AC{S}",
    "to": "+15017122661",
    "channel": "sms",
    "status": "pending",
    "valid": False,
    "date_created": "2015-07-30T20:00:00Z",
    "date_updated": "2015-07-30T20:00:00Z",
}
OPERATIONS = (
    Operation(
        method="POST",
        path=f"{_ACCOUNT}/Messages.json",
        required=("To",),
        form={
            "To": PHONE,
            "From": ANY,
            "MessagingServiceSid": sid("MG"),
            "Body": ANY,
            "StatusCallback": r"https?://\S+",
            "ValidityPeriod": NUMBER,
        },
        status=201,
        answer=_MESSAGE,
    ),
    Operation(
        method="GET",
        path=f"{_ACCOUNT}/Messages.json",
        query={"To": PHONE, "From": PHONE, "PageSize": NUMBER, "Page": NUMBER, "PageToken": ANY},
        answer={"page": 0, "page_size": 100, "next_page_uri": None, "messages": [_MESSAGE]},
    ),
    Operation(
        method="GET",
        path=f"{_ACCOUNT}/Messages/{sid('SM')}.json",
        answer=_MESSAGE
        | {"status": "sent", "error_code": 30007, "price": "-0.00750", "price_unit": "USD"},
    ),
    Operation(
        method="GET",
        path=f"{_ACCOUNT}/Balance.json",
        answer={"account_sid": f"AC{S}", "balance": "0.05", "currency": "USD"},
    ),
    Operation(
        method="POST",
        path=f"{_SERVICE}/Verifications",
        required=("To", "Channel"),
        form={"To": ANY, "Channel": "sms|call|email|whatsapp", "Locale": "[a-zA-Z-]{2,5}"},
        status=201,
        answer=_CHECK,
    ),
    Operation(
        method="POST",
        path=f"{_SERVICE}/Verifications/{sid('VE')}",
        required=("Status",),
        form={"Status": "canceled|approved"},
        answer=_CHECK | {"status": "canceled"},
    ),
    Operation(
        method="POST",
        path=f"{_SERVICE}/VerificationCheck",
        form={"Code": "[0-9]{4,10}", "To": ANY, "VerificationSid": sid("VE")},
        answer=_CHECK | {"status": "approved", "valid": True},
    ),
)
