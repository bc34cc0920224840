"""A gateway's key hands over: the command on its files, killed at any act on the disk, and the chain at the centre."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.cli import main
from edge_agent.key_handover import HandoverRefused, hand_over
from edge_agent.sealing import Identity, Sealer
from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.identity import GatewayId
from metering.interval import SLOT
from metering.topics import envelope_topic
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig, HttpWay
from provisioning.keys import KeyFileInvalid
from provisioning.rollover import ROLLOVER_FILE, read_rollover
from provisioning.signers import make_signer, open_signer
from tests.conftest import MARK, SeededSigner, build_envelope
from tests.doubles.certified import CertifiedGateway, certifying, enrolled
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.soft_token import find_module, fresh_place
from tests.doubles.store_harness import PostgresHarness, wired

A = GatewayId("gw-a")


class Machine:
    """A gateway's folders: keys, configuration, outbox."""

    def __init__(self, folder: Path) -> None:
        self.file, self.keys, self.state = folder / "gateway.toml", folder / "keys", folder / "state"
        self.keys.mkdir(parents=True, mode=0o700)
        self.state.mkdir()
        make_signer(self.keys / "signing.key")
        config = GatewayConfig(
            gateway=A,
            epoch=1,
            boot=bytes(16),
            state_dir=self.state,
            signing_key=self.keys / "signing.key",
            centre_public_key=self.keys / "centre.pub",
            every_s=900,
            group="billing",
            broker=BrokerConfig("127.0.0.1", 1883, None, None),
            clock=SYSTEM_CLOCK,
            ports=(),
            meters=(),
            renewal=HttpWay("http://127.0.0.1:9"),
        )
        self.file.write_text(config.to_toml())

    @property
    def config(self) -> GatewayConfig:
        return GatewayConfig.read(self.file)

    def seal(self, marks: int) -> None:
        """Seal so many sweeps, as the agent does."""
        config = self.config
        outbox = SqliteOutbox(self.state / "outbox.db", A, lambda _: b"")
        identity = Identity(A, config.epoch, bytes(16), open_signer(config.signing_key), config.bundle or bytes(32))
        clock = ManualClock(MARK)
        sealer = Sealer(identity, outbox, clock, lambda _: None)
        for number in range(marks):
            mark = MARK + (outbox.head(config.epoch).seq + 100 * config.epoch) * SLOT
            envelope = build_envelope(mark=mark)
            blank = replace(envelope, gateway=A, epoch=config.epoch, sealed_at=mark + timedelta(seconds=number))
            sealer._keep([blank], mark)
        outbox.close()

    def sealed(self, epoch: int) -> list[Arrival]:
        """What lies in the outbox."""
        outbox = SqliteOutbox(self.state / "outbox.db", A, lambda _: b"")
        found = [Arrival(envelope_topic(A), one.octets) for one in outbox.after(epoch, 0, 100)]
        outbox.close()
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def test_the_command_changes_key_epoch_and_first_link_at_once(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.seal(3)
    old = open_signer(machine.config.signing_key)
    assert main(["hand-over", "--config", str(machine.file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    config = machine.config
    new = open_signer(config.signing_key)
    assert (config.epoch, told["epoch"], told["last_seq_of_the_old_key"]) == (2, 2, 3)
    assert new.public_key != old.public_key
    rollover = read_rollover((machine.keys / ROLLOVER_FILE).read_bytes())
    rollover.message.require(old.verifier())
    assert config.bundle == rollover.digest
    assert (machine.keys / "signing.key").exists(), "what it sealed may still have to be proven"
    for language, word in (("zh", "纪元 2"), ("en", "epoch 2")):
        other = Machine(machine.file.parent / language)
        assert main(["hand-over", "--config", str(other.file), "--lang", language]) == 0
        assert word in capsys.readouterr().out


def test_what_stands_in_the_way_is_told_with_the_mend(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    hand_over(machine.file, None)
    with pytest.raises(HandoverRefused, match="has not answered the handover before"):
        hand_over(machine.file, None)
    (machine.keys / ROLLOVER_FILE).unlink()
    machine.file.write_text(replace(machine.config, renewal=None).to_toml())
    assert main(["hand-over", "--config", str(machine.file)]) == 2
    assert "[renewal]" in capsys.readouterr().err
    assert machine.config.epoch == 2


@pytest.mark.skipif(find_module() is None, reason="no SoftHSM2 or python-pkcs11")
def test_a_key_in_a_file_is_followed_by_one_in_a_token(machine: Machine, tmp_path: Path) -> None:
    done = hand_over(machine.file, fresh_place(tmp_path).text())
    assert str(done.new_key.level) == "token"
    machine.seal(1)
    assert len(machine.sealed(2)) == 1


class _Killed(BaseException):
    """The process ends here."""


def dies_before(patch: pytest.MonkeyPatch, step: int) -> None:
    done: list[str] = []

    def watched(name: str, act: Callable[..., object]) -> Callable[..., object]:
        def do(*args: object, **named: object) -> object:
            if len(done) >= step:
                raise _Killed
            done.append(name)
            return act(*args, **named)

        return do

    for owner, name in ((os, "open"), (os, "fsync"), (os, "link"), (Path, "rename")):
        patch.setattr(owner, name, watched(name, getattr(owner, name)))


def endings(tmp_path: Path) -> Iterator[tuple[Machine, bool]]:
    """Every prefix of the acts on the disk of a handover: the machine after it, and whether it was the whole."""
    for step in range(100):
        machine = Machine(tmp_path / str(step))
        machine.seal(2)
        with pytest.MonkeyPatch.context() as patch:
            dies_before(patch, step)
            try:
                hand_over(machine.file, None)
                is_whole = True
            except (_Killed, KeyFileInvalid):
                is_whole = False
        yield machine, is_whole
        if is_whole:
            return


def test_killed_at_any_step_the_gateway_goes_on_in_one_epoch_or_the_other(tmp_path: Path) -> None:
    """Before the change it seals on with the old key, and the next handover says how far; after it the new one does."""
    seen: list[int] = []
    for machine, is_whole in endings(tmp_path):
        epoch = machine.config.epoch
        seen.append(epoch)
        machine.seal(1)
        if not is_whole and epoch == 1:
            again = hand_over(machine.file, None)
            assert again.last_seq == 3, "what was sealed after the kill belongs to the old key"
        rollover = read_rollover((machine.keys / ROLLOVER_FILE).read_bytes())
        config = machine.config
        assert (config.epoch, config.bundle) == (2, rollover.digest)
        assert open_signer(config.signing_key).public_key == rollover.new_key.public_key
        assert rollover.handover.last_seq == len(machine.sealed(1))
    assert seen[0] == 1
    assert seen[-1] == 2
    assert seen == sorted(seen)
    assert len(seen) > 8, "the acts on the disk were not seen"


def test_the_chain_goes_on_across_the_change_at_the_centre(machine: Machine, database: Database) -> None:
    """Sealed, handed over, sealed on; the old batches arrive last, and all are in the books."""
    harness = PostgresHarness(database)
    harness.wire(wired(Gateway()))
    machine.seal(4)
    old = open_signer(machine.config.signing_key)
    enrolled(database, A, old)  # type: ignore[arg-type]
    hand_over(machine.file, None)
    machine.seal(3)
    with certifying(database) as centre:
        gateway = CertifiedGateway(machine.file.parent / "unused", A, centre.post)
        gateway.folder, gateway.epoch = machine.keys, 2
        gateway.signer = open_signer(machine.config.signing_key)  # type: ignore[assignment]
        standing = gateway.renewal.step(centre.now)
        assert standing.fault == ""
        assert not (machine.keys / ROLLOVER_FILE).exists()
        assert (machine.keys / "tls.pem").exists(), "the new key asks for the certificate"
    intake = Intake(
        consumer=MemoryConsumer(),
        store=harness.store,
        signer=SeededSigner("metertree test centre"),
        clock=ManualClock(MARK),
        profiles=PROFILES,
    )
    intake.take([*machine.sealed(2), *machine.sealed(1)])
    seen = harness.see()
    assert sorted(place[1:] for place in seen.octets) == [(1, n) for n in range(1, 5)] + [(2, n) for n in range(1, 4)]
    assert seen.quarantine == []
