"""Many sites closed on a Dask cluster that somebody else runs: its workers have settings of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from ingest.config import CENTRE_KEY, DSN
from ingest.embedded.server import free_port
from ingest.store.database import Database
from provisioning.keys import SALT_KEY
from tests.doubles.closing_estate import Estate, wait_for, write_keys
from tests.doubles.many_parks import park_id, write_parks
from tests.doubles.servers import _database

DASK = Path(sys.executable).with_name("dask")
PARKS = (1, 2, 3)
EVERY = ",".join(map(park_id, PARKS))
LOOPBACK = "127.0.0.1"


class Cluster:
    """A scheduler and workers, each a process in a folder of its own with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.address = f"tcp://{LOOPBACK}:{free_port()}"
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start("scheduler", "--host", LOOPBACK, "--port", port, "--no-dashboard", told={})

    def hire(self, told: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a worker that knows nothing but what it is told, and wait until the scheduler has it."""
        words = ("--host", LOOPBACK, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        log = self._folder / f"worker-{len(self._running)}.log"
        worker = self._start("worker", self.address, *words, told=told, log=log)
        wait_for(lambda: "Registered to" in log.read_text(encoding="utf-8"), worker)
        return worker

    def stop(self) -> None:
        """End every process."""
        for running in reversed(self._running):
            running.kill()
            running.wait()

    def _start(self, *words: str, told: Mapping[str, str], log: Path | None = None) -> subprocess.Popen[bytes]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("METERTREE_")}
        with (log or self._folder / "scheduler.log").open("wb") as output:
            command = [sys.executable, str(DASK), *words]
            environment = {**kept, **told, "DASK_TEMPORARY_DIRECTORY": str(self._folder)}
            running = subprocess.Popen(command, env=environment, cwd=self._folder, stdout=output, stderr=output)
        self._running.append(running)
        return running


@pytest.fixture(scope="module")
def written(postgres_dsn: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with a day of three parks."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=2) as database:
            write_parks(database, PARKS, tmp_path_factory.mktemp("parks"))
        yield dsn


@pytest.fixture
def estate(postgres_dsn: str, written: str, tmp_path: Path) -> Iterator[Estate]:
    """The parks in a database of their own."""
    name = psycopg.conninfo.conninfo_to_dict(written)["dbname"]
    assert isinstance(name, str)
    for dsn in _database(postgres_dsn, name):
        copied = Estate(dsn, write_keys(tmp_path / "keys"))
        yield copied
        copied.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    opened = Cluster(folder)
    yield opened
    opened.stop()


def told(estate: Estate, key: Path | None = None) -> dict[str, str]:
    """The settings of a sound worker."""
    return {DSN.variable: estate.dsn, CENTRE_KEY.variable: str(key or estate.key)}


def close_on(estate: Estate, cluster: Cluster, *words: str) -> tuple[int, str]:
    """Close the three parks on a cluster."""
    return estate.close("--sites", EVERY, "--executor", "dask", "--scheduler", cluster.address, *words)


def test_a_cluster_gives_the_octets_of_this_machine_and_its_lost_worker_changes_none(
    estate: Estate, cluster: Cluster, postgres_dsn: str, written: str
) -> None:
    for _ in range(2):
        cluster.hire(told(estate))
    with estate.blocked("LOCK TABLE statements IN SHARE ROW EXCLUSIVE MODE"):
        running = estate.start("--sites", EVERY, "--executor", "dask", "--scheduler", cluster.address)
        [killed, left] = wait_for(lambda: pids if len(pids := estate.waiting_pids()) == 2 else None, running)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: estate.waiting_pids() == [left], running)
    printed, _ = running.communicate(timeout=120)
    assert running.returncode == 0, printed
    assert printed.count("tried again") == 1
    name = psycopg.conninfo.conninfo_to_dict(written)["dbname"]
    assert isinstance(name, str)
    for dsn in _database(postgres_dsn, name):
        here = Estate(dsn, estate.key)
        assert here.close("--sites", EVERY, "--workers", "1")[0] == 0
        assert estate.octets() == here.octets()


def test_workers_say_what_they_lack_before_anything_is_closed(
    estate: Estate, cluster: Cluster, tmp_path: Path, written: str
) -> None:
    alone = shutil.copy(estate.key, tmp_path / "alone.key")
    stranger = write_keys(tmp_path / "stranger")
    (tmp_path / "stranger" / SALT_KEY).write_text("06" * 32 + "\n", encoding="ascii")
    cluster.hire({DSN.variable: estate.dsn})
    cluster.hire(told(estate, tmp_path / "nowhere.key"))
    cluster.hire(told(estate, Path(alone)))
    cluster.hire(told(estate, stranger))
    cluster.hire({**told(estate), DSN.variable: written})
    cluster.hire(told(estate))
    code, printed = close_on(estate, cluster)
    assert code == 1
    assert "nothing was closed" in printed
    lacks = [line.partition(": ")[2] for line in printed.splitlines() if line.startswith("worker tcp://")]
    assert sorted(line.replace(str(tmp_path), "~") for line in lacks) == sorted(
        [
            "file with the private key that signs receipts and statements; salt.key is kept beside it: give "
            "--centre-key or set METERTREE_CENTRE_KEY in the environment of the worker",
            "~/nowhere.key: cannot be read: [Errno 2] No such file or directory: '~/nowhere.key' "
            "(give the path of a key file)",
            "~/salt.key: cannot be read: [Errno 2] No such file or directory: '~/salt.key' "
            "(give the path of a key file)",
            "it has other salts: copy salt.key from beside the caller's signing key to beside its own",
            "it has another database: let its METERTREE_DSN name the same one",
        ]
    )
    assert estate.closed() == []
    assert not (tmp_path / SALT_KEY).exists(), "a worker makes no salts of its own"


def test_a_scheduler_that_is_not_there_or_has_no_worker_is_said_so(estate: Estate, cluster: Cluster) -> None:
    wait_for(lambda: close_on(estate, cluster)[1].count("the scheduler has no worker; start one with: dask worker"))
    cluster.stop()
    code, printed = close_on(estate, cluster)
    assert code == 1
    assert f"--scheduler {cluster.address}: " in printed
    assert "start one with: dask scheduler" in printed
    assert "Traceback" not in printed


def test_a_scheduler_that_dies_leaves_what_is_closed_and_the_command_ends(estate: Estate, cluster: Cluster) -> None:
    cluster.hire(told(estate))
    with estate.blocked(estate.held(3)):
        running = estate.start("--sites", EVERY, "--executor", "dask", "--scheduler", cluster.address, "--json")
        wait_for(lambda: len(estate.closed()) == 2 and estate.waiting_pids(), running)
        cluster.stop()
        printed, _ = running.communicate(timeout=120)
    outcomes = {outcome["site"]: outcome for outcome in json.loads(printed.splitlines()[-1])["sites"]}
    assert running.returncode == 1
    assert outcomes[park_id(3)]["result"] == "failed"
    assert outcomes[park_id(3)]["reasons"] == ["the scheduler is gone"]
    assert [outcomes[park_id(number)]["result"] for number in (1, 2)] == ["new", "new"]
