"""Serial numbers as plates, registers and lists write them: one meter, many spellings."""

from __future__ import annotations

import re
import unicodedata

PART_LENGTH_MIN = 8
"""A plate carries more than the register (asset numbers of 22 digits around a DL/T 645 address of 12); fewer digits
than these would be contained in another meter's number by chance."""
_LETTERS_BEFORE = re.compile(r"[A-Z]+0*(?=\d)")


def plain_serial(serial: str) -> str:
    """Give letters and digits only, upper case, without leading zeros."""
    plain = unicodedata.normalize("NFKC", serial).upper()
    return "".join(mark for mark in plain if mark.isalnum()).lstrip("0")


def is_same_serial(one: str, other: str) -> bool:
    """Say whether two spellings are of one meter: equal, or the longer contains the shorter whole.

    A register of digits has no place for what stands before them on a plate ("No. 000123", "SN123").
    """
    short, long = sorted((plain_serial(one), plain_serial(other)), key=len)
    if not short or short == long:
        return bool(short)
    if len(short) >= PART_LENGTH_MIN and short in long:
        return True
    return short.isdecimal() and _LETTERS_BEFORE.sub("", long, count=1) == short
