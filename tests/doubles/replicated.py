"""A PostgreSQL with a synchronous standby, both on this machine: what a receipt says must be on two disks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from ingest.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres
from ingest.embedded.server import LOOPBACK, ServerCommand, running
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from tests.doubles.servers import open_folder

STANDBY = "standby"


class Server(EmbeddedPostgres):
    """One of the two. `settings`: what is said beside the ordinary, as in postgresql.conf."""

    settings: tuple[str, ...] = ()

    def command(self) -> ServerCommand:
        """Give the command that starts it."""
        ordinary = super().command()
        argv = (*ordinary.argv, *(word for one in self.settings for word in ("-c", one)))
        return ServerCommand(argv, ordinary.environment, ordinary.identity, ordinary.stop_signal)


class Pair:
    """The primary and its standby. `kill` ends the primary without warning; `promote` makes the standby take over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.primary = Server(folder / "primary")
        self.standby = Server(folder / "standby")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def dsn(self) -> str:
        """Connection string that names both: whichever takes writes is used."""
        ports = f"{self.primary.port},{self.standby.port}"
        hosts = f"{LOOPBACK},{LOOPBACK}"
        file = self.folder / "pgpass"
        return (
            f"host={hosts} port={ports} user={ROLE} dbname={DATABASE} passfile={file} "
            "target_session_attrs=read-write connect_timeout=5"
        )

    @property
    def password(self) -> str:
        """That of the program's role, the same at both."""
        return self.primary._passwords.read_text(encoding="ascii").strip().rpartition(":")[2]

    def make(self) -> None:
        """Fill the primary with the schema, and copy it."""
        self.primary.prepare()
        grant = f"ALTER ROLE {ROLE} REPLICATION;\n"
        self.primary._run("postgres", "--single", "-D", str(self.primary._cluster), "postgres", lines=grant)
        with running(self.primary, SystemClock()):
            with Database(self.primary.dsn, connections=1) as database:
                migrate(database)
            self._copy()
        file = self.folder / "pgpass"
        file.touch(mode=0o600)
        file.write_text(f"*:*:*:{ROLE}:{self.password}\n", encoding="ascii")
        self.primary.settings = (f"synchronous_standby_names=FIRST 1 ({STANDBY})",)

    def _copy(self) -> None:
        """Copy the primary with its own tool, as the account that the server runs under."""
        account = self.primary._account
        self.standby._cluster.mkdir(mode=0o700)
        if account is not None:
            account.own(self.standby._cluster)
        command = [self.primary._program("pg_basebackup"), "-D", str(self.standby._cluster), "-R", "-c", "fast"]
        command += ["-d", f"host={LOOPBACK} port={self.primary.port} user={ROLE} application_name={STANDBY}"]
        subprocess.run(
            command,
            env={"PATH": os.defpath, "PGPASSWORD": self.password},
            check=True,
            cwd="/",
            capture_output=True,
            timeout=120,
            **({} if account is None else account.identity),
        )
        self.standby._passwords.touch(mode=0o600)
        self.standby._passwords.write_text(f"*:*:*:{ROLE}:{self.password}\n", encoding="ascii")

    def kill(self) -> None:
        """End the primary without warning, for good."""
        self.processes["primary"].kill()
        self.processes["primary"].wait()

    def promote(self) -> None:
        """Let the standby take writes, and wait until it does."""
        self.standby._run("pg_ctl", "promote", "-D", str(self.standby._cluster), "-t", "60")

    @contextmanager
    def standby_asleep(self) -> Iterator[None]:
        """Hold the standby and all its processes still."""
        group = [self.processes["standby"].pid, *_children(self.processes["standby"].pid)]
        for pid in group:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(group):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def waits_for_standby(self) -> bool:
        """Say whether the primary knows of its standby as one to wait for."""
        with psycopg.connect(self.primary.dsn) as connection:
            rows = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
        return bool(rows)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(one) for one in listed.split()]


@contextmanager
def replicated() -> Iterator[Pair]:
    """Both, running, the standby attached."""
    folder = open_folder()
    pair = Pair(folder)
    clock = SystemClock()
    try:
        pair.make()
        with running(pair.primary, clock) as primary:
            pair.processes["primary"] = primary
            standby = pair.standby.command().start(pair.standby.log)
            pair.processes["standby"] = standby
            try:
                for _ in range(600):
                    if pair.standby.answers() and pair.waits_for_standby():
                        break
                    clock.sleep(0.1)
                yield pair
            finally:
                standby.send_signal(signal.SIGQUIT)
                standby.wait(30)
    finally:
        pair.primary.remove()
        pair.standby.remove()
        shutil.rmtree(folder, ignore_errors=True)
