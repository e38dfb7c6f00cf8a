"""The types of stored definitions: those of the wire without its bounds.

A bound that is set today must not make unreadable what was published before it.
"""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from billing.common.wire import Code
from billing.programs.schemas import DefinitionIn


def _unbounded(kind: Any) -> Any:
    """`kind` with every msgspec.Meta taken off, inside structs, too."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _unbounded(get_args(kind)[0])
    if origin in (Union, UnionType):
        return Union[tuple(map(_unbounded, get_args(kind)))]  # noqa: UP007
    if origin is list:
        return list[_unbounded(get_args(kind)[0])]  # type: ignore[misc]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _without_bounds(kind)
    return str if kind is Code else kind


def _without_bounds(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    fields = msgspec.structs.fields(kind)
    return msgspec.defstruct(
        kind.__name__,
        [(field.name, _unbounded(field.type), _default(field)) for field in fields],
        bases=(kind,),
        kw_only=True,
        rename={field.name: field.encode_name for field in fields},
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field(default=field.default)


Stored: type[DefinitionIn] = _without_bounds(DefinitionIn)  # type: ignore[assignment]
