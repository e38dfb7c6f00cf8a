"""The OpenAPI document, made of the declared operations.

python -m billing.app.openapi          writes openapi.json at the root of the repository
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from msgspec import _json_schema

from billing.common.errors import CONFLICTS
from billing.common.http import Operation
from billing.common.wire import Code, WireType, encode, write_hook

Document = dict[str, Any]
FILE = Path(__file__).parents[2] / "openapi.json"
_REF = "#/components/schemas/{name}"

_ABOUT = """\
The wire contract of the bonus-points ledger. Amounts of points and money are decimal strings such \
as `"12.50"`; times are RFC 3339 with offset. Every refusal is `application/problem+json` with a \
stable `code`. Repeat what got 429 or 503 after `Retry-After`, with the same `Idempotency-Key`.

The examples speak of the demo chain: beside `make run` they work as they stand. Give every new \
operation a new `Idempotency-Key`, and every new receipt a new number."""

_PATH_PARAMETERS: dict[str, Document] = {
    "id": {"type": "string", "format": "uuid"},
    "period": {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-01"]},
    "version": {"type": "integer", "minimum": 1, "examples": [1]},
}

_DEMO_CODES = {
    "/v1/channels/{code}": "shop",
    "/v1/stores/{code}": "333",
    "/v1/product-groups/{code}": "grocery.fluid-milk-products",
    "/v1/products/{sku}": "32553",
    "/v1/programs/{code}": "base-5",
    "/v1/campaigns/{code}": "sorry-outage",
    "/v1/message-templates/{kind}": "code",
    "/v1/message-templates/{kind}/{language}": "ru",
    "/v1/sms-providers/{code}": "main",
    "/v1/receipts/{store}": "333",
    "/v1/ledger/periods/{period}": "2026-01",
    "/v1/ledger/revenue/{period}": "2026-01",
    "/v1/receipts/{store}/{number}": "0001-000123",
}
"""What the demo chain has at an address, by the path up to the parameter."""

_TAGS = {
    "Catalog": "Channels, stores, product groups and products, by the chain's own codes.",
    "Customers": "Registering, finding and changing customers; personal data is kept encrypted.",
    "Verification": "Codes by SMS: the phone is the customer's, and the customer agrees.",
    "Programs": "What earns points: drafts, published versions that never change, archive.",
    "Campaigns": "Points for many customers at a time, once or by a calendar.",
    "Webhooks": "Events sent to your own services, signed, and what became of them.",
    "Messages": "What customers are told: messages, their texts, and when.",
    "SMS": "Providers that carry messages, and the door for what they send.",
    "Jobs": "Long work that was asked for: how far it is, and its result.",
    "Sales": "The till's main call, and posted receipts.",
    "Redemptions": "Paying with points apart from the sale: at once, or held and then captured.",
    "Adjustments": "Points given or taken by hand, with a reason.",
    "Batches": "Many operations at once, for tills that were offline.",
    "Events": "Birthdays, referrals and events of the chain's own that scenarios give points for.",
    "Balances": "What a customer has, had and got: balance, statement, lots.",
    "Imports": "Balances of an old system, taken over lot by lot.",
    "Approvals": "What waits for a second person, and what was decided.",
    "Operators": "What was done by hand: who, when, what, before and after.",
    "Ledger": "Trial balance, postings and transactions, for finance.",
    "Work": "What workers do outside the request, and what of it is late.",
    "Health": "For load balancers, orchestrators and Prometheus. Needs no key.",
}

_IDEMPOTENCY_KEY: Document = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A name the caller makes and stores for this operation, the same at every "
    "retry. A replay answers what the first one did, with `Idempotency-Hit: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}

_PROBLEM: Document = {
    "type": "object",
    "description": "A refusal, as RFC 9457 describes it. Some codes add members of their own, "
    "such as `available` or `customer_id`.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do about it."},
        "code": {"type": "string", "description": "Stable; decide by it."},
        "request_id": {"type": "string", "description": "Also in the X-Request-Id header."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "RFC 6901, into the body; /query/…, /path/… and /header/… "
                        "name what is not in the body.",
                    },
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

_REFUSALS: dict[int, tuple[str, str]] = {
    400: (
        "validation_failed idempotency_key_missing",
        "Something in the request is wrong; `errors` says what and where.",
    ),
    401: ("unauthorized", "No key, or not one of ours."),
    403: ("forbidden", "The key's role or its binding to a channel and store forbids it."),
    404: ("not_found", "There is no such thing."),
    413: ("validation_failed", "The body is too large."),
    415: ("unsupported_media_type", "The body is not sent as JSON."),
    422: ("idempotency_key_reused", "The Idempotency-Key was used for another request."),
    429: ("rate_limited", "Too often; repeat after `Retry-After`. `limit` says what is counted."),
    503: ("overloaded", "Too busy, or the database is away; repeat after `Retry-After`."),
}


def document(operations: Sequence[Operation], version: str = "1") -> Document:
    """OpenAPI 3.1 of `operations`."""
    types = _types(operations)
    with _defaults_of_wire_types():
        schemas, components = msgspec.json.schema_components(
            types, schema_hook=_schema_of_wire_type, ref_template=_REF
        )
    by_type = dict(zip(map(_key, types), schemas, strict=True))
    paths: dict[str, Document] = {}
    for declared in operations:
        methods = paths.setdefault(declared.path, {})
        methods[declared.method.lower()] = _operation(declared, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bonus ledger", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [
            {"name": tag, "description": _TAGS[tag]}
            for tag in dict.fromkeys(declared.tag for declared in operations)
        ],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **components},
            "responses": {f"Refused{status}": _refused(status) for status in _REFUSALS},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key that `bonus keys create` printed.",
                }
            },
        },
    }


def _types(operations: Sequence[Operation]) -> list[Any]:
    found = {
        _key(kind): kind
        for declared in operations
        for kind in (declared.body, declared.query, *declared.answers.values())
        if kind is not None
    }
    return list(found.values())


def _key(kind: Any) -> str:
    return f"{kind!r}"


def _operation(declared: Operation, by_type: dict[str, Document], components: Document) -> Document:
    made: Document = {
        "operationId": declared.handler.__name__,
        "summary": declared.summary,
        "tags": [declared.tag],
        "parameters": _parameters(declared, components),
        "responses": _responses(declared, by_type),
    }
    if words := _description(declared):
        made["description"] = words
    if declared.may is not None:
        made["security"] = [{"key": []}]
    if declared.raw_bytes:
        made["requestBody"] = {"content": {"*/*": {"schema": {"type": "string"}}}}
    if declared.body is not None:
        content: Document = {"schema": by_type[_key(declared.body)]}
        if declared.examples:
            content["examples"] = {k: {"value": v} for k, v in declared.examples.items()}
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
        if declared.ndjson:
            made["requestBody"]["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
    return made


def _description(declared: Operation) -> str:
    words = re.sub(r"\s*\n\s*", " ", declared.description)
    if declared.may is None:
        return words
    return f"{words}\n\nRoles: {', '.join(declared.may)}.".strip()


def _parameters(declared: Operation, components: Document) -> list[Document]:
    made: list[Document] = [
        _path_parameter(found[1], declared.path[: found.end()])
        for found in re.finditer(r"\{(\w+)\}", declared.path)
    ]
    if declared.query is not None:
        query = components[declared.query.__name__]
        made += [
            {"name": name, "in": "query", "required": name in query.get("required", ()),
             "schema": schema}
            for name, schema in query["properties"].items()
        ]  # fmt: skip
    if declared.idempotent:
        # Another for each address: a key stands for one request of the whole service.
        example = f"docs/{declared.handler.__name__}/1"
        made.append(_IDEMPOTENCY_KEY | {"example": example})
    return made


def _path_parameter(name: str, path: str) -> Document:
    made = {
        "name": name,
        "in": "path",
        "required": True,
        "schema": _PATH_PARAMETERS.get(name, Code.SCHEMA),
    }
    return made | ({"example": _DEMO_CODES[path]} if path in _DEMO_CODES else {})


def _responses(declared: Operation, by_type: dict[str, Document]) -> Document:
    made: Document = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            **_replay_header(declared),
            "content": {
                "application/json": {"schema": by_type[_key(kind)]},
                **{name: {"schema": {"type": "string"}} for name in declared.files},
            },
        }
        for status, kind in declared.answers.items()
    }
    for status in _statuses(declared):
        made.setdefault(str(status), {"$ref": f"#/components/responses/Refused{status}"})
    if declared.conflicts:
        reasons = "\n".join(f"- `{code}`: {CONFLICTS[code]}" for code in declared.conflicts)
        made["409"] = _problem(f"The state does not allow it:\n\n{reasons}", declared.conflicts)
    return dict(sorted(made.items()))


def _replay_header(declared: Operation) -> Document:
    if not declared.idempotent:
        return {}
    return {
        "headers": {
            "Idempotency-Hit": {
                "description": "`true` when this is the stored answer to an earlier request.",
                "schema": {"type": "string", "enum": ["true"]},
            }
        }
    }


def _statuses(declared: Operation) -> list[int]:
    found: list[int] = []
    if declared.may is not None:
        found += [401, 403, 503]
    if "{" in declared.path:
        found += [400, 404]
    if declared.query is not None or declared.idempotent:
        found.append(400)
    if declared.body is not None:
        found += [400, 413, 415]
        if "customer" in getattr(declared.body, "__struct_fields__", ()):
            found.append(404)
    if declared.idempotent:
        found += [404, 422]
    if declared.limited:
        found.append(429)
    if declared.raw_bytes:
        found += [400, 403, 413, 503]
    return found


def _refused(status: int) -> Document:
    codes, words = _REFUSALS[status]
    made = _problem(words, codes.split())
    if status in (429, 503):
        made["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
        }
    return made


def _problem(words: str, codes: Sequence[str]) -> Document:
    return {
        "description": words,
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        {"$ref": _REF.format(name="Problem")},
                        {"properties": {"code": {"enum": list(codes)}}},
                    ]
                }
            }
        },
    }


def _schema_of_wire_type(kind: type) -> Document:
    if isinstance(kind, WireType):
        return dict(kind.SCHEMA)
    raise NotImplementedError(f"{kind} has no JSON Schema")


@contextmanager
def _defaults_of_wire_types() -> Iterator[None]:
    """Let a field default to a wire type: msgspec 0.22 writes defaults without any hook."""
    module: Any = _json_schema
    plain = module.to_builtins
    module.to_builtins = partial(plain, enc_hook=write_hook)
    try:
        yield
    finally:
        module.to_builtins = plain


@cache
def current() -> bytes:
    """The document of this application, as JSON."""
    from billing.app.api import OPERATIONS

    return msgspec.json.format(encode(document(OPERATIONS)), indent=2) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(current())
