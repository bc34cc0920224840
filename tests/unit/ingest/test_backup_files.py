"""Files of a backup: parts, the manifest, and the folder they stand in."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.backup import shelf as shelves
from ingest.backup.checking import _rows, check_backup
from ingest.backup.locked import Identity, Unreadable
from ingest.backup.manifest import (
    FORMAT,
    MANIFEST,
    SIGNATURE,
    BackupDamaged,
    Manifest,
    NoBackup,
    StoredPart,
    StoredTable,
    check_signature,
    read_manifest,
    sign_manifest,
)
from ingest.backup.part_file import is_whole, read_rows, write_part
from ingest.store.snapshot import Part
from tests.conftest import SeededSigner

CENTRE = SeededSigner("metertree test centre")
KEY = Identity(bytes(range(32)))
NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"


def row(*fields: bytes | None) -> bytes:
    """One row of a binary COPY."""
    out = len(fields).to_bytes(2, "big")
    for field in fields:
        out += b"\xff\xff\xff\xff" if field is None else len(field).to_bytes(4, "big") + field
    return out


CONTENT = HEAD + b"".join(row(b"n%d" % number, None) for number in range(500)) + END


def stored(folder: Path, table: str = "alarms", content: bytes = CONTENT, key: Identity | None = None) -> StoredPart:
    """Write a part."""
    part = Part(table, "all", 500, "17", None, None)
    return write_part(folder / table / "all.copy", part, [content[:100], content[100:]], key and key.recipient)


def manifest_of(folder: Path, *parts: StoredPart) -> Manifest:
    """Write a manifest."""
    manifest = Manifest(
        format=FORMAT,
        backup=folder.name,
        taken_at=NOW,
        database="1/2",
        postgresql="18.6",
        timescaledb=None,
        migrations=(),
        tables=tuple(StoredTable(table, ("a", "b")) for table in sorted({part.table for part in parts})),
        parts=parts,
        erasures=(),
    )
    (folder / MANIFEST).write_bytes(manifest.encoded())
    return manifest


@pytest.mark.parametrize("table", ["alarms", "envelopes"])
@pytest.mark.parametrize("key", [None, KEY])
def test_rows_come_out_as_they_went_in(tmp_path: Path, table: str, key: Identity | None) -> None:
    part = stored(tmp_path, table, key=key)
    assert b"".join(read_rows(tmp_path, part, key)) == CONTENT
    assert part.octets == (tmp_path / part.file).stat().st_size
    assert is_whole(tmp_path, part)
    assert check_backup_of(tmp_path, part, key=key) == 500


def check_backup_of(folder: Path, part: StoredPart, key: Identity | None = None) -> int:
    """Check a backup of one part deeply and give its rows; envelopes of such content are none."""
    manifest_of(folder, part)
    if part.table == "envelopes":
        return part.rows
    return check_backup(folder, identity=key, verifier=None, deep=True).manifest.rows


@pytest.mark.parametrize("at", [0, 50, -1])
def test_a_changed_octet_is_found_without_restoring(tmp_path: Path, at: int) -> None:
    part = stored(tmp_path)
    manifest_of(tmp_path, part)
    octets = bytearray((tmp_path / part.file).read_bytes())
    octets[at] ^= 1
    (tmp_path / part.file).write_bytes(octets)
    assert not is_whole(tmp_path, part)
    with pytest.raises(BackupDamaged, match=r"alarms/all\.copy is not what was written"):
        check_backup(tmp_path, identity=None, verifier=None, deep=False)


def test_a_shorter_and_a_missing_file_are_found(tmp_path: Path) -> None:
    part = stored(tmp_path)
    manifest_of(tmp_path, part)
    path = tmp_path / part.file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BackupDamaged, match=f"instead of {part.octets}"):
        check_backup(tmp_path, identity=None, verifier=None, deep=False)
    path.unlink()
    with pytest.raises(BackupDamaged, match="cannot be read"):
        check_backup(tmp_path, identity=None, verifier=None, deep=False)


def test_a_locked_part_without_the_key_is_hashed_but_not_read(tmp_path: Path) -> None:
    part = stored(tmp_path, key=KEY)
    manifest_of(tmp_path, part)
    assert not check_backup(tmp_path, identity=None, verifier=None, deep=False).deep
    with pytest.raises(Unreadable, match="--identity"):
        check_backup(tmp_path, identity=None, verifier=None, deep=True)


def test_a_count_that_is_not_that_of_the_rows_is_found(tmp_path: Path) -> None:
    part = replace(stored(tmp_path), rows=499)
    manifest_of(tmp_path, part)
    with pytest.raises(BackupDamaged, match="holds 500 rows instead of 499"):
        check_backup(tmp_path, identity=None, verifier=None, deep=True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "ends in the middle"),
        (b"x" * 40, "is no binary COPY"),
        (HEAD, "ends in the middle"),
        (HEAD + row(b"one") + END, "1 fields instead of 2"),
        (HEAD + row(b"a", b"b")[:-1], "ends in the middle"),
    ],
)
def test_what_is_no_rows_is_named(content: bytes, problem: str) -> None:
    with pytest.raises(BackupDamaged, match=problem):
        list(_rows([content], 2, "file"))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1000])
def test_rows_are_read_whatever_blocks_they_come_in(step: int) -> None:
    blocks = [CONTENT[at : at + step] for at in range(0, len(CONTENT), step)]
    found = list(_rows(blocks, 2, "file"))
    assert [fields[0] for fields in found] == [b"n%d" % number for number in range(500)]
    assert {fields[1] for fields in found} == {None}


@pytest.mark.parametrize("file", ["../outside", "/etc/passwd"])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, file: str) -> None:
    manifest_of(tmp_path, replace(stored(tmp_path), file=file))
    with pytest.raises(BackupDamaged, match="contradicts itself"):
        check_backup(tmp_path, identity=None, verifier=None, deep=False)


def test_a_manifest_that_the_centre_signed_is_known(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, stored(tmp_path))
    (tmp_path / SIGNATURE).write_bytes(sign_manifest(manifest.encoded(), CENTRE))
    check_signature(tmp_path, CENTRE.verifier)
    assert check_backup(tmp_path, identity=None, verifier=CENTRE.verifier, deep=False).vouched
    with pytest.raises(BackupDamaged, match="no signature of this centre"):
        check_signature(tmp_path, SeededSigner("another").verifier)
    (tmp_path / MANIFEST).write_bytes(replace(manifest, database="3/4").encoded())
    with pytest.raises(BackupDamaged, match="changed after it was signed"):
        check_signature(tmp_path, CENTRE.verifier)
    (tmp_path / SIGNATURE).unlink()
    with pytest.raises(BackupDamaged):
        check_backup(tmp_path, identity=None, verifier=CENTRE.verifier, deep=False)


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, stored(tmp_path))
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("change", [{"format": "metertree-backup/2"}, {"parts": 3}, {"more": 1}])
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    document = json.loads(manifest_of(tmp_path, stored(tmp_path)).encoded()) | change
    (tmp_path / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(BackupDamaged):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(NoBackup, match="holds no finished backup"):
        read_manifest(tmp_path)


def test_the_shelf_lists_what_is_finished_and_keeps_the_newest(tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / f"2026-11-0{number + 1}T000000.000000Z"
        folder.mkdir()
        manifest_of(folder, stored(folder))
    (tmp_path / "2026-11-05T000000.000000Z.unfinished").mkdir()
    base = tmp_path / "2026-11-06T000000.000000Z"
    (base / "base").mkdir(parents=True)
    assert [one.kind for one in shelves.finished(tmp_path)] == ["logical"] * 4 + ["base"]
    assert shelves.prune(tmp_path, 2) == ("2026-11-01T000000.000000Z", "2026-11-02T000000.000000Z")
    assert [one.name for one in shelves.finished(tmp_path)] == [
        "2026-11-03T000000.000000Z",
        "2026-11-04T000000.000000Z",
        base.name,
    ]
    assert [folder.name for folder in shelves.unfinished(tmp_path)] == ["2026-11-05T000000.000000Z.unfinished"]


def test_two_backups_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with shelves.held_shelf(tmp_path / "shelf"):
        assert os.stat(tmp_path / "shelf").st_mode & 0o777 == 0o700
        with pytest.raises(shelves.ShelfBusy), shelves.held_shelf(tmp_path / "shelf"):
            pass
    with shelves.held_shelf(tmp_path / "shelf"):
        pass


def test_names_of_backups_sort_by_time() -> None:
    assert shelves.new_name(NOW) == "2026-11-23T010203.000000Z"
    assert (
        shelves.new_name(NOW) < shelves.new_name(NOW.replace(microsecond=1)) < shelves.new_name(NOW.replace(year=2027))
    )
