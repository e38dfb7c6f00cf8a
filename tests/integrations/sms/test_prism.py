"""Twilio's own OpenAPI documents, served by Prism: a request that is not as they say is refused.
A field too many is not: our own contract, which has to be within the documents, knows of those.

Neither is part of the repository: docs/sms.md says how to get both and how to name them here.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from billing.common.errors import Overloaded
from billing.messages.checks import CheckStarted
from billing.messages.statuses import Said
from integrations.sms.gateway import CheckGateway
from integrations.sms.protocol import Missing, Sent
from integrations.sms.schemas import SmsProviderIn
from integrations.sms.store import ProviderRow
from ledger.ids import uuid7
from tests.integrations.sms.house import ANNA, SECRETS, House
from tests.integrations.sms.twilio_contract import OPERATIONS, Operation, S
from tests.ports import free_port

API, VERIFY = "twilio_api_v2010", "twilio_verify_v2"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MESSAGES = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
START_S = 60.0
SENDERS = [{"sender": "+15557654321"}, {"messaging_service_sid": f"MG{S}"}]

Document = dict[str, Any]


def named(variable: str) -> str:
    given = os.environ.get(variable)
    if not given:
        pytest.skip(f"{variable} names nothing; docs/sms.md says what it is for")
    return given


@pytest.fixture(scope="session")
def documents() -> dict[str, Document]:
    """Of a copy of Twilio's repository of them."""
    folder = Path(named("BONUS_TEST_TWILIO_OAI")) / "spec" / "json"
    return {name: json.loads((folder / f"{name}.json").read_bytes()) for name in (API, VERIFY)}


