"""Bad input: never a 500, never a partial effect, and words a till's developer understands."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from billing.app.api import OPERATIONS
from billing.common.http import Operation
from tests.acceptance.serving import Serving
from tests.acceptance.shop import Shop, done, fresh_key, problem

Contents = Callable[[], Awaitable[Any]]

WRITING = [one for one in OPERATIONS if one.method in ("POST", "PUT", "PATCH")]
WITH_BODY = [one for one in WRITING if one.body is not None]
JSON = {"content-type": "application/json"}
UNKNOWN_ID = "0196f3c8-0000-7000-8000-000000000000"
NAMES = {
    "id": UNKNOWN_ID,
    "code": "no-such",
    "sku": "no-such",
    "card": "no-such",
    "kind": "code",
    "language": "ru",
    "period": "2001-13",
}

NO_JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "a JSON body is needed"),
    "blank": (b" \r\n\t", "a JSON body is needed"),
    "cut short": (b'{"customer": {"pho', "ends too early"),
    "two values": (b"{} {}", "trailing characters"),
    "NaN": (b'{"customer": NaN}', "is not JSON"),
    "Infinity": (b"[-Infinity]", "is not JSON"),
    "1e999": (b'{"x": 1e999}', 'amounts are decimal strings such as "12.50"'),
    "invalid UTF-8": (b'{"x": "\xff\xfe"}', "must be UTF-8"),
    "lone surrogate": (b'{"x": "\\ud800", "y": 1}', "surrogate"),
    "cut surrogate": (b'{"x":"\\ud800"}', "surrogate"),
    "byte order mark": (b"\xef\xbb\xbf{}", "is not JSON"),
    "UTF-16": ("{}".encode("utf-16"), "is not JSON"),
    "single quotes": (b"{'x': 1}", "is not JSON"),
    "deep lists": (b"[" * 100_000, "is nested too deep"),
    "deep objects": (b'{"a":' * 100_000, "is nested too deep"),
    "NUL byte": (b"\0", "is not JSON"),
}
NOTHING_LIKES: list[Any] = [
    *([[1]], {"no": "such"}, 1.5, -(2**70), 10**400, "\0", "x" * 100_000),
]
"""Wrong in every place of every body, whatever is wanted there."""


def named(declared: Operation) -> str:
    return f"{declared.method} {declared.path}"


async def send(
    client: httpx.AsyncClient, declared: Operation, content: bytes, **headers: str
) -> httpx.Response:
    path = re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], declared.path)
    named = {"idempotency-key": fresh_key()} if declared.idempotent else {}
    return await client.request(
        declared.method, path, content=content, headers=JSON | named | headers
    )


def places(value: Any, at: str = "") -> Iterator[str]:
    """The JSON pointers of all values inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if name == "body":  # An operation of a batch answers for itself.
            continue
        yield f"{at}/{name}"
        if isinstance(item, dict | list):
            yield from places(item, f"{at}/{name}")


def replaced(body: Any, pointer: str, new: Any) -> Any:
    body = copy.deepcopy(body)
    *way, last = [int(t) if t.isdigit() else t for t in pointer.split("/")[1:]]
    inside = body
    for step in way:
        inside = inside[step]
    inside[last] = new
    return body


@pytest.mark.parametrize("declared", WITH_BODY, ids=named)
async def test_what_is_no_json_is_told_what_is_wrong(
    declared: Operation, admin: httpx.AsyncClient, contents: Contents
) -> None:
    before = await contents()
    for content, words in NO_JSON.values():
        document = problem(await send(admin, declared, content), 400, "validation_failed")
        assert words in document["errors"][0]["detail"], (content[:40], document)
        assert document["errors"][0]["pointer"] == ""
    for content in (b"null", b"7", b'"x"', b"true"):
        document = problem(await send(admin, declared, content), 400, "validation_failed")
        assert document["detail"].startswith("/: must be a"), document
    assert await contents() == before


