"""`metertree-provision revoke` against a real centre: asked for, done at once, recorded with who and where."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.audit_log import Verb
from ingest.caller import SERVICE
from ingest.store.audit import touching
from ingest.store.database import Database
from ingest.store.operators import add_operator
from provisioning.cli import main
from tests.doubles.installing import ENROLMENTS, NOW, InstallingCentre, bundle, machine


@pytest.fixture
def centre(database: Database) -> Iterator[InstallingCentre]:
    """A service with one enrolled gateway."""
    with InstallingCentre(database).open() as built:
        assert built.client.post(ENROLMENTS, content=bundle(built.order(), machine(1))).status_code == 201
        yield built


@pytest.fixture
def token(centre: InstallingCentre, tmp_path: Path) -> Path:
    """A file with the token of an operator."""
    file = tmp_path / "token"
    with centre.database.transaction() as connection:
        file.write_text(add_operator(connection, "eng-1", SERVICE, NOW))
    return file


def revoke(centre: InstallingCentre, token: Path, *words: str) -> int:
    """Run the command."""
    url = str(centre.client.base_url)
    return main(["revoke", "gw-a", "--reason", "stolen", "--centre", url, "--token-file", str(token), *words])


def test_a_gateway_is_revoked_once_somebody_typed_its_id(
    centre: InstallingCentre,
    token: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "gw-b" if "for good" in prompt else "")
    assert revoke(centre, token) == 1
    assert "nothing was revoked" in capsys.readouterr().err
    monkeypatch.setattr("builtins.input", lambda _: " gw-a")
    assert revoke(centre, token, "--lang", "zh") == 0
    told = capsys.readouterr().out
    assert "纪元 1 已吊销" in told
    assert "replace 1，或以纪元 2 注册" in told
    assert revoke(centre, token, "--yes") == 0
    assert "was revoked already" in capsys.readouterr().out
    with centre.database.transaction() as connection:
        (one,) = touching(connection, ["gateway/gw-a"], verb=str(Verb.GATEWAY_REVOKED))
    assert (one.who, one.told["device"], one.told["reason"]) == ("eng-1", platform.node(), "stolen")


def test_programs_say_yes_beforehand(centre: InstallingCentre, token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert revoke(centre, token, "--json") == 1
    capsys.readouterr()
    assert revoke(centre, token, "--json", "--yes", "--epoch", "1") == 0
    assert json.loads(capsys.readouterr().out)["revoked"] == [1]
    assert revoke(centre, token, "--yes", "--epoch", "7") == 1
    assert "its epochs are 1" in capsys.readouterr().err
