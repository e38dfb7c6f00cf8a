"""Commands to try the service with: pasted again, they post another receipt."""

from __future__ import annotations

from dataclasses import dataclass

_POST = """\
curl -sS -w '\\n' {url}/v1/{path} -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' -H "Idempotency-Key: {name}-$(date +%s)" -d @- <<EOF
{{"customer": {{"phone": "{phone}"}}, "channel": "{channel}", "store": "{store}",{fields}
 "receipt": {{"number": "{name}-$(date +%s)", "occurred_at": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "lines": [{{"line": 1, "sku": "{sku}", "quantity": "2", "price": "50.00",
             "amount": "100.00"}}]}}}}
EOF
"""
_GET = "curl -sS -w '\\n' {url}/v1/customers/{customer_id}/balance -H 'Authorization: Bearer {key}'"


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
    """An accrual, a redemption and the balance, for a POSIX shell."""
    parts = vars(example)
    accrual = _POST.format(**parts, path="accruals", name="demo-sale", fields="")
    paid = '\n "points": "1.50", "mode": "capture",'
    redemption = _POST.format(**parts, path="redemptions", name="demo-payment", fields=paid)
    return (
        f"Points for a receipt:\n\n{accrual}\n"
        f"Pay a receipt with points:\n\n{redemption}\n"
        f"What the customer has:\n\n{_GET.format(**parts)}\n"
    )