@pytest.mark.parametrize("declared", WITH_BODY, ids=named)
async def test_what_is_wrong_anywhere_in_a_body_is_pointed_at(
    declared: Operation, admin: httpx.AsyncClient, contents: Contents
) -> None:
    assert declared.examples, "an operation with a body shows one"
    before = await contents()
    for example in declared.examples.values():
        for pointer in places(example):
            for nasty in NOTHING_LIKES:
                body = json.dumps(replaced(example, pointer, nasty)).encode()
                answer = await send(admin, declared, body)
                where = (pointer, str(nasty)[:20], answer.text[:400])
                assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed"), (
                    where
                )
                for fault in answer.json()["errors"]:
                    assert fault["pointer"].startswith(pointer) or nasty == 10**400, where
                    assert len(fault["detail"]) < 300, where
                    assert "`" not in fault["detail"], where
        surplus = dict(example, surplus=1) if isinstance(example, dict) else [{"surplus": 1}]
        answer = await send(admin, declared, json.dumps(surplus).encode())
        document = problem(answer, 400, "validation_failed")
        assert "/surplus: is not a known field" in document["detail"]
    assert await contents() == before


@pytest.mark.parametrize("declared", WITH_BODY, ids=named)
async def test_bodies_beyond_the_limit_and_of_other_types(
    declared: Operation, admin: httpx.AsyncClient, contents: Contents
) -> None:
    before = await contents()
    huge = await send(admin, declared, b'{"x": "' + b"x" * 10_000_000 + b'"}')
    document = problem(huge, 413, "validation_failed")
    assert "must not be larger than 4194304 bytes" in document["detail"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json;charset=x"):
        answer = await send(admin, declared, b"{}", **{"content-type": kind})
        document = problem(answer, 415, "unsupported_media_type")
        assert "application/json, in UTF-8" in document["detail"]
    assert await contents() == before


async def test_wrong_methods_name_the_right_ones(admin: httpx.AsyncClient) -> None:
    for path in {one.path for one in OPERATIONS}:
        taken = {one.method for one in OPERATIONS if one.path == path}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - taken:
            there = re.sub(r"\{(\w+)\}", "x", path)
            answer = await admin.request(method, there)
            if answer.status_code == 404:  # e.g. /v1/products/import under /v1/products/{sku}
                continue
            problem(answer, 405, "method_not_allowed")
            assert taken <= set(answer.headers["allow"].split(", "))


SALE_FAULTS: list[tuple[str, Any, str]] = [
    ("/receipt/lines/0/quantity", 1, 'must be a decimal string such as "2" or "0.357", not a num'),
    ("/receipt/lines/0/quantity", "1e5", 'must be a decimal string such as "2" or "0.357"'),
    ("/receipt/lines/0/quantity", " 1", 'must be a decimal string such as "2" or "0.357"'),
    ("/receipt/lines/0/quantity", "١", 'must be a decimal string such as "2" or "0.357"'),
    ("/receipt/lines/0/quantity", "-1", 'must be a decimal string such as "2" or "0.357"'),
    ("/receipt/lines/0/quantity", "1,5", 'must be a decimal string such as "2" or "0.357"'),
    ("/receipt/lines/0/quantity", "9999999999", 'must be a decimal string such as "2"'),
    ("/receipt/lines/0/amount", 100, 'must be a decimal string such as "12.50", not a number'),
    ("/receipt/lines/0/amount", 100.0, 'must be a decimal string such as "12.50", not a number'),
    ("/receipt/lines/0/amount", "-1.00", "must be a decimal string without a sign"),
    ("/receipt/lines/0/amount", "1.005", "at most two decimals"),
    ("/receipt/lines/0/amount", "NaN", 'such as "12.50"'),
    ("/receipt/lines/0/amount", "1e3", 'such as "12.50"'),
    ("/receipt/lines/0/amount", "١٠", 'such as "12.50"'),
    ("/receipt/lines/0/amount", "1000000000000.01", "must not be more than 1000000000000.00"),
    ("/receipt/lines/0/amount", "9" * 30, 'such as "12.50"'),
    ("/receipt/lines/0/amount", "99.00", "is 99.00, but 1 × 100.00 is 100.00"),
    ("/receipt/lines/0/line", 0, "must be at least 1"),
    ("/receipt/lines/0/line", 2**70, "must be at most 1000000"),
    ("/receipt/lines/0/line", 1.0, "must be a whole number, without a point"),
    ("/receipt/lines/0/line", "1", "must be a whole number, not a string"),
    ("/receipt/lines/0/sku", "", "must have 1 to 64 characters"),
    ("/receipt/lines/0/sku", "a b", "no spaces, slashes or controls"),
    ("/receipt/lines/0/group", "nowhere", "there is no product group 'nowhere'"),
    ("/receipt/lines/0/promo", "false", "must be true or false, not a string"),
    ("/receipt/lines", [], "must have at least 1 item"),
    ("/receipt/occurred_at", "2026-11-21T14:03:00", "needs an offset from UTC at its end"),
    ("/receipt/occurred_at", "21.11.2026 14:03", "must be an RFC 3339 time with offset"),
    ("/receipt/occurred_at", 1795262580, "must be a time string such as"),
    ("/receipt/occurred_at", "2199-11-21T14:03:00Z", "check the till's clock"),
    ("/receipt/occurred_at", "1969-12-31T23:59:59Z", "between the years 1970 and 2200"),
    ("/receipt/occurred_at", "9999-12-31T23:59:59-23:59", "between the years 1970 and 2200"),
    ("/receipt/occurred_at", "2026-02-30T00:00:00Z", "must be an RFC 3339 time with offset"),
    ("/receipt/nubmer", "1", "is not a known field; did you mean 'number'?"),
    ("/customer", {}, "exactly one of customer_id, phone, card"),
    ("/customer", {"phone": "+79161234567", "card": "1"}, "exactly one of customer_id, phone"),
    ("/customer/phone", "call me", 'must be a phone number such as "+79161234567"'),
    ("/store", "nowhere", "there is no store 'nowhere'"),
    ("/channel", "nowhere", "nowhere"),
    ("/redeem", {}, "needs exactly one of points, redemption_id"),
    ("/redeem/points", "max", 'such as "12.50"'),
    ("/redeem/points", "100.01", "points may pay at most 100.00 of this receipt"),
    ("/redeem/points", "+1.00", "must be a decimal string without a sign"),
]


@pytest.mark.parametrize(("pointer", "value", "words"), SALE_FAULTS)
async def test_a_sale_with_a_fault_is_told_which(
    pointer: str, value: Any, words: str, shop: Shop, contents: Contents
) -> None:
    body = replaced(shop.sale(redeem={"points": "1.00"}), pointer, value)
    before = await contents()
    document = problem(await shop.post("/v1/receipts", body), 400, "validation_failed")
    faults = {fault["pointer"]: fault["detail"] for fault in document["errors"]}
    at = "/store" if pointer == "/channel" else pointer
    assert words in faults[at], document
    assert f"{at}: " in document["detail"]
    assert await contents() == before


async def test_all_faults_are_told_at_once_up_to_twenty(shop: Shop) -> None:
    lines = [{"line": "x", "sku": 1, "quantity": "1", "price": "1"} for _ in range(1000)]
    document = problem(await shop.post("/v1/receipts", shop.sale(*lines)), 400, "validation_failed")
    assert len(document["errors"]) == 20
    assert {"pointer": "/receipt/lines/0/amount", "detail": "is missing"} in document["errors"]


async def test_a_malformed_request_does_not_use_up_its_key(shop: Shop) -> None:
    key, sale = fresh_key(), shop.sale()
    wrong = replaced(sale, "/receipt/lines/0/amount", "99.00")
    problem(await shop.post("/v1/receipts", wrong, key=key), 400, "validation_failed")
    done(await shop.post("/v1/receipts", sale, key=key))
    problem(await shop.post("/v1/receipts", wrong, key=key), 422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "a\tb"])
