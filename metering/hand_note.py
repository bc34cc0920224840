"""What stands beside a register that a person read: who says so, by what, and what a machine made of the photo.

It travels as the one frame of the reading, where the frames of a meter's answer would be: inside the signed envelope,
shown to whom the reading is shown. Who read is named by a salted hash, so that a name can be taken out later and nobody
who gets the reading learns it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from metering.envelope import (
    EnvelopeMalformed,
    decode_canonical,
    encode,
    expect_bytes,
    expect_int,
    expect_list,
    expect_text,
)
from metering.reading import MeterReading

_FORMAT = "metertree-hand-reading/1"
_OCTETS_MAX = 1024
TEXT_LENGTH_MAX = 32
SALT_OCTETS = 16
SURE_PM = 1000
DESK = "read-by-people-"
"""How the chains begin in which the centre seals what people read at a site."""


class HandSource(StrEnum):
    """By what a register is known that no bus told."""

    TYPED = "typed"
    """A person wrote down what the display showed."""
    PHOTO = "photo"
    """A photo of the display is kept; a machine read it, or a person did."""


@dataclass(frozen=True, slots=True)
class HandNote:
    """How one register was read.

    text           what the display showed, as written down
    photo          SHA-256 of the photo; None without one
    seen           digits that a machine read off the photo; None where it read none, or was not asked
    confidence_pm  of its least sure digit, out of 1000
    reader         salted hash of who read, see `reader_hash`
    """

    source: HandSource
    text: str
    photo: bytes | None
    seen: str | None
    confidence_pm: int | None
    reader: bytes

    def to_frame(self) -> bytes:
        """Give the frame."""
        return encode(
            [_FORMAT, str(self.source), self.text, self.photo, self.seen, self.confidence_pm, self.reader],
        )


def reader_hash(name: str, salt: bytes) -> bytes:
    """Name a person so that only who has the salt can tell whether it was he."""
    return hashlib.sha256(salt + name.encode()).digest()


def note_of(reading: MeterReading) -> HandNote | None:
    """Give the note of a reading; None for one that a meter answered. Raises EnvelopeMalformed for a damaged note."""
    if len(reading.frames) != 1 or not reading.frames[0].startswith(encode(_FORMAT), 1):
        return None
    fields = expect_list(decode_canonical(reading.frames[0], _OCTETS_MAX), 7, "note")
    try:
        source = HandSource(expect_text(fields[1], "source"))
    except ValueError as error:
        raise EnvelopeMalformed(f"note: {error}") from error
    photo, seen, confidence_pm = fields[3:6]
    return HandNote(
        source=source,
        text=_short(fields[2], "text"),
        photo=None if photo is None else expect_bytes(photo, 32, "photo"),
        seen=None if seen is None else _short(seen, "what was seen"),
        confidence_pm=None if confidence_pm is None else expect_int(confidence_pm, "confidence", 0, SURE_PM),
        reader=expect_bytes(fields[6], 32, "reader"),
    )


def _short(content: object, what: str) -> str:
    text = expect_text(content, what)
    if not 1 <= len(text) <= TEXT_LENGTH_MAX:
        raise EnvelopeMalformed(f"{what}: 1 to {TEXT_LENGTH_MAX} characters")
    return text
