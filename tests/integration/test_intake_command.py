"""`metertree intake` as a process: takes its share, and ends on SIGTERM."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.server import running
from ingest.store.database import Database
from metering.clock import SystemClock
from tests.doubles.chains import Gateway
from tests.doubles.sending_gateway import CENTRE, SendingGateway
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness, wired
from tests.integration.test_intake_faults import ROOT

GW = Gateway()


def test_the_command_takes_envelopes_until_it_is_told_to_end(
    database: Database, migrated_dsn: str, tmp_path: Path
) -> None:
    harness = PostgresHarness(database)
    harness.enrol(GW)
    harness.wire(wired(GW))
    folder, clock = open_folder(), SystemClock()
    (tmp_path / "centre.key").write_text(CENTRE.seed.hex())
    (tmp_path / "centre.key").chmod(0o600)
    (tmp_path / "password").write_text("c")
    broker = EmbeddedBroker(folder, [Login.of_centre("centre", "c"), Login.of_gateway(GW.id, "g")])
    words = [sys.executable, "-m", "ingest.cli", "intake", "--dsn", migrated_dsn, "--broker-user", "centre"]
    words += ["--broker-port", str(broker.port), "--broker-password-file", str(tmp_path / "password")]
    words += ["--centre-key", str(tmp_path / "centre.key"), "--probe-port", "0"]
    with running(broker, clock):
        worker = subprocess.Popen(words, cwd=ROOT)
        try:
            with SendingGateway(GW, port=broker.port, password="g") as sender:
                sender.send(GW.chain(2), 2)
            # The shipped profiles are not those of the test, so both are refused, and receipted all the same.
            assert harness.see().heads[GW.owner].contiguous_seq == 2
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
    shutil.rmtree(folder)
