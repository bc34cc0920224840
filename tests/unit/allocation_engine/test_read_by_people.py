"""A statement says which of its registers people read, and what was written down is the register that is billed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from allocation_engine.evidence import EnvelopeRef, PointReading
from allocation_engine.proof import Broken
from allocation_engine.read_by_people import TOLD_MAX, told_by_people
from metering.envelope import encode
from metering.hand_note import HandNote, HandSource
from metering.identity import GatewayId, MeterId
from metering.reading import MeterReading, ReadQuality

AT = datetime(2026, 7, 31, 8, 0, tzinfo=UTC)
METER = MeterId("m-1")


def sealed(*frames: bytes, meter: MeterId = METER) -> Any:
    reading = MeterReading(meter, bytes(32), 0, AT, AT, ReadQuality.MEASURED, (1,), frames)
    return SimpleNamespace(envelope=SimpleNamespace(readings=(reading,)))


def note(text: str, source: HandSource = HandSource.TYPED, photo: bytes | None = None) -> bytes:
    return HandNote(source, text, photo, None, None, bytes(32)).to_frame()


def told(registers: Sequence[tuple[int, Any]]) -> str:
    """Say what is told of a point with these registers, each in an envelope of its own."""
    refs = [EnvelopeRef(GatewayId("desk"), 1, seq, bytes(32)) for seq in range(len(registers))]
    readings = [
        PointReading(AT + timedelta(days=seq), METER, register, ref)
        for seq, (ref, (register, _)) in enumerate(zip(refs, registers, strict=True))
    ]
    content: Any = SimpleNamespace(points=(SimpleNamespace(readings=readings),))
    return told_by_people(content, {ref: one for ref, (_, one) in zip(refs, registers, strict=True)})


def test_nothing_is_told_where_meters_answered_themselves() -> None:
    assert told([(1000, sealed()), (2000, sealed(b"\x01\x03\x04"))]) == ""
    assert told([(1000, sealed(note("9.0"), meter=MeterId("m-2")))]) == "", "a neighbour's"


def test_each_is_told_with_its_time_digits_and_photo() -> None:
    photo = note("0012.5", HandSource.PHOTO, bytes.fromhex("ab" * 32))
    assert told([(1000, sealed(note("1.0"))), (12_500, sealed(photo)), (13_000, sealed())]) == (
        "; 2 of them read by people: m-1 2026-07-31T08:00:00+00:00 1.0 (typed), "
        "m-1 2026-08-01T08:00:00+00:00 0012.5 (photo abababababababab)"
    )


def test_many_are_counted() -> None:
    many = [(1000 * number, sealed(note(f"{number}.0"))) for number in range(TOLD_MAX + 3)]
    assert told(many).endswith(" and 3 more")


@pytest.mark.parametrize(("text", "register"), [("0", 0), ("12.5", 12_500), ("3", 3_000_000), ("1.5", 5_400), ("7", 7)])
def test_the_digits_are_the_register_in_whatever_unit(text: str, register: int) -> None:
    assert "1 of them" in told([(register, sealed(note(text)))])


@pytest.mark.parametrize(("text", "register"), [("12.5", 12_600), ("0", 5), ("5", 0), ("x", 1000), ("-1", 1000)])
def test_another_number_than_was_written_down_is_broken(text: str, register: int) -> None:
    with pytest.raises(Broken, match="written down"):
        told([(register, sealed(note(text)))])


def test_a_damaged_note_is_broken() -> None:
    with pytest.raises(Broken, match="cannot be told"):
        told([(1000, sealed(encode(["metertree-hand-reading/1"])))])
