"""One octet of packed BCD: two decimal digits, the high one in the high half."""

from __future__ import annotations


def to_bcd(number: int) -> int:
    """Give the octet that shows `number` (0 to 99)."""
    if not 0 <= number <= 99:
        raise ValueError(f"{number} is not of two digits")
    return number // 10 << 4 | number % 10


def from_bcd(octet: int) -> int | None:
    """Give the number an octet shows, None when it is not of two decimal digits."""
    high, low = octet >> 4, octet & 0x0F
    return 10 * high + low if high < 10 and low < 10 else None
