"""One attempt, whatever the other side does."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integrations.webhooks.guard import Guard
from integrations.webhooks.sender import READ_BYTES, Sender
from tests.integrations.webhooks.house import HERE
from tests.integrations.webhooks.receiver import (
    Answer,
    Message,
    Receiver,
    listening,
    never,
    status,
)

PATIENCE_S = 0.5


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    made = Sender(HERE, timeout_s=PATIENCE_S)
    yield made
    await made.close()


def raw(*chunks: bytes, pause_s: float = 0.0) -> Answer:
    async def answer(message: Message, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(pause_s)
        writer.close()

    return answer


async def huge(message: Message, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


async def test_an_answer_without_an_end_is_read_to_its_bound_and_counts(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.answer = huge
    reply = await sender.send(receiver.url, {}, b"{}")
    assert (reply.status, reply.answer) == (200, "x" * 500)
    receiver.answer = status(200, b"y" * (READ_BYTES * 3))
    assert (await sender.send(receiver.url, {}, b"{}")).delivered


@pytest.mark.parametrize(
    "answer",
    [
        never,
        raw(*[b"HTTP/1.1 200 OK\r\n"], *[b"x: y\r\n"] * 100, pause_s=0.1),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", *[b"z"] * 8, pause_s=0.1),
    ],
)
async def test_slowness_of_every_kind_has_one_bound(
    sender: Sender, receiver: Receiver, answer: Answer
) -> None:
    receiver.answer = answer
    began = time.monotonic()
    reply = await sender.send(receiver.url, {}, b"{}")
    assert (reply.status, reply.error) == (None, "timeout")
    assert time.monotonic() - began < PATIENCE_S + 0.5
    assert reply.duration_ms >= 1000 * PATIENCE_S - 50


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (raw(), "remote_protocol_error"),
        (raw(b"\x16\x03\x01 what?\r\n\r\n"), "remote_protocol_error"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000), "remote_protocol_error"),
    ],
)
async def test_what_is_no_answer_is_a_failure(
    sender: Sender, receiver: Receiver, answer: Answer, error: str
) -> None:
    receiver.answer = answer
    assert (await sender.send(receiver.url, {}, b"{}")).error == error


async def test_nobody_there(sender: Sender) -> None:
    async with listening() as gone:
        pass
    assert (await sender.send(gone.url, {}, b"{}")).error == "connect_error"


async def test_tls_asks_for_the_name_of_the_url_at_the_address_that_was_checked(
    tmp_path: Path,
) -> None:
    asked: list[str | None] = []
    server, trust = certificate(tmp_path, "crm.example.org")

    def note(socket: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        asked.append(name)

    server.sni_callback = note

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    hosts = frozenset(("crm.example.org", "evil.example.org"))
    guard = Guard(hosts=hosts, resolve=resolve)
    sender = Sender(guard, timeout_s=5, trust=trust)
    async with listening(server) as receiver:
        for host in sorted(hosts):
            reply = await sender.send(f"https://{host}:{receiver.port}/hooks", {}, b"{}")
            assert reply.delivered is (host == "crm.example.org"), reply
        assert reply.error == "connect_error"
        await sender.close()
    assert asked == ["crm.example.org", "evil.example.org"]
    (message,) = receiver.messages
    assert message.headers["host"] == f"crm.example.org:{receiver.port}"


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server that is `name`, and a client that believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, secret)
    return server, ssl.create_default_context(cafile=str(chain))
