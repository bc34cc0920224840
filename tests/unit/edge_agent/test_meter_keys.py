"""The key folder: what meters want to hear, who may read it, and counters that never come twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_profiles.framing.conversation import NO_SECRETS, SecretMissing
from edge_agent.adapters import meter_keys
from edge_agent.adapters.meter_keys import BLOCK, COUNTS, FOLDER, MeterKeyFolder
from metering.errors import DocumentError
from metering.identity import MeterId

METER = MeterId("m-main")
WHOLE = """
password = "00000000"
encryption = "000102030405060708090a0b0c0d0e0f"
authentication = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
title = "4d4d4d0000000001"
"""


def folder(tmp_path: Path, text: str = WHOLE, mode: int = 0o600) -> MeterKeyFolder:
    """Write the meter's file and open the folder."""
    path = tmp_path / "keys" / FOLDER / f"{METER}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return MeterKeyFolder(tmp_path / "keys", tmp_path / "state")


def test_secrets_are_read_from_the_meters_file(tmp_path: Path) -> None:
    secrets = folder(tmp_path).of(METER)
    assert secrets.secret("password") == b"00000000"
    assert secrets.secret("encryption") == bytes(range(16))
    assert secrets.secret("title").hex() == "4d4d4d0000000001"


def test_a_meter_without_file_has_no_secrets(tmp_path: Path) -> None:
    assert folder(tmp_path).of(MeterId("m-other")) is NO_SECRETS


def test_a_secret_that_is_not_in_the_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="wants its encryption"):
        folder(tmp_path, 'password = "1"').of(METER).secret("encryption")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(DocumentError, match=r"others than the owner may read the file \(chmod 600"):
        folder(tmp_path, mode=mode).of(METER)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('password = "1"\nencryption = "0g"', 2, "is not hex"),
        ("password = 1", 1, "is not a text"),
        ('pasword = "1"', 1, "unknown key 'pasword'"),
        ("count_from = -1", 1, "is not within 0 to"),
        ("count_from = 4294967296", 1, "is not within 0 to"),
        ("password", 1, "not TOML"),
    ],
)
def test_a_mistake_is_shown_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem) as caught:
        folder(tmp_path, text).of(METER)
    assert caught.value.faults[0].line == line


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    assert "0000" not in repr(folder(tmp_path).of(METER))


def test_counters_never_come_twice_over_starts_and_kills(tmp_path: Path) -> None:
    """Nothing is written at an end, so leaving an object behind is a kill."""
    keys = folder(tmp_path)
    given: list[int] = []
    for counts in (1, 3, BLOCK, BLOCK + 1, 2 * BLOCK, 5):
        secrets = keys.of(METER)
        given += [secrets.next_count() for _ in range(counts)]
    assert given == sorted(set(given))
    assert given[-1] < sum((1, 3, BLOCK, BLOCK + 1, 2 * BLOCK, 5)) + 7 * BLOCK


def test_the_ceiling_is_on_disk_before_the_first_counter_below_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = folder(tmp_path).of(METER)
    kept = tmp_path / "state" / COUNTS / METER
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(meter_keys.os, "fsync", fsync)
    for _ in range(BLOCK + 1):
        assert secrets.next_count() < int(kept.read_text())
    assert [Path(each).name for each in synced] == [f".{METER}.draft", COUNTS] * 2


def test_counting_begins_where_another_reader_left_off(tmp_path: Path) -> None:
    assert folder(tmp_path, "count_from = 5000").of(METER).next_count() == 5000
    assert folder(tmp_path, "count_from = 10").of(METER).next_count() == 5000 + BLOCK
    assert folder(tmp_path, "count_from = 9000").of(METER).next_count() == 9000


@pytest.mark.parametrize("kept", ["", "many", "12 13"])
def test_no_counter_is_given_when_the_ceiling_cannot_be_read(tmp_path: Path, kept: str) -> None:
    secrets = folder(tmp_path).of(METER)
    path = tmp_path / "state" / COUNTS / METER
    path.parent.mkdir(parents=True)
    path.write_text(kept)
    for _ in range(2):
        with pytest.raises(SecretMissing, match="surely never used"):
            secrets.next_count()
    assert path.read_text() == kept


def test_no_counter_is_given_when_the_ceiling_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = folder(tmp_path).of(METER)
    first = secrets.next_count()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(meter_keys.os, "fsync", full)
    given = [first, *(secrets.next_count() for _ in range(BLOCK - 1))]
    with pytest.raises(SecretMissing, match="No space left"):
        secrets.next_count()
    monkeypatch.undo()
    assert secrets.next_count() not in given
