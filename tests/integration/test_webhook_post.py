"""One try over real sockets, against servers that attack: rebinding names, slow drips, bad certificates."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ingest.webhooks.guard import Guard
from ingest.webhooks.post import Sender, tls_context
from tests.doubles.hooked import LOOPBACK, Receiver, receiving

BODY = b'{"type":"webhook.test"}'
Talk = Callable[[socket.socket], object]


@contextmanager
def talking(talk: Talk) -> Iterator[tuple[int, list[str]]]:
    """Run a server that talks its own way with each caller; gives its port, and who called."""
    callers: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with suppress(TimeoutError):
                    wire, (host, _) = listener.accept()
                    callers.append(host)
                    with wire, suppress(OSError):
                        wire.settimeout(5)
                        talk(wire)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], callers
        finally:
            stop.set()
            thread.join()


def hear(wire: socket.socket) -> bytes:
    """Take a whole request."""
    came = b""
    while BODY not in came:
        came += wire.recv(4096)
    return came


class Turncoat:
    """A name that answers with a public address when it is judged, and with the loopback ever after."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> Iterable[str]:
        self.asked += 1
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0],)


def test_a_name_that_changes_its_mind_is_asked_once_and_the_judged_address_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the second answer, the loopback, would be connected to if the name were looked up again."""
    called: list[object] = []

    def refuse(address: tuple[str, int], *rest: object) -> socket.socket:
        called.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    turncoat = Turncoat("93.184.216.34", "127.0.0.1")
    answer = Sender(Guard(), resolve=turncoat).send("https://billing.example/", {}, BODY)
    assert (answer.status, answer.fault) == (None, "refused")
    assert called == [("93.184.216.34", 443)]
    assert turncoat.asked == 1


def test_a_name_that_leads_to_the_loopback_is_not_called() -> None:
    with talking(hear) as (port, callers):
        guard = Guard(ports=frozenset({port}))
        for address in ("127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::1"):
            answer = Sender(guard, resolve=Turncoat(address)).send(f"https://billing.example:{port}/", {}, BODY)
            assert answer.status is None
            assert answer.fault.startswith("refused: billing.example leads to ")
        assert callers == []


def test_a_real_resolver_gives_no_way_round_by_older_writings() -> None:
    with talking(hear) as (port, callers):
        guard = Guard(ports=frozenset({port}))
        for host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::ffff:7f00:1]", "0"):
            assert Sender(guard).send(f"https://{host}:{port}/", {}, BODY).fault.startswith("refused: ")
        assert callers == []


def test_an_answer_is_its_status_and_how_long_to_wait() -> None:
    with receiving(Receiver([429], {"Retry-After": "120", "Set-Cookie": "a=b"})) as receiver:
        answer = Sender(LOOPBACK).send(receiver.url, {"webhook-id": "evt_1"}, BODY)
        assert (answer.status, answer.retry_after, answer.fault) == (429, 120, "")
        (came,) = receiver.came
        assert came.body == BODY
        assert came.headers["webhook-id"] == "evt_1"
        assert came.headers["user-agent"] == "Metertree-Webhooks/1"
        Sender(LOOPBACK).send(receiver.url, {}, BODY)
        assert "cookie" not in receiver.came[1].headers


@pytest.mark.parametrize("text", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 40, "٣"])
def test_a_retry_after_that_is_no_number_of_seconds_is_left_out(text: str) -> None:
    def talk(wire: socket.socket) -> None:
        hear(wire)
        wire.sendall(f"HTTP/1.1 503 No\r\nRetry-After: {text}\r\n\r\n".encode())

    with talking(talk) as (port, _):
        answer = Sender(LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, BODY)
    assert (answer.status, answer.retry_after) == (503, None)


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert Sender(LOOPBACK).send(receiver.url, {}, BODY).status == 204
        assert proxy.came == []


def drip_head(wire: socket.socket) -> None:
    """Never end the head of an answer."""
    hear(wire)
    wire.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        wire.sendall(b"X-Drip: 1\r\n")
        threading.Event().wait(0.1)


def drip_status(wire: socket.socket) -> None:
    """Begin an answer octet by octet."""
    hear(wire)
    for octet in b"HTTP/1.1 200" + b" " * 10_000:
        wire.sendall(bytes([octet]))
        threading.Event().wait(0.1)


def mute(wire: socket.socket) -> None:
    """Take the request and say nothing."""
    hear(wire)
    threading.Event().wait(3)


def continue_for_ever(wire: socket.socket) -> None:
    """Say 100 Continue without end."""
    hear(wire)
    while True:
        wire.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        threading.Event().wait(0.02)


@pytest.mark.parametrize("talk", [drip_head, drip_status, mute, continue_for_ever])
def test_an_answer_that_never_ends_is_cut_off_at_the_deadline(talk: Talk) -> None:
    with talking(talk) as (port, _):
        begun_s = time.monotonic()
        answer = Sender(LOOPBACK, deadline_s=0.7).send(f"http://127.0.0.1:{port}/", {}, BODY)
        took_s = time.monotonic() - begun_s
    assert answer.status is None
    assert took_s < 2.5
    assert answer.fault


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n"]
)
def test_what_is_no_answer_is_a_failure_and_never_an_error(said: bytes) -> None:
    def talk(wire: socket.socket) -> None:
        hear(wire)
        wire.sendall(said)

    with talking(talk) as (port, _):
        answer = Sender(LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, BODY)
    assert answer.status is None
    assert answer.fault


def test_the_body_of_an_answer_is_not_read() -> None:
    """A gigabyte that is offered costs nothing, and nothing of it is kept."""

    def talk(wire: socket.socket) -> None:
        hear(wire)
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nsecret of the inner network")
        threading.Event().wait(0.5)

    with talking(talk) as (port, _):
        answer = Sender(LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, BODY)
    assert (answer.status, answer.fault) == (200, "")
    assert answer.took_ms < 450


def certified(folder: Path, name: str, *, ends_in: timedelta = timedelta(days=1)) -> Path:
    """Write key and self-signed certificate of `name` into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + ends_in)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def secured(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Run a server with a certificate; gives its port and the host names that callers asked for."""
    asked: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.sni_callback = lambda _wire, name, _context: asked.append(name)

    def talk(wire: socket.socket) -> None:
        with context.wrap_socket(wire, server_side=True) as safe:
            hear(safe)
            safe.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with talking(talk) as (port, _):
        yield port, asked


def test_a_server_proves_the_name_that_was_written_though_it_is_called_by_its_address(tmp_path: Path) -> None:
    file = certified(tmp_path, "billing.example")
    trusting = tls_context(file)
    with secured(file) as (port, asked):
        url = f"https://billing.example:{port}/hook"
        loopback = Turncoat("127.0.0.1")
        assert Sender(LOOPBACK, trusting, resolve=loopback).send(url, {}, BODY).status == 204
        assert asked == ["billing.example"]
        other = Sender(LOOPBACK, trusting, resolve=loopback).send(f"https://other.example:{port}/", {}, BODY)
        assert other.status is None
        assert "certificate" in other.fault.lower()
        unknown = Sender(LOOPBACK, resolve=loopback).send(url, {}, BODY)
        assert unknown.status is None
        assert "certificate" in unknown.fault.lower()


def test_a_certificate_that_ended_is_not_believed(tmp_path: Path) -> None:
    file = certified(tmp_path, "billing.example", ends_in=timedelta(days=-1))
    with secured(file) as (port, _):
        sender = Sender(LOOPBACK, tls_context(file), resolve=Turncoat("127.0.0.1"))
        answer = sender.send(f"https://billing.example:{port}/", {}, BODY)
    assert answer.status is None
    assert "expired" in answer.fault


def test_the_next_address_is_tried_when_the_first_does_not_take_the_call() -> None:
    guard = Guard(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    with receiving() as receiver:
        port = receiver.url.rsplit(":", 1)[1].split("/")[0]

        def resolve(host: str, port: int) -> Iterable[str]:
            return ("127.0.0.9", "127.0.0.1")

        answer = Sender(guard, resolve=resolve).send(f"http://billing.example:{port}/", {}, BODY)
        assert answer.status == 204


def test_a_name_that_nobody_knows_and_a_port_that_nobody_listens_on_are_failures() -> None:
    def resolve(host: str, port: int) -> Iterable[str]:
        raise socket.gaierror(-2, "Name or service not known")

    unknown = Sender(Guard(), resolve=resolve).send("https://nowhere.example/", {}, BODY)
    assert "not known" in unknown.fault
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    refused = Sender(LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, BODY)
    assert "refused" in refused.fault.lower()
