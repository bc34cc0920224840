"""Locked parts: only the holder of the key reads them, and no octet of them can be changed, left out or moved."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ingest.backup.locked import CHUNK_OCTETS, MAGIC, Identity, KeyUnusable, Recipient, Unreadable, make_keys

KEY = Identity(bytes(range(32)))
NAME = "readings/2026-07"


def locked(content: bytes, name: str = NAME) -> bytes:
    """Lock `content`, handed over in uneven blocks."""
    blocks = [content[at : at + 70_001] for at in range(0, len(content), 70_001)]
    return b"".join(KEY.recipient.lock(blocks, name))


def unlocked(octets: bytes, name: str = NAME, key: Identity = KEY) -> bytes:
    """Unlock, from uneven blocks."""
    return b"".join(key.unlock((octets[at : at + 33_333] for at in range(0, len(octets), 33_333)), name))


@pytest.mark.parametrize("length", [0, 1, CHUNK_OCTETS - 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 2 * CHUNK_OCTETS])
def test_what_was_locked_comes_out_again(length: int) -> None:
    content = os.urandom(length)
    assert unlocked(locked(content)) == content


def test_the_same_content_is_locked_otherwise_each_time() -> None:
    assert locked(b"same") != locked(b"same")


def test_nothing_of_the_content_shows() -> None:
    assert b"readable" not in locked(b"readable" * 100)


def test_another_key_reads_nothing() -> None:
    with pytest.raises(Unreadable, match="locked for another key"):
        unlocked(locked(b"content"), key=Identity(bytes(32 * [9])))


def test_a_part_cannot_take_the_place_of_another() -> None:
    with pytest.raises(Unreadable):
        unlocked(locked(b"content"), name="readings/2026-08")


@pytest.mark.parametrize("at", [len(MAGIC), len(MAGIC) + 31, len(MAGIC) + 32, -1])
def test_a_flipped_bit_is_found(at: int) -> None:
    octets = bytearray(locked(b"content"))
    octets[at] ^= 1
    with pytest.raises(Unreadable):
        unlocked(bytes(octets))


def test_a_file_cut_at_the_end_of_a_chunk_is_found() -> None:
    octets = locked(bytes(2 * CHUNK_OCTETS))
    cut = octets[: len(MAGIC) + 32 + CHUNK_OCTETS + 16]
    with pytest.raises(Unreadable, match="chunk 0"):
        unlocked(cut)


def test_chunks_cannot_change_places() -> None:
    octets = locked(bytes(3 * CHUNK_OCTETS))
    head, step = len(MAGIC) + 32, CHUNK_OCTETS + 16
    first, second, rest = octets[head : head + step], octets[head + step : head + 2 * step], octets[head + 2 * step :]
    with pytest.raises(Unreadable):
        unlocked(octets[:head] + second + first + rest)


@pytest.mark.parametrize("octets", [b"", b"short", b"x" * 100])
def test_what_is_no_locked_file_is_named_so(octets: bytes) -> None:
    with pytest.raises(Unreadable, match="is not a locked file"):
        unlocked(octets)


def test_keys_are_made_once_and_the_private_one_is_private(tmp_path: Path) -> None:
    recipient = make_keys(tmp_path / "keys")
    private = tmp_path / "keys" / "backup.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert Identity.read(private).recipient.fingerprint == recipient.fingerprint
    assert Recipient.read(tmp_path / "keys" / "backup.pub").fingerprint == recipient.fingerprint
    with pytest.raises(KeyUnusable, match="name another folder"):
        make_keys(tmp_path / "keys")
    assert Identity.read(private).recipient.fingerprint == recipient.fingerprint


@pytest.mark.parametrize("text", ["", "zz", "00" * 31])
def test_a_file_that_holds_no_key_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(KeyUnusable):
        Recipient.read(path)
    with pytest.raises(KeyUnusable):
        Identity.read(tmp_path / "nothing")