async def test_idempotency_keys_have_1_to_255_visible_characters(
    key: str, shop: Shop, contents: Contents
) -> None:
    before = await contents()
    headers = {"idempotency-key": key}
    answer = await shop.client.post("/v1/receipts", json=shop.sale(), headers=headers)
    document = problem(answer, 400, "validation_failed")
    assert document["errors"] == [
        {
            "pointer": "/header/Idempotency-Key",
            "detail": "must be 1 to 255 visible ASCII characters",
        }
    ]
    answer = await shop.client.post("/v1/receipts", json=shop.sale())
    assert "the same at every retry" in problem(answer, 400, "idempotency_key_missing")["detail"]
    assert await contents() == before


@pytest.mark.parametrize("lines", [1001, 30_000, 100_000])
async def test_too_many_lines_cost_little(lines: int, shop: Shop, contents: Contents) -> None:
    before = await contents()
    body = shop.sale(*(shop.line(line=number + 1) for number in range(lines)))
    started = time.monotonic()
    answer = await shop.post("/v1/receipts", body)
    assert answer.status_code == (413 if lines == 100_000 else 400)
    assert time.monotonic() - started < 3
    if lines < 100_000:
        assert answer.json()["detail"] == "/receipt/lines: must have at most 1000 items"
    assert await contents() == before


