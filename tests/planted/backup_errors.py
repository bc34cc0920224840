"""Errors as they are made, planted at the safety mechanisms of backup, restore and erasure, each with its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.backup import checking, locked, part_file, restoring, taking
from ingest.backup.manifest import StoredPart
from ingest.store import backup_log, sites
from ingest.store.database import Connection, Database, load_queries
from provisioning.document import from_document
from provisioning.site import Site

Patch = pytest.MonkeyPatch
STORE = "tests/integration/test_backup.py::"
ERASURE = "tests/integration/test_erasure.py::"
FILES = "tests/unit/ingest/test_backup_files.py::"
LOCKED = "tests/unit/ingest/test_backup_locked.py::"


@dataclass(frozen=True)
class PlantedInBackup:
    """One error: `plant` puts it in, `caught_by` turns red."""

    error: str
    plant: Callable[[Patch], None]
    caught_by: str


def each_table_is_read_as_it_is_then(patch: Patch) -> None:
    patch.setattr(taking, "begin_snapshot", lambda _: None)


def as_many_rows_are_the_same_rows(patch: Patch) -> None:
    real = taking.survey
    patch.setattr(taking, "survey", lambda *given: tuple(replace(part, fingerprint="") for part in real(*given)))


def a_shared_file_is_not_looked_at_again(patch: Patch) -> None:
    patch.setattr(taking, "is_whole", lambda *_: True)


def a_file_is_not_hashed(patch: Patch) -> None:
    def unhashed(folder: Path, part: StoredPart) -> Iterator[bytes]:
        yield (folder / part.file).read_bytes()

    for module in (part_file, checking):
        patch.setattr(module, "hashed_part", unhashed)


def every_chunk_is_locked_alike(patch: Patch) -> None:
    def alike(number: int, *, last: bool) -> bytes:
        return bytes(12)

    patch.setattr(locked, "_nonce", alike)


def envelopes_are_not_held_against_the_ledger(patch: Patch) -> None:
    patch.setattr(checking._Sums, "require_equal", lambda _: 0)


def anybody_may_have_made_it(patch: Patch) -> None:
    patch.setattr(restoring, "check_signature", lambda *_: None)


def each_part_is_committed_by_itself(patch: Patch) -> None:
    real = restoring._put

    def hasty(connection: Connection, *given: Any) -> None:
        real(connection, *given)
        connection.execute("COMMIT")
        connection.execute("BEGIN")

    patch.setattr(restoring, "_put", hasty)


def what_is_there_is_filled_up(patch: Patch) -> None:
    patch.setattr(restoring, "require_empty", lambda *_: None)


def numbers_begin_again(patch: Patch) -> None:
    patch.setattr(restoring, "go_on_numbering", lambda *_: None)


def a_backup_calls_itself_finished(patch: Patch) -> None:
    real = taking.logged_backup

    @contextmanager
    def early(database: Database, name: str, kind: str, place: str, at: datetime) -> Iterator[None]:
        with real(database, name, kind, place, at):
            backup_log.finish_backup(database, name, at, 0)
            yield

    patch.setattr(taking, "logged_backup", early)


def nobody_holds_what_he_writes(patch: Patch) -> None:
    def unheld(name: str) -> Mapping[str, bytes]:
        return {**load_queries(name), **({"hold": b"SELECT %(backup)s::text"} if name == "backup" else {})}

    patch.setattr(backup_log, "load_queries", unheld)


def the_hash_follows_the_names(patch: Patch) -> None:
    def follow(kind: type[Site], document: Mapping[str, Any], *, known_hash: bytes | None = None) -> Site:
        return from_document(kind, document)

    patch.setattr(Site, "from_document", classmethod(follow))


def an_import_brings_a_name_back(patch: Patch) -> None:
    patch.setattr(sites, "refuse_erased", lambda *_: None)


def a_restore_brings_a_name_back(patch: Patch) -> None:
    patch.setattr(restoring, "erase_again", lambda *_: ())


IN_BACKUP = tuple(
    PlantedInBackup(plant.__name__.replace("_", " "), plant, caught_by)
    for plant, caught_by in (
        (each_table_is_read_as_it_is_then, STORE + "test_what_is_committed_while_it_is_taken_is_not_half_in_it"),
        (as_many_rows_are_the_same_rows, STORE + "test_a_row_that_changed_is_in_the_next_backup"),
        (a_shared_file_is_not_looked_at_again, STORE + "test_a_shared_part_that_rotted_is_read_out_anew"),
        (a_file_is_not_hashed, FILES + "test_a_changed_octet_is_found_without_restoring[0]"),
        (every_chunk_is_locked_alike, LOCKED + "test_chunks_cannot_change_places"),
        (
            envelopes_are_not_held_against_the_ledger,
            STORE + "test_envelopes_that_are_not_those_of_the_ledger_are_found_without_restoring",
        ),
        (anybody_may_have_made_it, STORE + "test_a_backup_signed_by_somebody_else_is_not_restored"),
        (each_part_is_committed_by_itself, STORE + "test_a_damaged_part_restores_nothing_at_all[chain_heads]"),
        (what_is_there_is_filled_up, STORE + "test_a_filled_database_is_left_alone"),
        (numbers_begin_again, STORE + "test_a_restored_database_goes_on_working"),
        (
            a_backup_calls_itself_finished,
            STORE + "test_a_restored_database_knows_it_and_asks_every_chain_until_it_is_heard",
        ),
        (nobody_holds_what_he_writes, STORE + "test_a_backup_that_is_being_taken_is_not_mistaken_for_a_restore"),
        (
            the_hash_follows_the_names,
            ERASURE + "test_the_names_go_from_every_version_and_nothing_else_does",
        ),
        (an_import_brings_a_name_back, ERASURE + "test_an_import_cannot_bring_a_name_back"),
        (a_restore_brings_a_name_back, ERASURE + "test_a_restored_older_backup_is_erased_again"),
    )
)
