"""COSEM data as A-XDR writes them: a tag, then the content, nested; to values and back, exactly. Sans I/O.

Integers stay integers and floats stay octets (a form rounds them once, elsewhere). Whatever octets come, the outcome
is a `Data` or AxdrError: lengths are held against what is there, nesting and the number of elements are bounded, since
a compact array may describe far more elements than it has octets. Source: IEC 62056-5-3, 8; IEC 61334-6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from device_profiles.framing.errors import FrameError

DEPTH_MAX = 16
ELEMENTS_MAX = 65_536
"""Elements of one answer: a quarter-hour profile of 30 channels over three weeks has fewer."""


class AxdrError(FrameError):
    """Octets are no COSEM data."""


class DataTag(IntEnum):
    """Types of COSEM data (IEC 62056-6-2, 4.1.5)."""

    NULL = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27


INTEGER_OCTETS = {
    DataTag.DOUBLE_LONG: 4,
    DataTag.DOUBLE_LONG_UNSIGNED: 4,
    DataTag.INTEGER: 1,
    DataTag.LONG: 2,
    DataTag.UNSIGNED: 1,
    DataTag.LONG_UNSIGNED: 2,
    DataTag.LONG64: 8,
    DataTag.LONG64_UNSIGNED: 8,
    DataTag.ENUM: 1,
    DataTag.BOOLEAN: 1,
}
SIGNED = frozenset({DataTag.DOUBLE_LONG, DataTag.INTEGER, DataTag.LONG, DataTag.LONG64})
_FIXED_OCTETS = {
    DataTag.BCD: 1,
    DataTag.FLOAT32: 4,
    DataTag.FLOAT64: 8,
    DataTag.DATE_TIME: 12,
    DataTag.DATE: 5,
    DataTag.TIME: 4,
}
_STRINGS = frozenset({DataTag.OCTET_STRING, DataTag.VISIBLE_STRING, DataTag.UTF8_STRING})
_TAGS = {tag.value: tag for tag in DataTag}


@dataclass(frozen=True, slots=True)
class Data:
    """One element: exactly one of `number`, `octets` and `elements` says what it holds, by its tag.

    number    integers, enum, boolean; length in bits of a bit string
    octets    strings, floats, dates, BCD; the bits of a bit string, first bit highest
    elements  of an array or structure; a compact array is given as the array it stands for
    """

    tag: DataTag
    number: int = 0
    octets: bytes = b""
    elements: tuple[Data, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Say whether `number` is what the element holds."""
        return self.tag in INTEGER_OCTETS

    def to_wire(self) -> bytes:
        """Give tag and content."""
        return bytes((self.tag,)) + self._content()

    def _content(self) -> bytes:
        if self.tag in INTEGER_OCTETS:
            return self.number.to_bytes(INTEGER_OCTETS[self.tag], signed=self.tag in SIGNED)
        if self.tag in (DataTag.ARRAY, DataTag.STRUCTURE):
            return length_to_wire(len(self.elements)) + b"".join(each.to_wire() for each in self.elements)
        if self.tag is DataTag.BIT_STRING:
            return length_to_wire(self.number) + self.octets
        return self.octets if self.tag not in _STRINGS else length_to_wire(len(self.octets)) + self.octets


NULL = Data(DataTag.NULL)


def integer(tag: DataTag, number: int) -> Data:
    """Give an integer element; raises AxdrError when the type cannot hold it."""
    bits = 8 * INTEGER_OCTETS[tag]
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if tag in SIGNED else (0, (1 << bits) - 1)
    if not least <= number <= most:
        raise AxdrError(f"{number} does not fit {tag.name}")
    return Data(tag, number=number)


def octet_string(octets: bytes) -> Data:
    """Give an octet string."""
    return Data(DataTag.OCTET_STRING, octets=octets)


def structure(*elements: Data) -> Data:
    """Give a structure."""
    return Data(DataTag.STRUCTURE, elements=elements)


def array(*elements: Data) -> Data:
    """Give an array."""
    return Data(DataTag.ARRAY, elements=elements)


def length_to_wire(length: int) -> bytes:
    """Write a length as A-XDR and BER do."""
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((0x80 | len(octets),)) + octets