@pytest.mark.parametrize(
    "body",
    [
        {"x" * 4_000_000: 1},
        {"abcdefgh" * 25_000 + str(number): 1 for number in range(20)},
        {f"n{number}": 1 for number in range(250_000)},
        {"phone": "9" * 4_000_000},
        {"phone": "\0", "cards": ["x"] * 500_000},
        {"phone": "+79161234567", "external_ids": {f"k{n}": "v" for n in range(100_000)}},
        {"phone": "+79161234567", "external_ids": {f"k{n}": 1 for n in range(100_000)}},
    ],
    ids=["a long name", "long names", "many names", "a long phone", "NUL", "ids", "wrong ids"],
)
async def test_a_body_made_to_cost_time_costs_little(
    body: dict[str, Any], admin: httpx.AsyncClient, contents: Contents
) -> None:
    before = await contents()
    started = time.monotonic()
    answer = await admin.post("/v1/customers", json=body)
    problem(answer, 400, "validation_failed")
    assert time.monotonic() - started < 10  # What grew with the square would take minutes.
    assert len(answer.content) < 10_000, "what was sent is not echoed whole"
    assert await contents() == before


async def test_external_ids_are_bounded_also_bit_by_bit(shop: Shop) -> None:
    found = done(await shop.client.get("/v1/customers", params={"phone": shop.phone}))
    path = f"/v1/customers/{found['items'][0]['id']}"
    ids = {f"system-{n}": f"{shop.number}-{n}" for n in range(51)}
    document = problem(await shop.client.patch(path, json={"external_ids": ids}), 400,
                       "validation_failed")  # fmt: skip
    assert document["detail"] == "/external_ids: must have at most 50 items"
    last = {"system-50": ids.pop("system-50")}
    done(await shop.client.patch(path, json={"external_ids": ids}))
    answer = await shop.client.patch(path, json={"external_ids": last})
    assert "null removes one" in problem(answer, 400, "validation_failed")["detail"]
    done(await shop.client.patch(path, json={"external_ids": {"system-0": None, **last}}))


async def test_what_is_said_twice_is_not_guessed(shop: Shop, contents: Contents) -> None:
    """D4: neither a till nor a proxy may be misread in what it repeats."""
    before = await contents()
    sale = json.dumps(shop.sale()).encode()
    twice = sale[:-1] + b', "store": "' + shop.store.encode() + b'"}'
    headers = {"idempotency-key": fresh_key(), **JSON}
    answer = await shop.client.post("/v1/receipts", content=twice, headers=headers)
    assert problem(answer, 400, "validation_failed")["detail"] == "/store: is named twice"
    for name in ("Idempotency-Key", "Content-Type", "Authorization"):
        sent = {"authorization": shop.client.headers["authorization"], **headers}
        again = (name.encode(), sent[name.lower()].encode())
        pairs = [(n.encode(), value.encode()) for n, value in sent.items()]
        answer = await shop.client.post("/v1/receipts", content=sale, headers=[*pairs, again])
        assert problem(answer, 400, "validation_failed")["errors"] == [
            {"pointer": f"/header/{name}", "detail": "is sent more than once; send it once"}
        ]
    assert await contents() == before
    done(await shop.client.post("/v1/receipts", content=sale, headers=headers))


