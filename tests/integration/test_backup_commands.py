"""`metertree backup` and `metertree restore` as an operator calls them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ingest.backup import taking
from ingest.cli import main
from ingest.store.database import Connection
from ingest.store.snapshot import Part, Table
from provisioning.keys import make_signing_key
from tests.doubles.closed_park import copy_of


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's settings reaches the calls."""
    for name in ("METERTREE_DSN", "METERTREE_CENTRE_KEY"):
        monkeypatch.delenv(name, raising=False)


def newest(shelf: Path) -> Path:
    """The newest backup."""
    return sorted(path for path in shelf.iterdir() if path.is_dir())[-1]


def test_an_operator_takes_checks_keeps_and_restores(
    postgres_dsn: str, closed_park: str, empty_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf, keys = tmp_path / "shelf", tmp_path / "keys"
    centre = ("--centre-key", str(tmp_path / "centre.key"))
    make_signing_key(tmp_path / "centre.key")
    assert main(["backup", "--make-key", str(keys)]) == 0
    assert "keep it away from them" in capsys.readouterr().out
    locked = ("--recipient", str(keys / "backup.pub"))
    for dsn in copy_of(postgres_dsn, closed_park):
        for _ in range(3):
            assert main(["backup", "--to", str(shelf), "--dsn", dsn, "--keep", "2", *locked, *centre]) == 0
        told = capsys.readouterr().out
        assert "0 files are those of an earlier backup" in told
        assert told.count("deleted ") == 1
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT count(*) FROM backups WHERE finished_at IS NOT NULL").fetchone() == (3,)
    assert main(["backup", "--list", str(shelf)]) == 0
    assert capsys.readouterr().out.count("logical") == 2
    backup = str(newest(shelf))
    assert main(["backup", "--check", backup]) == 0
    assert "signature not checked" in capsys.readouterr().out
    assert main(["backup", "--check", backup, "--deep", "--identity", str(keys / "backup.key"), *centre]) == 0
    told = capsys.readouterr().out
    assert "envelopes of 1 months are those the ledger holds" in told
    assert "signed by this centre" in told
    with_key = ("--identity", str(keys / "backup.key"), *centre)
    assert main(["restore", backup, "--dry-run", *with_key]) == 0
    assert "statements  " in capsys.readouterr().out
    assert main(["restore", backup, "--dsn", empty_dsn, *with_key]) == 0
    assert "will be asked for at the gateways" in capsys.readouterr().out
    with psycopg.connect(empty_dsn) as connection:
        assert connection.execute("SELECT state FROM allocation_runs").fetchall() == [("computed",)]
    assert main(["restore", "--ask-again", "--dsn", empty_dsn]) == 0
    assert "2 chains will be asked for" in capsys.readouterr().out
    assert main(["restore", "--asked", "--dsn", empty_dsn]) == 0
    assert "gw-b epoch 1: asked 0 times since" in capsys.readouterr().out
    assert main(["restore", backup, "--dsn", empty_dsn, *with_key]) == 1
    assert "the database is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["backup", "--to", "{0}", "--keep", "0", "--dsn", "x"], "at least 1"),
        (
            ["backup", "--to", "{0}", "--kind", "base", "--recipient", "{0}/k/backup.pub", "--dsn", "x"],
            "not be locked",
        ),
        (["backup", "--to", "{0}", "--recipient", "{0}/nothing", "--dsn", "x"], "--make-key"),
        (["backup", "--check", "{0}"], "holds no finished backup"),
        (["restore"], "name the BACKUP"),
        (["restore", "{0}", "--dsn", "x"], "holds no finished backup"),
        (["restore", "{0}/base-one"], "--cluster"),
        (["erase", "party", "--dsn", "x"], "say whose"),
        (["erase", "party", "t-04", "--reason", "r", "--dsn", "host=127.0.0.1 port=1"], "no connection|SITE/PARTY"),
    ],
)
def test_unclear_calls_are_told_what_is_missing(
    words: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.store.database.CHECKOUT_S", 0.2)
    (tmp_path / "base-one" / "base").mkdir(parents=True)
    main(["backup", "--make-key", str(tmp_path / "k")])
    capsys.readouterr()
    assert main([word.format(tmp_path) for word in words]) == 1
    told = capsys.readouterr().err
    assert any(part in told for part in problem.split("|")), told


def test_a_database_or_a_disk_that_gives_up_is_told_in_a_line(
    postgres_dsn: str,
    migrated_dsn: str,
    empty_dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["backup", "--to", str(tmp_path), "--dsn", migrated_dsn]
    real = taking.read_part

    def ended(connection: Connection, table: Table, part: Part) -> Iterator[bytes]:
        with psycopg.connect(migrated_dsn, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        return real(connection, table, part)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "readings/2026-07.copy")

    monkeypatch.setattr(taking, "read_part", ended)
    assert main(words) == 1
    assert "run the same again" in capsys.readouterr().err
    monkeypatch.setattr(taking, "read_part", real)
    monkeypatch.setattr(taking, "write_part", full)
    assert main(words) == 1
    assert "No space left on device: 'readings/2026-07.copy'. Nothing is half done" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(words) == 0
    assert main([*words[:-1], empty_dsn]) == 1
    assert "run: metertree migrate" in capsys.readouterr().err


def test_a_folder_without_backups_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "--list", str(tmp_path)]) == 0
    assert "holds no finished backup" in capsys.readouterr().out
