"""Under which account PostgreSQL runs, and a place that account can reach.

PostgreSQL refuses to run as root. No account is made for it: the machine's `postgres` is used, or `nobody`. Where the
wheel or the directory lies below a folder closed to that account (a clone in /root, a `mktemp -d`), no permission is
widened; the programs are copied to, and the files kept in, /var/lib/metertree instead (docs/adr/0025).
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metering.errors import MeteringError

ACCOUNTS = ("postgres", "nobody")
SHARED_HOME = Path("/var/lib/metertree")


class AccountMissing(MeteringError):
    """This program runs as root and the machine has no account that PostgreSQL could run under."""


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of the machine."""

    uid: int
    gid: int

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments for subprocess.Popen: run as this account, with no other group."""
        return {"user": self.uid, "group": self.gid, "extra_groups": ()}

    def may_search(self, folder: Path) -> bool:
        """Say whether the mode bits of `folder` let this account pass through it."""
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid == self.gid else 0o001))

    def reaches(self, path: Path) -> bool:
        """Say whether this account can pass every folder on the way to `path`, and `path` itself."""
        real = path.resolve()
        return all(self.may_search(folder) for folder in (real, *real.parents))

    def own(self, path: Path) -> None:
        """Give `path` to this account."""
        os.chown(path, self.uid, self.gid)


def server_account() -> Account | None:
    """Choose the account for PostgreSQL: None (the caller's own) unless the caller is root. Raises AccountMissing."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise AccountMissing(
        f"PostgreSQL does not run as root, and this machine has none of the accounts {', '.join(ACCOUNTS)}; "
        "start as an ordinary user, or add one of them"
    )


def reachable_home(directory: Path, account: Account | None) -> Path:
    """Give `directory`, or, where `account` cannot reach it, a folder of its own below /var/lib/metertree.

    The folder is then linked as `directory/elsewhere`, so that a person finds it.
    """
    if account is None or account.reaches(directory):
        return directory
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    home = SHARED_HOME / name
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    link = directory / "elsewhere"
    if not link.is_symlink():
        link.symlink_to(home)
    return home


def reachable_programs(programs: Path, version: str, account: Account | None) -> Path:
    """Give `programs`, or a copy that `account` can reach, made once per version."""
    if account is None or account.reaches(programs / "bin"):
        return programs
    copy = SHARED_HOME / f"postgresql-{version}"
    if not copy.exists():
        SHARED_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = SHARED_HOME / f"postgresql-{version}.{os.getpid()}"
        shutil.copytree(programs, unfinished, symlinks=True)
        _open_to_all(unfinished)
        try:
            unfinished.rename(copy)
        except OSError:  # another process was first
            shutil.rmtree(unfinished)
    return copy


def _open_to_all(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
