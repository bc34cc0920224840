"""`metertree restore`: fill an empty database, or an empty cluster, from a backup."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.commands.backup import CallUnclear, identity_of, plain_errors, verifier_of
from ingest.config import CENTRE_KEY, DSN, STORAGE_SETTINGS, Settings, add_settings, read_storage

if TYPE_CHECKING:
    from ingest.backup.restoring import Restored

ASKED = (
    "What came after it will be asked for at the gateways as soon as intake runs (30 days back, at most); what people\n"
    "did after it is to be done again: sites imported, gateways enrolled, runs computed, checked, approved, published."
)


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "restore",
        help="fill an empty database from a backup",
        description="Check a backup and put it into an empty database, all of it or nothing. A base backup is copied "
        "into an empty folder (--cluster), on which you start PostgreSQL. Then start `metertree serve`: it finds out "
        "by itself that the database was restored, and asks gateways for what is lacking. Names that were erased since "
        "the backup, as newer backups in the same folder know, are erased again.",
    )
    parser.add_argument("backup", type=Path, nargs="?", metavar="BACKUP", help="folder of one backup")
    parser.add_argument("--identity", type=Path, metavar="FILE", help="backup.key, for a locked backup")
    parser.add_argument("--cluster", type=Path, metavar="FOLDER", help="where the files of a base backup go")
    parser.add_argument("--dry-run", action="store_true", help="check it deeply, say what is in it, restore nothing")
    parser.add_argument(
        "--ask-again",
        action="store_true",
        help="restore nothing: ask gateways again, where the database was put back by other means",
    )
    parser.add_argument("--asked", action="store_true", help="list the gateways that have not answered yet")
    add_settings(parser, DSN, CENTRE_KEY, *STORAGE_SETTINGS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Restore, or ask again."""
    from ingest.backup.shelf import BASE

    if args.asked:
        return _asked(args)
    if args.ask_again:
        return _ask_again(args)
    if args.backup is None:
        raise CallUnclear("name the BACKUP to restore; list those there are: metertree backup --list FOLDER")
    if (args.backup / BASE).is_dir():
        return _restore_base(args)
    return _foretell(args) if args.dry_run else _restore(args)


def _ask_again(args: argparse.Namespace) -> int:
    from ingest.store.backup_log import ask_all_again
    from ingest.store.database import Database
    from metering.clock import SystemClock

    with Database(Settings(args).text(DSN), connections=1) as database, database.transaction() as connection:
        chains = ask_all_again(connection, SystemClock().now())
    print(f"{chains} chains will be asked for, from within a minute of intake running")
    return 0


def _asked(args: argparse.Namespace) -> int:
    from ingest.store.backup_log import open_requests
    from ingest.store.database import Database

    with Database(Settings(args).text(DSN), connections=1) as database, database.transaction() as connection:
        waiting = open_requests(connection)
    for one in waiting:
        print(
            f"{one.owner.gateway} epoch {one.owner.epoch}: asked {one.times} times since {one.asked_since.isoformat()} "
            f"for what follows seq {one.after_seq}; next at {one.ask_at.isoformat()}"
        )
    if not waiting:
        print("nobody is asked: every gateway was heard, or nothing was restored")
    return 0


def _restore_base(args: argparse.Namespace) -> int:
    from ingest.backup.base import restore_base, verify_base
    from ingest.backup.progress import BackupProgress

    if args.dry_run:
        verify_base(args.backup)
        print(f"{args.backup}: every file is as it was copied")
        return 0
    if args.cluster is None:
        raise CallUnclear("a base backup is files: name the empty folder they go to with --cluster")
    with plain_errors(), BackupProgress() as watch:
        restore_base(args.backup, args.cluster, watch)
    print(f"{args.cluster} holds the cluster; start PostgreSQL on it, then: metertree migrate\n{ASKED}")
    return 0


def _foretell(args: argparse.Namespace) -> int:
    from ingest.backup.checking import check_backup
    from ingest.backup.progress import BackupProgress

    with BackupProgress() as watch:
        done = check_backup(
            args.backup,
            identity=identity_of(args.identity),
            verifier=verifier_of(Settings(args)),
            deep=True,
            watch=watch,
        )
    rows: dict[str, int] = {}
    for part in done.manifest.parts:
        rows[part.table] = rows.get(part.table, 0) + part.rows
    print(f"{args.backup} of {done.manifest.taken_at.isoformat()} is in order and would be restored:")
    for table, count in rows.items():
        print(f"  {table}  {count} rows")
    return 0


def _restore(args: argparse.Namespace) -> int:
    from ingest.backup.progress import BackupProgress
    from ingest.backup.restoring import restore
    from ingest.store.database import Database
    from metering.clock import SystemClock

    settings = Settings(args)
    with plain_errors(), Database(settings.text(DSN), connections=1) as database, BackupProgress() as watch:
        done = restore(
            database,
            args.backup,
            identity=identity_of(args.identity),
            verifier=verifier_of(settings),
            storage=read_storage(settings),
            now=SystemClock().now(),
            watch=watch,
        )
    for line in _told(done):
        print(line)
    return 0


def _told(done: Restored) -> list[str]:
    manifest = done.manifest
    return [
        f"restored {manifest.rows} rows, as they were at {manifest.taken_at.isoformat()}",
        *(f"applied {name}" for name in done.migrations),
        *(f"erased again: {one.kind} {one.site or ''} {one.subject[:16]} ({one.reason})" for one in done.erased),
        ASKED,
    ]
