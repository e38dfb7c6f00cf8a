"""Whose programs a bound key may make and end: those of its own place alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from billing.common.auth import Principal
from billing.common.errors import Forbidden
from billing.programs.schemas import ScopeIn


def check_scope(principal: Principal, scope: ScopeIn) -> None:
    """Raise Forbidden when a bound key drafts what works elsewhere, too."""
    _check(principal, scope.channels, scope.stores, scope.store_groups)


def check_scopes(principal: Principal, scopes: Iterable[Mapping[str, list[str]]]) -> None:
    """The same of a program's versions: none, counting or not, may be of another place."""
    for scope in scopes:
        names = (scope.get(name, []) for name in ("channels", "stores", "store_groups"))
        _check(principal, *names)


def _check(
    principal: Principal, channels: Iterable[str], stores: Iterable[str], groups: Iterable[str]
) -> None:
    if principal.store is not None:
        # A store that is named and a group are alternatives: a group would add other stores.
        if set(stores) != {principal.store} or list(groups):
            raise Forbidden(
                f"This key is bound to the store {principal.store!r}: it makes, publishes and "
                f'archives programs with "scope": {{"stores": ["{principal.store}"]}} alone, '
                "without store_groups."
            )
    elif principal.channel is not None and set(channels) != {principal.channel}:
        raise Forbidden(
            f"This key is bound to the channel {principal.channel!r}: it makes, publishes and "
            f'archives programs with "scope": {{"channels": ["{principal.channel}"]}} alone.'
        )
