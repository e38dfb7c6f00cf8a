"""A return whose receipt cannot be found: points moved by hand, by who may (C36)."""

from __future__ import annotations

from datetime import datetime

from billing.common.errors import FieldError
from billing.returns.schemas import ByHandIn, ReturnIn
from ledger.commands import Adjust, Step


def steps_of(points: ByHandIn) -> tuple[Step, ...]:
    """Given before taken: a return may take of what it gives."""
    steps: list[Step] = []
    if points.restore:
        steps.append(Adjust(int(points.restore), points.bucket, None, points.expires_at))
    if points.revoke:
        steps.append(Adjust(-int(points.revoke), points.bucket))
    return tuple(steps)


def faults_of(body: ReturnIn, now: datetime) -> list[FieldError]:
    """What is wrong with a return, taken as one without its receipt."""
    faults = [
        FieldError(f"/{name}", "is needed for a return without its receipt")
        for name in ("customer", "points", "reason")
        if getattr(body, name) is None
    ]
    faults += [
        FieldError(f"/{name}", "is only for a return of a receipt; leave it out")
        for name in ("lines", "receipt_channel", "receipt_store")
        if getattr(body, name) is not None
    ]
    points = body.points
    if points is None:
        return faults
    if not points.revoke and not points.restore:
        faults.append(FieldError("/points", "must revoke or restore more than nothing"))
    if points.expires_at is not None:
        if not points.restore:
            faults.append(FieldError("/points/expires_at", "is only for points that are restored"))
        elif points.expires_at <= max(now, body.occurred_at):
            faults.append(FieldError("/points/expires_at", "must be in the future"))
    return faults