class AxdrReader:
    """Octets read from the front; every step raises AxdrError rather than reading beyond the end."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0
        self._elements = 0

    @property
    def rest(self) -> bytes:
        """What has not been read."""
        return self._octets[self._at :]

    def require_end(self) -> None:
        """Refuse octets behind the last element."""
        if self._at != len(self._octets):
            raise AxdrError(f"{len(self._octets) - self._at} octets too many: {self.rest[:8].hex()}")

    def take(self, count: int) -> bytes:
        """Read `count` octets."""
        end = self._at + count
        if end > len(self._octets):
            raise AxdrError(f"{count} octets are announced, {len(self._octets) - self._at} are there")
        taken = self._octets[self._at : end]
        self._at = end
        return taken

    def octet(self) -> int:
        """Read one octet."""
        return self.take(1)[0]

    def unsigned(self, octets: int) -> int:
        """Read an unsigned integer."""
        return int.from_bytes(self.take(octets))

    def length(self) -> int:
        """Read a length; no form longer than 4 octets is taken."""
        first = self.octet()
        if first < 0x80:
            return first
        if not 0x81 <= first <= 0x84:
            raise AxdrError(f"{first:#04x} begins no length")
        return self.unsigned(first & 0x7F)

    def string(self) -> bytes:
        """Read a length and as many octets."""
        return self.take(self.length())

    def data(self, depth: int = 0) -> Data:
        """Read one element with its tag."""
        tag = self._tag()
        if tag is DataTag.COMPACT_ARRAY:
            return self._compact_array(depth)
        return self._content(tag, depth)

    def _tag(self) -> DataTag:
        octet = self.octet()
        if octet not in _TAGS:
            raise AxdrError(f"type {octet} is not known")
        return _TAGS[octet]

    def _content(self, tag: DataTag, depth: int) -> Data:
        self._count(depth)
        if tag in INTEGER_OCTETS:
            octets = self.take(INTEGER_OCTETS[tag])
            return Data(tag, number=int.from_bytes(octets, signed=tag in SIGNED))
        if tag in (DataTag.ARRAY, DataTag.STRUCTURE):
            count = self.length()
            if count > len(self._octets) - self._at:
                raise AxdrError(f"{count} elements are announced in {len(self._octets) - self._at} octets")
            return Data(tag, elements=tuple(self.data(depth + 1) for _ in range(count)))
        if tag is DataTag.BIT_STRING:
            bits = self.length()
            return Data(tag, number=bits, octets=self.take((bits + 7) // 8))
        return Data(tag, octets=self.string() if tag in _STRINGS else self.take(_FIXED_OCTETS.get(tag, 0)))

    def _count(self, depth: int) -> None:
        self._elements += 1
        if self._elements > ELEMENTS_MAX or depth > DEPTH_MAX:
            raise AxdrError(f"more than {ELEMENTS_MAX} elements, or nested more than {DEPTH_MAX} deep")

    def _compact_array(self, depth: int) -> Data:
        """Read a description of one element, then the elements without tags, as an array."""
        description = self._description(depth)
        inner = AxdrReader(self.string())
        inner._elements = self._elements
        elements: list[Data] = []
        while inner.rest:
            before = inner._at
            elements.append(inner._described(description, depth + 1))
            if inner._at == before:
                raise AxdrError("a compact array of elements without octets")
        self._elements = inner._elements
        return Data(DataTag.ARRAY, elements=tuple(elements))

    def _description(self, depth: int) -> _Description:
        self._count(depth)
        tag = self._tag()
        if tag is DataTag.ARRAY:
            count = self.unsigned(2)
            return _Description(tag, (self._description(depth + 1),), count)
        if tag is DataTag.STRUCTURE:
            return _Description(tag, tuple(self._description(depth + 1) for _ in range(self.length())), 1)
        if tag is DataTag.COMPACT_ARRAY:
            raise AxdrError("a compact array within a compact array")
        return _Description(tag, (), 1)

    def _described(self, description: _Description, depth: int) -> Data:
        if not description.parts:
            return self._content(description.tag, depth)
        self._count(depth)
        elements: Iterator[Data] = (
            self._described(part, depth + 1) for _ in range(description.count) for part in description.parts
        )
        return Data(description.tag, elements=tuple(elements))


@dataclass(frozen=True, slots=True)
class _Description:
    """Type of an element in a compact array; an array has one part, `count` times."""

    tag: DataTag
    parts: tuple[_Description, ...]
    count: int


def data_from_wire(octets: bytes) -> Data:
    """Read exactly one element; raises AxdrError."""
    reader = AxdrReader(octets)
    element = reader.data()
    reader.require_end()
    return element
