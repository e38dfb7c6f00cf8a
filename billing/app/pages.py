"""What the service shows beside its operations: its documentation and its metrics."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from billing.app import openapi
from billing.common.answer import Answer
from billing.common.errors import NotFound
from billing.common.http import Call, Operation, operation
from billing.common.metrics import CONTENT_TYPE, Metrics

_TYPES = {
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
}
_ASSETS = ("docs.js", "swagger-ui-bundle.js", "swagger-ui.css")
_CACHED = ((b"cache-control", b"public, max-age=3600"),)


@operation("GET", "/metrics", summary="Metrics for Prometheus", tag="Health", may=None, answers={})
async def metrics(call: Call) -> Answer:
    return Answer(call.use(Metrics).exposition(), media_type=CONTENT_TYPE)


@operation("GET", "/openapi.json", summary="This document", tag="Health", may=None, answers={})
async def openapi_json(call: Call) -> Answer:
    return Answer(openapi.current())


@operation("GET", "/docs", summary="The documentation", tag="Health", may=None, answers={})
async def docs(call: Call) -> Answer:
    return _file("docs.html")


@operation("GET", "/docs/{asset}", summary="Its parts", tag="Health", may=None, answers={})
async def docs_asset(call: Call) -> Answer:
    if call.path["asset"] not in _ASSETS:
        raise NotFound("There is nothing at this address; /docs is the documentation.")
    return _file(call.path["asset"])


@cache
def _content(name: str) -> bytes:
    return (files("billing.app") / "static" / name).read_bytes()


def _file(name: str) -> Answer:
    return Answer(_content(name), headers=_CACHED, media_type=_TYPES[name.rpartition(".")[2]])


PAGES: list[Operation] = [metrics, openapi_json, docs, docs_asset]
