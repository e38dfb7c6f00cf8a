"""Commands to try the service with. The variables make a receipt of their own each time they are
set; between, the same command is the same request."""

from __future__ import annotations

from dataclasses import dataclass

_VARIABLES = """\
TILL='{key}'
KEY=demo-$(date +%s)
NOW=$(date -u +%Y-%m-%dT%H:%M:%SZ)
"""
_POST = """\
curl -sS{show} -w '\\n' {url}/v1/receipts -H "Authorization: Bearer $TILL" \\
  -H 'Content-Type: application/json' -H "Idempotency-Key: $KEY{suffix}" -d @- <<EOF
{{"customer": {{"phone": "{phone}"}}, "channel": "{channel}", "store": "{store}",{fields}
 "receipt": {{"number": "$KEY{suffix}", "occurred_at": "$NOW", "lines": [
  {{"line": 1, "sku": "{sku}", "quantity": "2", "price": "50.00", "amount": "100.00"}}]}}}}
EOF
"""
_GET = """\
curl -sS -w '\\n' {url}/v1/customers/{customer_id}/balance -H "Authorization: Bearer $TILL"
"""


@dataclass(frozen=True)
class Example:
    """Whose points, where, with what and by whom."""

    url: str
    key: str
    phone: str
    customer_id: str
    channel: str
    store: str
    sku: str


def commands(example: Example) -> str:
    """An accrual, its repetition, a sale paid with points and the balance, for a POSIX shell.

    Lines that end with a colon are words, all others are to be pasted.
    """
    parts = vars(example)
    earn = _POST.format(**parts, show="i", suffix="", fields="")
    redeem = '\n "redeem": {"points": "1.50"},'
    pay = _POST.format(**parts, show="", suffix="-paid", fields=redeem)
    return (
        f"A new receipt begins with these:\n\n{_VARIABLES.format(**parts)}\n"
        f"Points for a receipt:\n\n{earn}\n"
        "The same command again moves nothing and has the first answer, marked "
        f"Idempotency-Hit:\n\n{earn}\n"
        f"Pay 1.50 of another receipt with points, and earn on the rest:\n\n{pay}\n"
        f"What the customer has:\n\n{_GET.format(**parts)}"
    )