async def test_in_a_batch_only_the_operation_that_says_it_twice_is_refused(shop: Shop) -> None:
    good, bad = json.dumps(shop.sale()), json.dumps(shop.sale())[:-1] + ', "redeem": null}'
    bad = bad[:-1] + ', "redeem": null}'
    operations = ",".join(
        f'{{"kind": "receipt", "idempotency_key": "{fresh_key()}", "body": {body}}}'
        for body in (good, bad)
    )
    batch = f'{{"operations": [{operations}]}}'
    results = done(await shop.client.post("/v1/batches", content=batch, headers=JSON))["results"]
    assert [result["status"] for result in results] == [201, 400]
    assert results[1]["body"]["detail"] == "/redeem: is named twice"
    again = batch.replace('"kind"', '"kind": "receipt", "kind"', 1)
    answer = await shop.client.post("/v1/batches", content=again, headers=JSON)
    assert problem(answer, 400, "validation_failed")["detail"].endswith("kind: is named twice")


async def test_a_receipt_is_the_same_however_its_number_is_composed(shop: Shop) -> None:
    """One natural key for what looks alike: composed, decomposed, in a path."""
    number, apart = f"Чей-{shop.number}", f"Чеи\u0306-{shop.number}"
    sale = replaced(shop.sale(), "/receipt/number", apart)
    assert done(await shop.post("/v1/receipts", sale))["receipt_number"] == number
    again = await shop.post("/v1/receipts", replaced(sale, "/receipt/number", number))
    problem(again, 409, "receipt_exists")
    for text in (number, apart):
        done(await shop.client.get(f"/v1/receipts/{shop.store}/{text}"))
    for hidden in ("\u200b", "\xad", "\ufe0f", "\u2800", "\U000e0031"):
        unlike = replaced(sale, "/receipt/number", number + hidden)
        answer = await shop.post("/v1/receipts", unlike)
        assert "visible characters only" in problem(answer, 400, "validation_failed")["detail"]


JUNK_NAMES = ["%00", "a%00b", "%FF", "%ED%A0%80", "%C0%AF", "%E2%80%AE", "%20", "x" * 5000]
"""NUL, no UTF-8, a surrogate, an overlong slash, a text turner, a space, too long."""


@pytest.mark.parametrize("declared", [o for o in OPERATIONS if "{" in o.path], ids=named)
async def test_junk_in_a_path_is_refused(
    declared: Operation, admin: httpx.AsyncClient, contents: Contents
) -> None:
    before = await contents()
    example: Any = next(iter(declared.examples.values()), {})
    for junk in JUNK_NAMES:
        path = re.sub(r"\{\w+\}", lambda _: junk, declared.path)  # noqa: B023
        headers = {"idempotency-key": fresh_key(), **JSON}
        answer = await admin.request(
            declared.method, path, content=json.dumps(example), headers=headers
        )
        assert answer.status_code in (400, 404), (junk, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        if junk in JUNK_NAMES[:4]:
            assert "must be UTF-8, without a NUL character" in answer.json()["detail"]
    for junk in ("a%2Fb", "..%2F..%2Fetc"):
        path = re.sub(r"\{\w+\}", lambda _: junk, declared.path)  # noqa: B023
        answer = await admin.request(declared.method, path, json=example)
        assert 400 <= answer.status_code < 500, (junk, answer.text)
    assert await contents() == before


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=501", "limit=-1", "limit=abc", "limit=", "limit=١"),
        *("limit=99999999999999999999999", "limit=1&limit=2", "cursor=x", "cursor=", "cursor=W10"),
        *("cursor=WyJcdTAwMDAiXQ", "nosuch=1", "%FF=1", "limit=%00"),
        "&".join(f"a{n}=1" for n in range(200)),
    ],
)
async def test_junk_in_a_query_is_refused(query: str, admin: httpx.AsyncClient) -> None:
    for declared in OPERATIONS:
        if declared.query is not None and declared.method == "GET":
            path = re.sub(r"\{\w+\}", UNKNOWN_ID, declared.path)
            document = problem(await admin.get(f"{path}?{query}"), 400, "validation_failed")
            assert document["errors"][0]["pointer"].startswith("/query")


