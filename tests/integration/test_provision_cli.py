"""`metertree-provision` against a centre on loopback that decides as the real one does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from metering.clock import SystemClock
from metering.errors import SenderError
from metering.identity import GatewayId, SiteId
from provisioning.broker_tls import BrokerTls
from provisioning.cli import main
from provisioning.enrolment import Claim, InstallOrder, Refused, decide, open_bundle, open_order
from provisioning.gateway_config import GatewayConfig, GroupInterval, HttpWay
from provisioning.keys import FileSigner, read_public_key
from provisioning.signers import open_signer
from tests.doubles.authorities import pem, servers_root
from tests.doubles.soft_token import find_module, fresh_place
from tests.doubles.tls_broker import HAS_OPENSSL, make_certificates

PARK = Path(__file__).parents[2] / "examples" / "park"
TOKEN = "admin-token-of-this-test"
CENTRE = FileSigner.from_seed(bytes(32))


class Centre:
    """The books of a centre, in memory."""

    def __init__(self) -> None:
        self.orders: dict[bytes, InstallOrder] = {}
        self.epochs: dict[str, int] = {}
        self.lose_answers = 0
        self.answer_html = False
        self.answer_instead: dict[str, Any] | None = None

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer one request: status and document."""
        if (method, path) == ("POST", "/v1/install-orders"):
            return self.order(token, json.loads(body))
        if (method, path) == ("POST", "/v1/enrolments"):
            return self.enrol(body)
        gateway = path.removeprefix("/v1/gateways/")
        if gateway in self.epochs:
            return 200, {"gateway": gateway, "epoch": self.epochs[gateway], "last_mark": None}
        return 404, {"title": "Not Found", "detail": f"gateway {gateway} does not exist", "mend": "order it first"}

    def order(self, token: str | None, content: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Open an install order for the bearer of the token."""
        if token != f"Bearer {TOKEN}":
            return 401, {"title": "Unauthorized", "detail": "the token is not the admin token", "status": 401}
        claim = Claim.fresh()
        expires_at = datetime.fromisoformat(content["expires_at"])
        order = open_order(
            site=SiteId(content["site"]),
            gateway=GatewayId(content["gateway"]),
            engineer=content["engineer"],
            ordered_at=expires_at - timedelta(days=30),
            expires_at=expires_at,
            claim=claim,
        )
        self.orders[claim.hash] = order
        return 201, {"order": order.order, "claim": claim.text, "expires_at": content["expires_at"]}

    def enrol(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Decide about a bundle."""
        try:
            bundle = open_bundle(body)
        except SenderError as error:
            return 422, {"detail": str(error), "reason": error.reason}
        order = self.orders.get(bundle.claim_hash)
        now = SystemClock().now()
        outcome = decide(bundle, order, last_epoch=self.epochs.get(bundle.gateway, 0), now=now)
        if isinstance(outcome, Refused):
            return 409, {"detail": "the bundle is refused", "reason": outcome.reason, "mend": outcome.mend}
        self.orders[bundle.claim_hash] = outcome.order
        self.epochs[bundle.gateway] = bundle.epoch
        answer = {"gateway": bundle.gateway, "epoch": bundle.epoch, "key_id": bundle.key_id.hex()}
        return 201, answer | {"centre_public_key": CENTRE.public_key.hex()} | (self.answer_instead or {})


@pytest.fixture
def centre() -> Iterator[tuple[Centre, str]]:
    """A centre that listens on loopback, with its address."""
    books = Centre()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = books.answer(self.command, self.path, self.headers.get("Authorization"), body)
            octets = b"<html>" if books.answer_html else json.dumps(document).encode()
            if books.lose_answers:
                books.lose_answers -= 1
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        do_POST = do_GET  # noqa: N815 the standard library asks for this name

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield books, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """The file with the admin token."""
    path = tmp_path / "admin.token"
    path.write_text(TOKEN + "\n")
    return path


_folders: list[Path] = []


@pytest.fixture(autouse=True)
def claims_folder(tmp_path: Path) -> None:
    """Where claims are written: they are never arguments."""
    _folders[:] = [tmp_path]


def in_file(claim: str) -> Path:
    """Write a claim as its file."""
    path = _folders[0] / f"claim-{len(list(_folders[0].glob('claim-*')))}"
    path.write_text(claim + "\n")
    return path


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    """Run a command that succeeds; give its JSON."""
    code = main([*map(str, argv), "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    answer: dict[str, Any] = json.loads(shown.out)
    return answer


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Run a command that is refused; give what it says."""
    assert main([*map(str, argv)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


def order(capsys: pytest.CaptureFixture[str], url: str, token_file: Path, *more: object) -> str:
    """Open an order for gw-a; give its claim."""
    answer = run(
        capsys, "order", "--centre", url, "--token-file", token_file, "--site", "park", "--gateway", "gw-a",
        "--engineer", "shift 2", *more,
    )  # fmt: skip
    return str(answer["claim"])


def test_from_order_to_configuration(
    centre: tuple[Centre, str], token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = centre
    keys = tmp_path / "keys"
    claim = order(capsys, url, token_file)
    enrolled = run(
        capsys, "enrol", "--centre", url, "--gateway", "gw-a", "--claim-file", in_file(claim.lower()), "--keys", keys
    )
    assert enrolled["key_id"] == FileSigner.read(keys / "signing.key").key_id.hex()
    assert read_public_key(keys / "centre.pub").public_key == CENTRE.public_key
    assert keys.stat().st_mode & 0o777 == 0o700
    assert run(capsys, "show", "--centre", url, "--gateway", "gw-a")["epoch"] == 1
    out = tmp_path / "gateway.toml"
    written = run(
        capsys, "config", "--gateway", "gw-a", "--keys", keys, "--site-dir", PARK, "--broker", "10.0.0.1:1883",
        "--state", tmp_path / "state", "--out", out, "--also", "status:60",
    )  # fmt: skip
    assert written == {"written": str(out), "ports": 1, "meters": 11}
    config = GatewayConfig.read(out)
    assert config.intervals == (GroupInterval("status", 60),)
    assert (config.gateway, config.epoch, config.broker.host) == ("gw-a", 1, "10.0.0.1")
    assert FileSigner.read(config.signing_key).public_key == FileSigner.read(keys / "signing.key").public_key


def test_an_answer_that_was_lost_is_asked_for_again(
    centre: tuple[Centre, str], token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    books, url = centre
    claim = order(capsys, url, token_file)
    call = ("enrol", "--centre", url, "--gateway", "gw-a", "--claim-file", in_file(claim), "--keys", tmp_path / "keys")
    books.lose_answers = 1
    assert "no centre answers" in refused(capsys, *call)
    assert books.epochs == {"gw-a": 1}
    assert not (tmp_path / "keys" / "centre.pub").exists()
    assert run(capsys, *call)["epoch"] == 1


def test_a_claim_that_served_is_refused_for_another_key(
    centre: tuple[Centre, str], token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = centre
    claim = order(capsys, url, token_file)
    call = ("enrol", "--centre", url, "--gateway", "gw-a", "--claim-file", in_file(claim), "--keys")
    run(capsys, *call, tmp_path / "first")
    assert "ask for a new order" in refused(capsys, *call, tmp_path / "second")
    assert not (tmp_path / "second" / "centre.pub").exists()


def test_a_gateway_that_lost_its_key_enrols_with_the_next_epoch(
    centre: tuple[Centre, str], token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = centre
    call = ("enrol", "--centre", url, "--gateway", "gw-a", "--keys")
    run(capsys, *call, tmp_path / "lost", "--claim-file", in_file(order(capsys, url, token_file)))
    claim = order(capsys, url, token_file)
    assert "--epoch 2" in refused(capsys, *call, tmp_path / "new", "--claim-file", in_file(claim))
    assert run(capsys, *call, tmp_path / "new", "--claim-file", in_file(claim), "--epoch", 2)["epoch"] == 2


def test_a_mistyped_claim_never_reaches_the_centre(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = Claim.of_number(5).text
    said = refused(
        capsys, "enrol", "--centre", "http://127.0.0.1:9", "--gateway", "gw-a",
        "--claim-file", in_file("Z" + claim[1:]),
        "--keys", tmp_path / "keys",
    )  # fmt: skip
    assert "mistyped" in said
    assert not (tmp_path / "keys").exists()


def test_a_claim_is_asked_for_when_it_is_not_given(
    centre: tuple[Centre, str],
    token_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, url = centre
    claim = order(capsys, url, token_file)
    monkeypatch.setattr("builtins.input", lambda prompt: claim)  # noqa: ARG005
    assert run(capsys, "enrol", "--centre", url, "--gateway", "gw-a", "--keys", tmp_path / "keys")["epoch"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"gateway": "gw-b"},
        {"epoch": 7},
        {"key_id": "00" * 8},
        {"centre_public_key": "no key"},
        {"centre_public_key": "00"},
        {"centre_public_key": None},
    ],
)
def test_an_answer_that_does_not_fit_is_not_believed(
    centre: tuple[Centre, str],
    token_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, Any],
) -> None:
    books, url = centre
    claim = order(capsys, url, token_file)
    books.answer_instead = answer
    refused(
        capsys,
        "enrol",
        "--centre",
        url,
        "--gateway",
        "gw-a",
        "--claim-file",
        in_file(claim),
        "--keys",
        tmp_path / "keys",
    )
    assert not (tmp_path / "keys" / "centre.pub").exists()


def test_another_centre_does_not_take_the_place_of_the_known_one(
    centre: tuple[Centre, str], token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    books, url = centre
    call = ("enrol", "--centre", url, "--gateway", "gw-a", "--keys", tmp_path / "keys")
    run(capsys, *call, "--claim-file", in_file(order(capsys, url, token_file)))
    books.answer_instead = {"centre_public_key": FileSigner.from_seed(bytes([1]) * 32).public_key.hex()}
    said = refused(capsys, *call, "--epoch", 2, "--claim-file", in_file(order(capsys, url, token_file)))
    assert "another key" in said
    assert read_public_key(tmp_path / "keys" / "centre.pub").public_key == CENTRE.public_key


def test_a_wrong_token_is_refused(
    centre: tuple[Centre, str], token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = centre
    call = ("order", "--centre", url, "--site", "park", "--gateway", "gw-a", "--engineer", "x", "--token-file")
    token_file.write_text("another")
    assert "not the admin token" in refused(capsys, *call, token_file)
    token_file.write_text("\n")
    assert "holds no token" in refused(capsys, *call, token_file)
    assert "cannot be read" in refused(capsys, *call, token_file.with_name("nothing"))


def test_what_answers_but_is_no_centre_is_said_so(
    centre: tuple[Centre, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    books, url = centre
    monkeypatch.setattr(books, "answer", lambda *args: (200, ["a list"]))  # noqa: ARG005
    assert "no centre" in refused(capsys, "show", "--centre", url, "--gateway", "gw-a")
    books.answer_html = True
    assert "sent no JSON" in refused(capsys, "show", "--centre", url, "--gateway", "gw-a")
    assert "no address" in refused(capsys, "show", "--centre", "centre.example", "--gateway", "gw-a")


def test_what_does_not_speak_http_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-something\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert "no centre" in refused(capsys, "show", "--centre", url, "--gateway", "gw-a")
        thread.join()


def test_show_prints_a_table_and_an_unknown_gateway_is_said_so(
    centre: tuple[Centre, str], capsys: pytest.CaptureFixture[str]
) -> None:
    books, url = centre
    books.epochs["gw-a"] = 3
    assert main(["show", "--centre", url, "--gateway", "gw-a"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["gateway    gw-a", "epoch      3"]
    assert "gw-b does not exist (order it first)" in refused(capsys, "show", "--centre", url, "--gateway", "gw-b")


def test_an_order_says_what_to_do_at_the_gateway(
    centre: tuple[Centre, str], token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = centre
    argv = ["order", "--centre", url, "--site", "park", "--gateway", "gw-a", "--engineer", "x", "--token-file"]
    assert main([*argv, str(token_file)]) == 0
    assert f"metertree-provision enrol --centre {url} --gateway gw-a" in capsys.readouterr().out


def test_a_configuration_needs_an_enrolment_of_that_gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = (
        "config", "--keys", tmp_path, "--site-dir", PARK, "--state", tmp_path, "--out", tmp_path / "gateway.toml",
    )  # fmt: skip
    said = refused(capsys, *call, "--broker", "b:1883", "--gateway", "gw-a")
    assert "run metertree-provision enrol first" in said
    (tmp_path / "enrolment.json").write_text('{"gateway": "gw-b", "epoch": 1}')
    assert "is the enrolment of gw-b" in refused(capsys, *call, "--broker", "b:1883", "--gateway", "gw-a")
    assert "host:port" in refused(capsys, *call, "--broker", "b", "--gateway", "gw-b")
    assert not (tmp_path / "gateway.toml").exists()


def test_a_key_directory_that_cannot_be_made_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    said = refused(
        capsys, "enrol", "--centre", "http://127.0.0.1:9", "--gateway", "gw-a",
        "--claim-file", in_file(Claim.fresh().text),
        "--keys", tmp_path / "file" / "keys",
    )  # fmt: skip
    assert "name a directory for the keys" in said


@pytest.mark.skipif(not HAS_OPENSSL, reason="certificates.sh needs openssl")
def test_a_configuration_carries_the_way_to_the_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certs, out = tmp_path / "certs", tmp_path / "gateway.toml"
    make_certificates(certs, "gw-a")
    (tmp_path / "enrolment.json").write_text('{"gateway": "gw-a", "epoch": 1}')
    call = (
        "config", "--gateway", "gw-a", "--keys", tmp_path, "--site-dir", PARK, "--broker", "broker.example:8883",
        "--state", tmp_path, "--out", out,
    )  # fmt: skip
    ours = ("--broker-certificate", certs / "gateways/gw-a.crt", "--broker-key", certs / "gateways/gw-a.key")
    assert "give --broker-ca too" in refused(capsys, *call, *ours)
    assert "no certificates there" in refused(capsys, *call, "--broker-ca", certs / "absent.crt")
    assert not out.exists()
    run(capsys, *call, "--broker-ca", certs / "ca.crt", *ours)
    broker = GatewayConfig.read(out).broker
    assert (broker.user, broker.password, broker.port) == (None, None, 8883)
    assert broker.tls == BrokerTls(certs / "ca.crt", certs / "gateways/gw-a.crt", certs / "gateways/gw-a.key")
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_configuration_carries_a_password_where_the_broker_wants_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "enrolment.json").write_text('{"gateway": "gw-a", "epoch": 1}')
    password, out = tmp_path / "password", tmp_path / "gateway.toml"
    call = (
        "config", "--gateway", "gw-a", "--keys", tmp_path, "--site-dir", PARK, "--broker", "b:1883",
        "--state", tmp_path, "--out", out, "--broker-password-file", password,
    )  # fmt: skip
    assert "write the password into it" in refused(capsys, *call)
    password.write_text("secret\n", encoding="utf-8")
    run(capsys, *call)
    broker = GatewayConfig.read(out).broker
    assert (broker.user, broker.password, broker.tls) == ("gw-a", "secret", None)


def test_a_gateway_that_renews_by_itself_is_configured_before_it_has_a_certificate(
    centre: tuple[Centre, str], token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = centre
    keys, roots, out = tmp_path / "keys", tmp_path / "servers-roots.crt", tmp_path / "gateway.toml"
    roots.write_bytes(pem(servers_root().certificate))
    claim = in_file(order(capsys, url, token_file))
    run(capsys, "enrol", "--centre", url, "--gateway", "gw-a", "--claim-file", claim, "--keys", keys)
    run(
        capsys, "config", "--gateway", "gw-a", "--keys", keys, "--site-dir", PARK, "--broker", "10.0.0.1:8883",
        "--broker-ca", roots, "--renew-at", url, "--state", tmp_path / "state", "--out", out,
    )  # fmt: skip
    config = GatewayConfig.read(out)
    assert config.renewal == HttpWay(url, keys / "roots.pem")
    assert config.broker.tls == BrokerTls(keys / "roots.pem", keys / "tls.pem", keys / "tls.pem")
    assert (keys / "roots.pem").read_bytes() == roots.read_bytes()


@pytest.mark.skipif(find_module() is None, reason="no SoftHSM2 or python-pkcs11")
def test_a_gateway_whose_key_lives_in_a_token_enrols_as_any_other(
    centre: tuple[Centre, str], token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    books, url = centre
    claim = in_file(order(capsys, url, token_file))
    uri = fresh_place(tmp_path).text()
    call = ("enrol", "--centre", url, "--gateway", "gw-a", "--claim-file", claim, "--keys", tmp_path / "keys")
    answer = run(capsys, *call, "--key-in", uri)
    assert books.epochs == {"gw-a": 1}
    assert answer["key_id"] == open_signer(tmp_path / "keys/signing.key").key_id.hex()
    assert (tmp_path / "keys/signing.key").read_text().startswith("pkcs11:token=")
