"""`metertree webhook` as it is typed, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import standardwebhooks

from ingest.cli import main
from ingest.store.audit import entries
from ingest.store.database import Database
from ingest.webhooks.signing import SecretBox
from provisioning.keys import SALT_KEY, read_salt_key, write_signing_key
from tests.doubles.hooked import LOOPBACK, Post, receiving

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command; gives exit code, what was printed, and what was complained of."""
    key = tmp_path / "centre.key"
    write_signing_key(key, bytes(32))

    def run(*words: str) -> tuple[int, str, str]:
        flags = ("--dsn", migrated_dsn, "--centre-key", str(key), "--webhook-networks", "127.0.0.0/8")
        code = main(("webhook", *words, *flags))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_an_endpoint_is_added_tested_read_and_removed_as_it_is_typed(
    typed: Typed, database: Database, tmp_path: Path
) -> None:
    with receiving() as receiver:
        code, told, _ = typed("add", receiver.url, "--signing", "hmac-sha256", "--kind", "charge.created")
        assert code == 0
        endpoint = told.split()[0]
        secret = told.rsplit(maxsplit=1)[-1]
        assert secret.startswith("whsec_")
        code, told, _ = typed("test", endpoint)
        assert (code, "evt_" in told) == (0, True)
        post = Post(database, LOOPBACK)
        object.__setattr__(post.deliverer, "box", SecretBox(read_salt_key(tmp_path / SALT_KEY)))
        assert post.run() == 1
        (came,) = receiver.came
        standardwebhooks.Webhook(secret).verify(came.body, came.headers)
    (one,) = json.loads(typed("deliveries", endpoint, "--json")[1])
    assert one["state"] == "delivered"
    assert "webhook.test" in typed("deliveries", endpoint)[1]
    assert "已投递" in typed("deliveries", endpoint, "--lang", "zh")[1]
    assert "charge.created" in typed("list")[1]
    assert typed("remove", endpoint)[0] == 0
    assert "no webhook endpoints" in typed("list")[1]
    with database.transaction() as connection:
        found = [(one.verb, one.who.partition("/")[0]) for one in entries(connection)]
    assert found == [("endpoint-added", "local"), ("endpoint-changed", "local")]


def test_a_secret_is_rotated_and_the_old_ones_end_is_told(typed: Typed) -> None:
    endpoint = typed("add", "https://billing.example/")[1].split()[0]
    code, told, _ = typed("rotate", endpoint, "--overlap-h", "3")
    assert code == 0
    assert "secret 2 (ed25519) signs until it is rotated" in told
    assert "whpk_" in told
    shown = json.loads(typed("show", endpoint, "--json")[1])
    assert [one["number"] for one in shown["secrets"]] == [2, 1]
    assert "secret" not in shown


def test_an_endpoint_is_turned_off_and_on_and_its_events_sent_again(typed: Typed) -> None:
    endpoint = typed("add", "https://billing.example/", "--site", "park")[1].split()[0]
    assert " off " in typed("off", endpoint)[1]
    assert "启用" in typed("on", endpoint, "--lang", "zh")[1]
    assert typed("replay", endpoint, "--since", "2026-11-01T00:00:00+00:00")[0] in (0, 1)
    assert json.loads(typed("list", "--json")[1])[0]["sites"] == ["park"]


def test_what_cannot_be_done_says_why(typed: Typed) -> None:
    for words, told in (
        (("add", "https://10.0.0.1/"), "no public address"),
        (("add", "https://a.example/", "--kind", "run.vanished"), "there are run.computed"),
        (("show", "whe_none"), "there is no webhook endpoint whe_none"),
        (("replay", "whe_none"), "either which event"),
        (("rotate", "whe_none", "--overlap-h", "9999"), "0 to 336 hours"),
    ):
        code, _, complaint = typed(*words)
        assert code == 1
        assert told in complaint
