"""Every refusal the service can give, one tree.

    Problem                      carries `status`, `code`, `detail` and extension members
    ├── ValidationFailed         400 validation_failed, with `errors: [{pointer, detail}]`
    ├── IdempotencyKeyMissing    400
    ├── Unauthorized             401
    ├── Forbidden                403
    ├── NotFound                 404
    ├── Conflict                 409, one code per reason (`CONFLICTS`)
    ├── IdempotencyKeyReused     422
    ├── RateLimited              429, with Retry-After
    └── Overloaded               503, with Retry-After

The codes are part of the wire contract: they keep their meaning for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One fault of a request: an RFC 6901 `pointer` into the body (or a parameter), and why."""

    pointer: str
    detail: str


class Problem(Exception):
    """A refusal as RFC 9457 describes it. `members` are extra members such as `available`."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: str = "Internal error"

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


class ValidationFailed(Problem):
    status = 400
    code = "validation_failed"
    title = "The request is not valid"

    def __init__(self, errors: list[FieldError], detail: str | None = None) -> None:
        super().__init__(detail or "; ".join(f"{e.pointer or '/'}: {e.detail}" for e in errors[:3]))
        self.errors = errors

    @classmethod
    def at(cls, pointer: str, detail: str) -> ValidationFailed:
        return cls([FieldError(pointer, detail)])


class IdempotencyKeyMissing(Problem):
    status = 400
    code = "idempotency_key_missing"
    title = "An Idempotency-Key header is needed"


class Unauthorized(Problem):
    status = 401
    code = "unauthorized"
    title = "No valid API key"


class Forbidden(Problem):
    status = 403
    code = "forbidden"
    title = "This key may not do that"


class NotFound(Problem):
    status = 404
    code = "not_found"
    title = "Not found"


CONFLICTS = {
    "customer_exists": "This customer is already registered",
    "customer_not_verified": "The customer is not verified",
    "customer_blocked": "The customer is blocked",
    "customer_merged": "The customer was merged into another one",
    "customer_erased": "The customer's personal data was erased",
    "merge_not_possible": "These customers cannot be merged as they are",
    "merge_undone": "This merge is undone already",
    "verification_failed": "The code is wrong, or no longer valid",
    "verification_not_open": "The verification is over",
    "verification_required": "The customer has to confirm this payment by a code",
    "verification_used": "This verification has confirmed another payment",
    "insufficient_points": "Not enough points",
    "receipt_exists": "This receipt is already posted",
    "event_exists": "This event is already posted",
    "hold_not_open": "The hold is not open",
    "hold_expired": "The hold has expired",
    "return_exceeds_sale": "The return exceeds the sale",
    "return_exists": "This return is already posted",
    "quote_stale": "The quote no longer holds",
    "period_closed": "The period is closed",
    "period_not_over": "The period is not over",
    "period_not_next": "Another period is to be closed first",
    "period_not_closed": "The period is not closed",
    "period_not_last": "A later period is to be reopened first",
    "period_no_request": "Nobody asked for the period to be reopened",
    "not_reversible": "This transaction cannot be reversed",
    "already_reversed": "This transaction is already reversed",
    "points_already_spent": "The points are already spent",
    "balance_limit": "The balance would be too large",
    "batch_aborted": "The atomic batch did not happen",
    "program_archived": "The program is archived",
    "campaign_state": "The state of the campaign does not allow it",
    "campaign_not_previewed": "The campaign has no preview",
    "campaign_own_approval": "A campaign is approved by somebody else",
    "campaign_list_empty": "The list of the campaign is empty",
    "campaign_list_full": "The list of the campaign is full",
    "campaign_too_late": "The time of the campaign is over",
    "too_many_subscriptions": "There are too many webhook subscriptions",
    "subscription_not_active": "The webhook subscription is not active",
    "message_not_dead": "The message does not wait for a person",
    "too_many_providers": "There are too many SMS providers",
    "provider_paused": "The SMS provider is paused",
    "balance_unknown": "The provider did not tell its balance",
    "approval_needed": "A second person has to approve it",
    "approval_pending": "Another approval for this waits already",
    "approval_state": "The state of the approval does not allow it",
    "own_approval": "It is approved by somebody else",
    "import_exists": "An import of this name was made before",
    "import_closed": "The import is closed",
    "control_totals": "The file does not hold what was announced",
    "same_customer": "A transfer needs two customers",
}
"""The code of every 409, and its title."""


class Conflict(Problem):
    """`code` is one of `CONFLICTS`, which gives the title."""

    status = 409

    def __init__(self, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail, **members)
        self.code = code
        self.title = CONFLICTS[code]


class IdempotencyKeyReused(Problem):
    status = 422
    code = "idempotency_key_reused"
    title = "The Idempotency-Key was used for another request"


class RateLimited(Problem):
    status = 429
    code = "rate_limited"
    title = "Too many requests"


class Overloaded(Problem):
    """`retry_after_s` becomes the Retry-After header."""

    status = 503
    code = "overloaded"
    title = "The service is overloaded or its database is away"

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
