"""Data lines of IEC 62056-21: what a meter reads out as text, taken apart exactly (IEC 62056-21, 6.5). Pure.

    1.8.0(0001234.56*kWh)                       a name, a number, its unit
    6.8(0255.987*GJ)6.26(02458.16*m3)           several on one line
    ET0PE(68.42)CRLF(45.54)CRLF(22.88)          several numbers under one name
    9.4(098.5*C&096.1*C)                        several in one pair of parentheses, by & or a comma
    1.8.0(00123,4*kWh)                          a comma between whole numbers may be a decimal one: kept as one text
    (01)                                        no name: the meter refuses

Text that is none of these is left aside: a meter may print what it likes between its numbers. Nothing is left aside
inside parentheses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SET = re.compile(r"([^()\r\n!/]*)\(([^()]*)\)")
_SEPARATOR = re.compile(r"[&,]")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*(?:\*[^&,]*)?\Z", re.ASCII)
"""Two numbers or one: 00123,4 read as a list would give 123, so it is no list and, later, no number either."""
TEXT_OCTETS_MAX = 65_536
"""Longer than any read-out of registers; load profiles are not read this way."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One number or text as printed, with its unit as printed ("" for none)."""

    text: str
    unit: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """What stands under one name; the name is "" for a refusal."""

    name: str
    entries: tuple[Entry, ...]


def data_sets(octets: bytes) -> tuple[DataSet, ...]:
    """Take the octets of a data block apart."""
    found: list[tuple[str, list[Entry]]] = []
    for match in _SET.finditer(octets.decode("latin-1")):
        name, content = match.group(1).strip(), match.group(2)
        parts = [content] if _DECIMAL_COMMA.match(content) else _SEPARATOR.split(content)
        entries = [_entry(part) for part in parts]
        if not name and found:
            found[-1][1].extend(entries)
        else:
            found.append((name, entries))
    return tuple(DataSet(name, tuple(entries)) for name, entries in found)


def _entry(text: str) -> Entry:
    number, _, unit = text.partition("*")
    return Entry(number.strip(), unit.strip())