async def test_junk_in_headers_harms_nobody(shop: Shop) -> None:
    for name, value in (
        ("accept-language", "\x01;q=é,,;=*"),
        ("accept-language", "ru;q=9e99," + ",x" * 3000),
        ("x-request-id", "<script>é"),
        ("accept", "image/png"),
        ("expect", "something"),
        ("content-encoding", "gzip"),
    ):
        headers = {b"idempotency-key": fresh_key().encode(), name.encode(): value.encode("latin-1")}
        answer = await shop.client.post("/v1/receipts", json=shop.sale(), headers=headers)
        assert answer.status_code < 500, (name, answer.text)
    for value in ("Bearer", "Basic eA==", "Bearer " + "x" * 5000, "Bearer bonus_é"):
        headers = {b"authorization": value.encode("latin-1")}
        answer = await shop.client.get("/v1/channels", headers=headers)
        assert "bonus keys create" in problem(answer, 401, "unauthorized")["detail"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/channels\r\n\r\n",
        b"GET /v1/channels HTTP/9.9\r\n\r\n",
        b"POST /v1/receipts HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/receipts HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/receipts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/channels HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"GET /v1/channels HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    ],
    ids=["TLS", "no version", "HTTP/9", "length -1", "two lengths", "chunk", "long", "many"],
)
async def test_what_is_no_http_is_cut_off(request_bytes: bytes, serving: Serving) -> None:
    port = urlsplit(serving.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes)
    try:
        answer = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        answer = b""
    writer.close()
    assert not answer or answer.split()[1].startswith(b"4"), answer[:200]
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{serving.url}/health/live")).status_code == 200


async def test_a_request_cut_off_in_its_body_has_no_effect(
    shop: Shop, serving: Serving, contents: Contents
) -> None:
    before = await contents()
    body = json.dumps(shop.sale()).encode()
    port = urlsplit(serving.url).port
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/receipts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: {shop.client.headers['authorization']}\r\n"
        f"idempotency-key: {fresh_key()}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:-20])
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.3)
    assert await contents() == before


async def test_a_body_nobody_asked_for_does_not_spoil_the_connection(shop: Shop) -> None:
    headers = {"idempotency-key": fresh_key()}
    path = f"/v1/redemptions/{UNKNOWN_ID}/release"
    answer = await shop.client.post(path, content=b"x" * 1_000_000, headers=headers)
    problem(answer, 404, "not_found")
    done(await shop.client.get("/v1/channels"))


RICHEST = "1000000000000.00"


async def test_a_receipt_beyond_all_sums_is_refused(shop: Shop, contents: Contents) -> None:
    before = await contents()
    lines = [shop.line(RICHEST, line=number + 1) for number in range(1000)]
    answer = await shop.post("/v1/receipts", shop.sale(*lines))
    document = problem(answer, 400, "validation_failed")
    assert document["detail"] == "/receipt/lines: add up to more than 1000000000000.00"
    assert await contents() == before


async def test_points_beyond_what_can_be_counted_are_refused(shop: Shop) -> None:
    stated = [{"points": RICHEST}] * 10
    results: list[dict[str, Any]] = []
    for _ in range(10):
        operations = [
            {
                "kind": "accrual",
                "idempotency_key": fresh_key(),
                "body": shop.sale(stated=stated),
            }
            for _ in range(1000)
        ]
        answer = done(await shop.client.post("/v1/batches", json={"operations": operations}))
        results += answer["results"]
    assert {result["status"] for result in results} == {201, 409}
    assert results[-1]["body"]["code"] == "balance_limit"


async def test_a_group_with_a_command_that_cannot_be_lets_the_others_through(shop: Shop) -> None:
    await shop.give("+1.00")
    good = [shop.post("/v1/receipts", shop.sale()) for _ in range(20)]
    bad = [shop.post("/v1/receipts", shop.sale(redeem={"points": "99.00"})) for _ in range(5)]
    answers = await asyncio.gather(*bad, *good)
    assert [answer.status_code for answer in answers] == [409] * 5 + [201] * 20