class Mock(msgspec.Struct):
    """Prism with one document; what it says of requests is in `log`."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    async def ready(self) -> None:
        async with asyncio.timeout(START_S):
            while "Prism is listening" not in self.log.read_text():
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.1)

    async def verdict(self, path: str) -> str:
        """What it says of a request whose answer the adapter does not look at."""
        said = re.compile(f"{path} .*?(Responding with|terminated with error)", re.DOTALL)
        async with asyncio.timeout(START_S):
            while not (found := said.search(self.log.read_text())):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found[1]


@pytest.fixture(scope="session")
def started(
    documents: dict[str, Document], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Mock]]:
    program = shutil.which(named("BONUS_TEST_PRISM"))
    assert program is not None, "BONUS_TEST_PRISM names no program"
    folder = tmp_path_factory.mktemp("prism")
    made = {}
    for name, document in documents.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(served(document)))
        made[name] = start(program, file)
    yield made
    for one in made.values():
        one.process.terminate()
        one.process.wait(20)


def served(document: Document) -> Document:
    """As it is, but that addresses in answers may be relative, as in Twilio's own examples: Prism
    would refuse its own answer."""
    for _, operation in operations(document):
        answer = operation["responses"].get("200", {}).get("content", {}).get(JSON, {})
        for one in answer.get("schema", {}).get("properties", {}).values():
            if one.get("format") == "uri":
                del one["format"]
    return document


def operations(document: Document) -> Iterator[tuple[tuple[str, str], Any]]:
    """Each by its method and path."""
    for path, item in document["paths"].items():
        for method in {"get", "post", "delete"} & set(item):
            yield (method.upper(), path), item[method]


def start(program: str, file: Path) -> Mock:
    port, log = free_port(), file.with_suffix(".log")
    words = [program, "mock", "--errors", "--host", "127.0.0.1", "--port", str(port), str(file)]
    with log.open("wb") as into:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=into, stderr=into)
    return Mock(f"http://127.0.0.1:{port}", log, process)


@pytest.fixture
async def prism(started: dict[str, Mock]) -> dict[str, Mock]:
    for one in started.values():
        await one.ready()
    return started


async def set_up(house: House, prism: dict[str, Mock], **settings: Any) -> ProviderRow:
    """Prism in the place of Twilio."""
    plain = {
        "account_sid": f"AC{S}",
        "verify_service_sid": f"VA{S}",
        "endpoint": prism[API].url,
        "verify_endpoint": prism[VERIFY].url,
    }
    made = SmsProviderIn(kind="twilio", settings=plain | settings, secrets=SECRETS["twilio"])
    row, _ = await house.providers.put("twilio", made)
    return row


@pytest.mark.parametrize("sender", SENDERS)
async def test_a_message_is_sent_and_asked_about_as_documented(
    house: House, prism: dict[str, Mock], sender: dict[str, str]
) -> None:
    await set_up(house, prism, **sender)
    message = await house.sent(text="Код 481526. Ёлка & <b> =?#\nдля {brand} 😀")
    (attempt,) = await house.history(message.id)
    assert (attempt.outcome, attempt.detail) == ("accepted", None)
    assert re.fullmatch("SM[0-9a-f]{32}", message.provider_message_id or "")
    await house.later(minutes=3)
    # Prism's answer is the document's example of a message that was sent.
    assert (await house.get(message.id)).status == "sent"
    balance = await house.providers.balance("twilio")
    assert (f"{balance.amount:f}", balance.currency) == ("0.05", "USD")


async def test_a_lost_message_is_looked_for_as_documented(
    house: House, prism: dict[str, Mock], documents: dict[str, Document]
) -> None:
    row = await set_up(house, prism, **SENDERS[0])
    provider = house.fleet.of(row).provider
    listed = documents[API]["paths"][MESSAGES]["get"]["responses"]["200"]["content"][JSON]
    first = next(iter(listed["examples"].values()))["value"]["messages"][0]
    for text, kind in (("of no message", Missing), (first["body"], Said)):
        sent = Sent(
            number=1, provider_message_id=None, phone=ANNA, text=text,
            at=datetime(2015, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        assert isinstance(await provider.fetch_status(sent), kind)


async def test_verify_is_asked_as_documented(house: House, prism: dict[str, Mock]) -> None:
    await set_up(house, prism, **SENDERS[0])
    gateway = CheckGateway(house.database, house.fleet, "provider")
    started = await gateway.start(uuid7(), ANNA, "ru")
    assert started == CheckStarted(ref=f"twilio:VE{S}")
    assert await gateway.check(started.ref, "123456")
    await gateway.cancel(started.ref)
    assert await prism[VERIFY].verdict(f"/Verifications/VE{S}") == "Responding with"


@pytest.mark.parametrize("wrong", [{"account_sid": "AC1"}, {"messaging_service_sid": "MG1"}])
async def test_prism_refuses_what_does_not_fit(
    house: House, prism: dict[str, Mock], wrong: dict[str, str]
) -> None:
    """Or the tests above would prove nothing."""
    sender = {} if "messaging_service_sid" in wrong else SENDERS[0]
    await set_up(house, prism, **sender, **wrong)
    message = await house.sent()
    (attempt,) = await house.history(message.id)
    assert (attempt.outcome, attempt.code) == ("rejected", "422")
    await set_up(house, prism, **SENDERS[0], verify_service_sid="VA1")
    gateway = CheckGateway(house.database, house.fleet, "provider")
    with pytest.raises(Overloaded):
        await gateway.start(uuid7(), ANNA, "ru")


@pytest.mark.parametrize("ours", OPERATIONS, ids=lambda one: one.name)
def test_our_own_contract_allows_nothing_that_the_document_does_not(
    documents: dict[str, Document], ours: Operation
) -> None:
    """What the tests that always run hold the adapter to, is Twilio's."""
    (theirs,) = [
        operation
        for document in documents.values()
        for (method, path), operation in operations(document)
        if ours.match(method, filled(path, operation))
    ]
    form = theirs.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema", {})
    assert set(ours.form) <= set(form.get("properties", {}))
    assert set(ours.required) >= set(form.get("required", ()))
    query = {one["name"] for one in theirs["parameters"] if one["in"] == "query"}
    assert set(ours.query) <= query
    answers = theirs["responses"][str(ours.status)]["content"][JSON]["examples"].values()
    assert set(ours.answer) <= set().union(*(one["value"] for one in answers))


def filled(path: str, operation: Any) -> str:
    """A path with ids in it that fit their patterns; the id of a verification has none."""
    named = operation.get("parameters", ())
    patterns = {one["name"]: one["schema"].get("pattern", "VE") for one in named}
    return re.sub(r"{(\w+)}", lambda found: example_of(patterns[found[1]]), path)


def example_of(pattern: str) -> str:
    kind = re.search("[A-Z]{2}", pattern)
    return f"{kind[0] if kind else ''}{S}"
