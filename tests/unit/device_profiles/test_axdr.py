"""COSEM data in A-XDR: every type there and back, and nothing else than AxdrError for what is none."""

from __future__ import annotations

import pytest

from device_profiles.framing import axdr
from device_profiles.framing.axdr import NULL, AxdrError, AxdrReader, Data, DataTag, array, integer, structure

ONE_OF_EACH = [
    (NULL, "00"),
    (integer(DataTag.BOOLEAN, 1), "03 01"),
    (Data(DataTag.BIT_STRING, number=9, octets=b"\xff\x80"), "04 09 ff 80"),
    (integer(DataTag.DOUBLE_LONG, -2), "05 ff ff ff fe"),
    (integer(DataTag.DOUBLE_LONG_UNSIGNED, 5009), "06 00 00 13 91"),
    (axdr.octet_string(b"\x01\x02"), "09 02 01 02"),
    (Data(DataTag.VISIBLE_STRING, octets=b"ABC"), "0a 03 41 42 43"),
    (Data(DataTag.UTF8_STRING, octets="表".encode()), "0c 03 e8 a1 a8"),
    (Data(DataTag.BCD, octets=b"\x42"), "0d 42"),
    (integer(DataTag.INTEGER, -3), "0f fd"),
    (integer(DataTag.LONG, 30), "10 00 1e"),
    (integer(DataTag.UNSIGNED, 255), "11 ff"),
    (integer(DataTag.LONG_UNSIGNED, 900), "12 03 84"),
    (integer(DataTag.LONG64, -1), "14 ff ff ff ff ff ff ff ff"),
    (integer(DataTag.LONG64_UNSIGNED, 2**63), "15 80 00 00 00 00 00 00 00"),
    (integer(DataTag.ENUM, 30), "16 1e"),
    (Data(DataTag.FLOAT32, octets=b"\x3f\x80\x00\x00"), "17 3f 80 00 00"),
    (Data(DataTag.FLOAT64, octets=b"\x3f\xf0" + bytes(6)), "18 3f f0 00 00 00 00 00 00"),
    (Data(DataTag.DATE_TIME, octets=bytes(12)), "19" + " 00" * 12),
    (Data(DataTag.DATE, octets=bytes(5)), "1a" + " 00" * 5),
    (Data(DataTag.TIME, octets=bytes(4)), "1b" + " 00" * 4),
    (structure(integer(DataTag.INTEGER, 0), integer(DataTag.ENUM, 9)), "02 02 0f 00 16 09"),
    (array(NULL, array()), "01 02 00 01 00"),
]


@pytest.mark.parametrize(("element", "wire"), ONE_OF_EACH)
def test_each_type_goes_there_and_back(element: Data, wire: str) -> None:
    assert element.to_wire() == bytes.fromhex(wire)
    assert axdr.data_from_wire(bytes.fromhex(wire)) == element


@pytest.mark.parametrize(("element", "wire"), ONE_OF_EACH)
def test_an_element_that_is_cut_or_too_long_is_refused(element: Data, wire: str) -> None:
    octets = bytes.fromhex(wire)
    for end in range(len(octets)):
        with pytest.raises(AxdrError):
            axdr.data_from_wire(octets[:end])
    with pytest.raises(AxdrError, match="1 octets too many"):
        axdr.data_from_wire(octets + b"\x00")


@pytest.mark.parametrize("count", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths_of_each_form(count: int) -> None:
    element = axdr.octet_string(bytes(count))
    assert axdr.data_from_wire(element.to_wire()) == element
    assert AxdrReader(axdr.length_to_wire(count)).length() == count


def test_a_length_of_another_form_is_refused() -> None:
    for first in (0x80, 0x85, 0xFF):
        with pytest.raises(AxdrError, match="begins no length"):
            AxdrReader(bytes((first, 1, 1, 1, 1, 1))).length()


@pytest.mark.parametrize("tag", [7, 8, 11, 14, 28, 0xFF])
def test_a_type_nobody_knows_is_refused(tag: int) -> None:
    with pytest.raises(AxdrError, match=f"type {tag} is not known"):
        axdr.data_from_wire(bytes((tag, 0, 0)))


@pytest.mark.parametrize(
    ("tag", "number"),
    [
        (DataTag.UNSIGNED, 256),
        (DataTag.UNSIGNED, -1),
        (DataTag.INTEGER, 128),
        (DataTag.DOUBLE_LONG_UNSIGNED, 2**32),
        (DataTag.LONG64, 2**63),
    ],
)
def test_a_number_that_does_not_fit_is_refused(tag: DataTag, number: int) -> None:
    with pytest.raises(AxdrError, match="does not fit"):
        integer(tag, number)


def test_more_elements_than_octets_are_refused_before_they_are_made() -> None:
    with pytest.raises(AxdrError, match="65535 elements are announced in 1 octets"):
        axdr.data_from_wire(bytes.fromhex("01 82 ff ff 00"))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(AxdrError, match="nested"):
        axdr.data_from_wire(b"\x01\x01" * 40 + b"\x00")


def test_a_compact_array_is_the_array_it_stands_for() -> None:
    wire = bytes.fromhex("13 02 02 12 06 0c 00 01 00 00 00 02 00 03 00 00 00 04")
    row = [(1, 2), (3, 4)]
    assert axdr.data_from_wire(wire) == array(
        *(structure(integer(DataTag.LONG_UNSIGNED, a), integer(DataTag.DOUBLE_LONG_UNSIGNED, b)) for a, b in row)
    )


def test_a_compact_array_of_arrays_and_strings() -> None:
    wire = bytes.fromhex("13 01 00 02 11 04 01 02 03 04")
    pair = lambda a, b: array(integer(DataTag.UNSIGNED, a), integer(DataTag.UNSIGNED, b))  # noqa: E731
    assert axdr.data_from_wire(wire) == array(pair(1, 2), pair(3, 4))
    assert axdr.data_from_wire(bytes.fromhex("13 09 05 01 41 02 42 43")) == array(
        axdr.octet_string(b"A"), axdr.octet_string(b"BC")
    )


@pytest.mark.parametrize(
    "wire",
    [
        "13 00 03 00 00 00",  # elements without octets
        "13 01 ff ff 00 01 00",  # 65,535 of them in one octet
        "13 13 11 01 00",  # a compact array within one
        "13 01 ff ff 01 ff ff 01 ff ff 11 01 00",  # 2^48 elements
        "13 02 02 12 06 05 00 01 00 00 00",  # half an element
    ],
)
def test_a_compact_array_cannot_fill_the_memory(wire: str) -> None:
    with pytest.raises(AxdrError):
        axdr.data_from_wire(bytes.fromhex(wire))
