"""What stands beside a register that a person read comes back as written, and nothing else passes for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.envelope import EnvelopeMalformed, encode
from metering.hand_note import HandNote, HandSource, note_of, reader_hash
from metering.identity import MeterId
from metering.reading import MeterReading, ReadQuality

AT = datetime(2026, 7, 31, 8, 7, tzinfo=UTC)
SALT = bytes(range(16))
NOTE = HandNote(HandSource.PHOTO, "012345.6", bytes(32), "0123456", 987, reader_hash("eng-1", SALT))


def reading(*frames: bytes) -> MeterReading:
    return MeterReading(MeterId("m"), bytes(32), 0, AT, AT, ReadQuality.MEASURED, (1,), frames)


@given(
    st.sampled_from(HandSource),
    st.text(min_size=1, max_size=32),
    st.none() | st.binary(min_size=32, max_size=32),
    st.none() | st.text("0123456789", min_size=1, max_size=20),
    st.none() | st.integers(0, 1000),
)
def test_a_note_comes_back_as_written(
    source: HandSource, text: str, photo: bytes | None, seen: str | None, confidence_pm: int | None
) -> None:
    note = HandNote(source, text, photo, seen, confidence_pm, bytes(32))
    assert note_of(reading(note.to_frame())) == note


@pytest.mark.parametrize("frames", [(), (b"\x01\x03\x04",), (b"",), (NOTE.to_frame(), NOTE.to_frame())])
def test_what_a_meter_answered_is_no_note(frames: tuple[bytes, ...]) -> None:
    assert note_of(reading(*frames)) is None


@pytest.mark.parametrize(
    "content",
    [
        ["metertree-hand-reading/1"],
        ["metertree-hand-reading/1", "heard", "1", None, None, None, bytes(32)],
        ["metertree-hand-reading/1", "typed", "", None, None, None, bytes(32)],
        ["metertree-hand-reading/1", "typed", "1" * 33, None, None, None, bytes(32)],
        ["metertree-hand-reading/1", "typed", "1", b"short", None, None, bytes(32)],
        ["metertree-hand-reading/1", "typed", "1", None, 7, None, bytes(32)],
        ["metertree-hand-reading/1", "typed", "1", None, None, 1001, bytes(32)],
        ["metertree-hand-reading/1", "typed", "1", None, None, None, bytes(31)],
    ],
)
def test_a_damaged_note_is_refused(content: list[object]) -> None:
    with pytest.raises(EnvelopeMalformed):
        note_of(reading(encode(content)))


def test_who_read_is_known_only_with_the_salt() -> None:
    assert reader_hash("eng-1", SALT) == NOTE.reader
    assert reader_hash("eng-1", bytes(16)) != NOTE.reader
    assert b"eng-1" not in NOTE.to_frame()
    assert len(replace(NOTE, text="9" * 32, seen="9" * 20).to_frame()) < 200
