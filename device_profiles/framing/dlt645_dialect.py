"""What DL/T 645-2007 and -1997 say differently: controls, length of identifiers, error words. Data, no behaviour.

Sources: DL/T 645-2007, 7 and annex A; DL/T 645-1997, 6. Function numbers stand in the five low bits of the control
octet; with the direction bit they are 91 and 81 for a whole answer to a read, B1 and A1 when more follows, D1 and C1
for a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bit:
    """One bit of a word with its meaning in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """One edition of the standard.

    name           as in the profile's link
    di_octets      octets of a data identifier
    read, follow   functions that read, and that ask for what follows
    is_numbered    whether follow-up frames carry a number, so that a lost or repeated one shows
    read_address   function that reads the address, None where an identifier does
    address_di     identifier that holds the address, for meters without that function
    freeze         function that freezes registers, None where the edition has only a vendor's
    error_bits     meaning of the bits of an error word, bit 0 first
    """

    name: str
    di_octets: int
    read: int
    follow: int
    is_numbered: bool
    read_address: int | None
    address_di: bytes
    freeze: int | None
    error_bits: tuple[Bit, ...]

    def meaning(self, word: int) -> str:
        """Name the bits that an error word sets; a bit the edition does not define is named by its number."""
        named = dict(enumerate(self.error_bits))
        bits = [named.get(bit, Bit(f"第{bit}位", f"bit {bit}")) for bit in range(8) if word >> bit & 1]
        if not bits:
            return "no reason given (未说明原因)"
        return f"{', '.join(bit.en for bit in bits)} ({'、'.join(bit.zh for bit in bits)})"


SET_TIME = 0x08

EDITION_2007 = Dialect(
    name="DL/T 645-2007",
    di_octets=4,
    read=0x11,
    follow=0x12,
    is_numbered=True,
    read_address=0x13,
    address_di=bytes.fromhex("04000401"),
    freeze=0x16,
    error_bits=(
        Bit("其他错误", "other error"),
        Bit("无请求数据", "no such item"),
        Bit("密码错或未授权", "not authorised"),
        Bit("通信速率不能更改", "baud rate cannot change"),
        Bit("年时区数超", "too many year zones"),
        Bit("日时段数超", "too many day periods"),
        Bit("费率数超", "too many rates"),
    ),
)

EDITION_1997 = Dialect(
    name="DL/T 645-1997",
    di_octets=2,
    read=0x01,
    follow=0x02,
    is_numbered=False,
    read_address=None,
    address_di=bytes.fromhex("C032"),
    freeze=None,
    # Sources disagree on the bits beyond these three, so others are shown by number.
    error_bits=(
        Bit("非法数据", "illegal item"),
        Bit("数据标识错", "wrong identifier"),
        Bit("密码错", "wrong password"),
    ),
)
