"""A cloned card and a stolen claim stand in the history of the gateway, with who, from where, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ingest.alert_rules import AlertKind
from ingest.alerts import evaluate
from ingest.caller import SERVICE
from ingest.intake import Intake
from ingest.store.alerts import acknowledge
from ingest.store.database import Database
from ingest.store.operators import add_operator
from metering.clock import ManualClock
from metering.envelope import chain_digest
from provisioning.cli import main
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.installing import ENROLMENTS, NOW, InstallingCentre, bundle, machine
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import PostgresHarness, wired

CLONED = Gateway("gw-c")


@pytest.fixture
def centre(database: Database) -> Iterator[InstallingCentre]:
    """A service with the park imported."""
    with InstallingCentre(database).open() as built:
        yield built


@pytest.fixture
def token(centre: InstallingCentre, tmp_path: Path) -> Path:
    """A file with the token of an operator."""
    file = tmp_path / "token"
    with centre.database.transaction() as connection:
        file.write_text(add_operator(connection, "eng-1", SERVICE, NOW))
    return file


def history(
    centre: InstallingCentre, token: Path, capsys: pytest.CaptureFixture[str], gateway: str, *words: str
) -> str:
    """What the history of a gateway tells."""
    url = str(centre.client.base_url)
    call = ["history", "--gateway", gateway, "--centre", url, "--token-file", str(token), *words]
    assert main(call) == 0
    return capsys.readouterr().out


def test_a_cloned_card_is_shown_with_the_place_where_it_forked(
    centre: InstallingCentre, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harness = PostgresHarness(centre.database)
    harness.enrol(CLONED)
    harness.wire(wired(CLONED))
    intake = Intake(
        consumer=MemoryConsumer(),
        store=harness.store,
        signer=SeededSigner("metertree test centre"),
        clock=ManualClock(NOW),
        profiles=PROFILES,
    )
    chain = CLONED.chain(3)
    intake.take(chain)
    # A copy of the card, from the second envelope on: the same epoch and key, and another content.
    intake.take([CLONED.other(3, chain_digest(chain[1].octets))])
    told = history(centre, token, capsys, "gw-c")
    assert "two contents under one seq, 1 times, last at epoch 1 seq 3: it may be cloned" in told
    assert "metertree-provision revoke gw-c --reason cloned" in told
    assert "网关可能被复制" in history(centre, token, capsys, "gw-c", "--lang", "zh")
    (one,) = json.loads(history(centre, token, capsys, "gw-c", "--json"))["suspicions"]
    assert (one["kind"], one["detail"]["seq"]) == ("equivocation", 3)

    with centre.database.transaction() as connection:
        (alert,) = [a for a in evaluate(connection, NOW).is_open if a.cause.kind is AlertKind.EQUIVOCATION]
        acknowledge(connection, alert.alert, by="eng-1", note="card copied in the workshop", now=NOW)
        assert alert.cause not in [a.cause for a in evaluate(connection, NOW + timedelta(minutes=1)).is_open]
    assert "it may be cloned" in history(centre, token, capsys, "gw-c"), "history forgets nothing"
    assert "equivocation" not in history(centre, token, capsys, "gw-a", "--json")


def test_a_stolen_claim_is_shown_with_both_keys_and_the_address(
    centre: InstallingCentre, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = centre.order()
    with centre.calling_from("127.0.0.66") as client:
        assert client.post(ENROLMENTS, content=bundle(claim, machine(66))).status_code == 201
    assert centre.client.post(ENROLMENTS, content=bundle(claim, machine(1))).status_code == 409
    told = history(centre, token, capsys, "gw-a")
    for part in (
        machine(66).key_id.hex(),
        machine(1).key_id.hex(),
        "claim in wrong hands  gateway/gw-a",
        "revoke gw-a",
    ):
        assert part in told
    acts = json.loads(history(centre, token, capsys, "gw-a", "--json"))["acts"]
    enrolled = next(one for one in acts if one["verb"] == "enrolled")
    assert enrolled["where"] == "127.0.0.66", "the address from which the thief came"
