"""Which registers of a statement people read, as its sealed envelopes say beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from allocation_engine.evidence import EnvelopeRef, PointReading
from allocation_engine.proof import Broken
from allocation_engine.statement_content import StatementContent
from metering.envelope import EnvelopeMalformed, Sealed
from metering.hand_note import HandNote, note_of

TOLD_MAX = 20
"""Readings that are told one by one: two a month is what people read of a meter."""


def told_by_people(content: StatementContent, opened: Mapping[EnvelopeRef, Sealed]) -> str:
    """Say which of the stated registers people read, "" for none; raises Broken where a note says another number."""
    notes = list(_notes(content, opened))
    if not notes:
        return ""
    told = [
        f"{stated.meter} {stated.mark.isoformat()} {note.text} ({note.source}{_photo(note)})"
        for stated, note in notes[:TOLD_MAX]
    ]
    more = "" if len(notes) <= TOLD_MAX else f" and {len(notes) - TOLD_MAX} more"
    return f"; {len(notes)} of them read by people: {', '.join(told)}{more}"


def _notes(content: StatementContent, opened: Mapping[EnvelopeRef, Sealed]) -> Iterator[tuple[PointReading, HandNote]]:
    for point in content.points:
        for stated in point.readings:
            if stated.envelope is None:
                continue
            for reading in opened[stated.envelope].envelope.readings:
                if reading.meter != stated.meter:
                    continue
                link = f"reading {stated.meter} {stated.mark.isoformat()}"
                try:
                    note = note_of(reading)
                except EnvelopeMalformed as error:
                    raise Broken(link, f"who read it cannot be told: {error}") from error
                if note is not None:
                    _require_same(link, stated, note)
                    yield stated, note


def _require_same(link: str, stated: PointReading, note: HandNote) -> None:
    """What was written down and the register must be one number but for the unit: a power of ten, or 3600 kJ a kWh."""
    try:
        written = Fraction(note.text)
    except ValueError as error:
        raise Broken(link, f"what was written down is no number: {note.text!r}") from error
    if (written == 0) != (stated.register_wh == 0):
        raise Broken(link, f"{note.text} was written down, the register is {stated.register_wh}")
    if written and Fraction(stated.register_wh) / written not in _FACTORS:
        raise Broken(link, f"{note.text} was written down, the register is {stated.register_wh}")


_FACTORS = {Fraction(10) ** power * unit for power in range(10) for unit in (1, 3600)}


def _photo(note: HandNote) -> str:
    return "" if note.photo is None else f" {note.photo.hex()[:16]}"
