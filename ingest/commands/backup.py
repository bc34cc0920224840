"""`metertree backup`: take a backup, check one without restoring it, list those there are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import CENTRE_KEY, DSN, Settings, add_settings
from metering.errors import MeteringError

if TYPE_CHECKING:
    from ingest.backup.locked import Identity
    from metering.envelope import Signer, Verifier

KINDS = ("logical", "base")


class CallUnclear(MeteringError):
    """The words of a call do not say one thing."""


class Interrupted(MeteringError):
    """The database or the disk gave up in the middle; nothing is half done."""


class SchemaBehind(MeteringError):
    """The database is not of the schema of this program."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "backup",
        help="take a backup, check one without restoring it, list those there are",
        description="Take a backup of the whole database into a new folder below --to. Logical backups (the default) "
        "are read out in one snapshot, part by part; parts that have not changed since the newest one there are shared "
        "with it, and one that was broken off is gone on with. Readings that come meanwhile, and after it, are asked "
        "for again at the gateways when it is restored; they keep them 30 days. Not in it: the files of the centre "
        "(centre.key, salt.key, tokens); keep copies of them elsewhere.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=Path, metavar="FOLDER", help="take one; the folder is made if it is missing")
    what.add_argument("--check", type=Path, metavar="BACKUP", help="check this one; nothing is restored or changed")
    what.add_argument("--list", type=Path, metavar="FOLDER", help="list the backups of a folder, newest last")
    what.add_argument("--make-key", type=Path, metavar="FOLDER", help="write backup.key and backup.pub there")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="base: the cluster's files, by pg_basebackup")
    parser.add_argument("--recipient", type=Path, metavar="FILE", help="backup.pub: only backup.key can read it")
    parser.add_argument("--identity", type=Path, metavar="FILE", help="backup.key: to check a locked backup --deep")
    parser.add_argument("--deep", action="store_true", help="check every row, and envelopes against the ledger")
    parser.add_argument("--whole", action="store_true", help="share no part with earlier backups")
    parser.add_argument("--keep", type=int, metavar="N", help="afterwards delete all but the newest N of each kind")
    add_settings(parser, DSN, CENTRE_KEY)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    if args.keep is not None and args.keep < 1:
        raise CallUnclear("--keep: at least 1, or nothing would be left")
    if args.make_key:
        return _make_key(args.make_key)
    if args.list:
        return _list(args.list)
    return _check(args) if args.check else _take(args)


def _make_key(folder: Path) -> int:
    from ingest.backup.locked import PRIVATE_KEY, PUBLIC_KEY, make_keys

    recipient = make_keys(folder)
    print(f"{folder / PUBLIC_KEY} ({recipient.fingerprint}): give it to whoever takes backups, as --recipient")
    print(f"{folder / PRIVATE_KEY}: keep it away from them, and a copy in a safe; without it nobody can read")
    return 0


def _list(folder: Path) -> int:
    from ingest.backup.manifest import read_manifest
    from ingest.backup.shelf import LOGICAL_KIND, finished

    found = finished(folder)
    for shelved in found:
        told = ""
        if shelved.kind == LOGICAL_KIND:
            manifest = read_manifest(shelved.folder)
            told = f"  {manifest.rows} rows  {manifest.octets / 1e6:.1f} MB  PostgreSQL {manifest.postgresql}"
        print(f"{shelved.folder}  {shelved.kind}{told}")
    if not found:
        print(f"{folder} holds no finished backup")
    return 0


def _check(args: argparse.Namespace) -> int:
    from ingest.backup.base import verify_base
    from ingest.backup.checking import check_backup
    from ingest.backup.progress import BackupProgress
    from ingest.backup.shelf import BASE

    with BackupProgress() as watch:
        if (args.check / BASE).is_dir():
            verify_base(args.check)
            print(f"{args.check}: base backup, every file is as it was copied")
            return 0
        identity, verifier = identity_of(args.identity), verifier_of(Settings(args))
        done = check_backup(args.check, identity=identity, verifier=verifier, deep=args.deep, watch=watch)
    manifest = done.manifest
    print(f"{args.check}: {len(manifest.parts)} files, {manifest.octets / 1e6:.1f} MB, each as it was written")
    if done.deep:
        print(f"  {manifest.rows} rows counted; envelopes of {done.months} months are those the ledger holds")
    print("  " + ("signed by this centre" if done.vouched else "signature not checked: give --centre-key"))
    return 0


def _take(args: argparse.Namespace) -> int:
    from ingest.backup.base import take_base
    from ingest.backup.locked import Recipient
    from ingest.backup.progress import BackupProgress
    from ingest.backup.shelf import held_shelf, prune
    from ingest.backup.taking import take_backup
    from ingest.store.database import Database
    from ingest.store.migrate import is_migrated
    from metering.clock import SystemClock

    settings, clock = Settings(args), SystemClock()
    dsn = settings.text(DSN)
    recipient = None if args.recipient is None else Recipient.read(args.recipient)
    if args.kind == "base" and recipient is not None:
        raise CallUnclear("base backups can not be locked here; use an encrypted disk, or --kind logical")
    with plain_errors(), Database(dsn, connections=1) as database, BackupProgress() as watch:
        if not is_migrated(database):
            raise SchemaBehind(
                "the database is not up to date: take the backup with the programs that belong to it, or run: "
                "metertree migrate"
            )
        if args.kind == "base":
            folder, octets = take_base(database, dsn, args.to, clock=clock, watch=watch)
            print(f"{folder}: base backup, {octets / 1e6:.1f} MB")
        else:
            signer = signer_of(settings)
            taken = take_backup(
                database, args.to, clock=clock, recipient=recipient, signer=signer, watch=watch, whole=args.whole
            )
            manifest = taken.manifest
            shared = len(manifest.parts) - taken.parts_written
            size = f"{manifest.octets / 1e6:.1f} MB in {len(manifest.parts)} files"
            print(f"{taken.folder}: {manifest.rows} rows, {size}")
            print(f"  {taken.octets_written / 1e6:.1f} MB written now; {shared} files are those of an earlier backup")
    if args.keep:
        with held_shelf(args.to):
            for name in prune(args.to, args.keep):
                print(f"  deleted {name}")
    return 0


@contextmanager
def plain_errors() -> Iterator[None]:
    """Say in a line what PostgreSQL or the disk said, and what to do; raises Interrupted."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        said = str(error).strip().partition("\n")[0]
        raise Interrupted(f"PostgreSQL: {said}. Nothing is half done: mend it, and run the same again") from error
    except OSError as error:
        raise Interrupted(f"{error}. Nothing is half done: make room or mend it, and run the same again") from error


def identity_of(path: Path | None) -> Identity | None:
    """Read the private key of backups, if one was named."""
    from ingest.backup.locked import Identity

    return None if path is None else Identity.read(path)


def signer_of(settings: Settings) -> Signer | None:
    """Read the centre's key, if one was named."""
    from provisioning.keys import FileSigner

    path = settings.optional(CENTRE_KEY)
    return None if path is None else FileSigner.read(Path(path))


def verifier_of(settings: Settings) -> Verifier | None:
    """Give the public half of the centre's key, if one was named."""
    from provisioning.keys import FileSigner

    path = settings.optional(CENTRE_KEY)
    return None if path is None else FileSigner.read(Path(path)).verifier()
