"""OBIS codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis, ObisInvalid

groups = st.integers(0, 255)


@given(groups, groups, groups, groups, groups, groups)
def test_a_code_survives_text_and_wire(a: int, b: int, c: int, d: int, e: int, f: int) -> None:
    obis = Obis(a, b, c, d, e, f)
    assert Obis.parse(str(obis)) == obis
    assert Obis.from_wire(obis.to_wire()) == obis


def test_the_present_value_is_written_without_group_f() -> None:
    assert str(ENERGY_IMPORT) == "1-0:1.8.0"
    assert str(Obis(1, 0, 1, 8, 0, 1)) == "1-0:1.8.0*1"
    assert Obis.parse("1-0:2.8.0") == ENERGY_EXPORT


@pytest.mark.parametrize("text", ["", "1.8.0", "1-0:1.8", "1-0:1.8.256", "1-0:1.8.0*", "a-0:1.8.0", "1-0:1.8.0 "])
def test_text_that_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(ObisInvalid):
        Obis.parse(text)


def test_octets_of_wrong_length_are_refused() -> None:
    with pytest.raises(ObisInvalid, match="6 octets"):
        Obis.from_wire(b"\x01\x00\x01\x08\x00")
