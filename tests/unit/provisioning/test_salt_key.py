"""The centre's salt key: made once, kept, for its owner's eyes alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from provisioning.keys import SALT_KEY, SALT_KEY_OCTETS, KeyFileInvalid, make_salt_key, write_salt_key

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the key lies."""
    return tmp_path / SALT_KEY


def test_the_first_start_makes_a_key_and_later_ones_keep_it(path: Path) -> None:
    made = make_salt_key(path)
    assert len(made) == SALT_KEY_OCTETS
    assert make_salt_key(path) == made


def test_two_centres_make_two_keys(tmp_path: Path) -> None:
    assert make_salt_key(tmp_path / "one.key") != make_salt_key(tmp_path / "other.key")


def test_a_salt_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    make_salt_key(tmp_path / "made.key")
    write_salt_key(tmp_path / "written.key", KEY)
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}


def test_a_written_key_reads_back_and_is_never_replaced(path: Path) -> None:
    write_salt_key(path, KEY)
    write_salt_key(path, KEY)
    with pytest.raises(KeyFileInvalid, match="holds another key already"):
        write_salt_key(path, bytes(32))
    assert make_salt_key(path) == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_salt_key_that_others_may_reach_is_refused(path: Path, mode: int) -> None:
    write_salt_key(path, KEY)
    path.chmod(mode)
    with pytest.raises(KeyFileInvalid, match="chmod 600"):
        make_salt_key(path)


@pytest.mark.parametrize("text", ["", "00", "not digits", "00" * 31, "00" * 33])
def test_a_file_that_is_no_salt_key_is_refused(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="ascii")
    path.chmod(0o600)
    with pytest.raises(KeyFileInvalid, match="salt key"):
        make_salt_key(path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyFileInvalid, match="cannot be written"):
        make_salt_key(tmp_path / "nowhere" / SALT_KEY)
