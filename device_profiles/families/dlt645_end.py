"""The meter's end of DL/T 645: answers reads, splits long answers into parts, says its address, freezes.

It keeps what a meter keeps between requests: the parts of the last long answer, and what it froze.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from device_profiles.families.family import Registers
from device_profiles.families.fixed_layout import ANSWERS_MAX, Cell, place
from device_profiles.framing.dlt645 import (
    BROADCAST,
    NO_SUCH_ITEM,
    Dlt645Freeze,
    Dlt645Read,
    Dlt645ReadAddress,
    Dlt645Request,
    FollowUp,
)
from device_profiles.framing.dlt645_codec import Dlt645Codec
from device_profiles.framing.dlt645_frame import FIELD_OCTETS_MAX, is_asked
from device_profiles.framing.errors import FrameError
from metering.obis import Obis


@dataclass(frozen=True, slots=True)
class Dlt645Cell:
    """One channel in the answer to one identifier.

    answer_octets  length of that answer
    before         octets of the body that another identifier's answer holds, before this one's
    is_frozen      whether it shows what the last freeze kept
    """

    cell: Cell
    answer_octets: int
    before: int
    is_frozen: bool


class Dlt645End:
    """One meter; `cells` are its channels by data identifier, `present` the register that says whether it is there."""

    def __init__(
        self,
        codec: Dlt645Codec,
        address: str,
        present: Obis,
        registers: Registers,
        cells: Mapping[bytes, Sequence[Dlt645Cell]],
        *,
        part_octets: int | None = None,
    ) -> None:
        self._codec = codec
        self._address = address
        self._present = present
        self._registers = registers
        self._cells = cells
        self._part_octets = part_octets or FIELD_OCTETS_MAX - codec.dialect.di_octets - 1
        self._requests: dict[bytes, tuple[str, Dlt645Request | FollowUp] | None] = {}
        self._frozen: dict[Obis, int] = {}
        self._parts: tuple[bytes, list[bytes]] = (b"", [])
        self._parts_sent = 0

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply to one request frame."""
        asked = self._parsed(received)
        if asked is None:
            return None
        address, request = asked
        if isinstance(request, Dlt645Freeze) and address in (BROADCAST, self._address):
            self._freeze()
            return self._codec.build_done(self._address, request) if address != BROADCAST else None
        if not is_asked(address, self._address):
            return None
        if isinstance(request, Dlt645Read):
            return self._read(request)
        if self._registers(self._present) is None:
            return None
        if isinstance(request, Dlt645ReadAddress):
            return self._codec.build_address_reply(self._address)
        return self._follow_up(request) if isinstance(request, FollowUp) else None

    def _parsed(self, received: bytes) -> tuple[str, Dlt645Request | FollowUp] | None:
        if received in self._requests:
            return self._requests[received]
        try:
            asked: tuple[str, Dlt645Request | FollowUp] | None = self._codec.parse_request(received)
        except FrameError:
            asked = None
        if len(self._requests) < ANSWERS_MAX:
            self._requests[received] = asked
        return asked

    def _freeze(self) -> None:
        frozen = {cell.cell.obis for cells in self._cells.values() for cell in cells if cell.is_frozen}
        registers = {obis: self._registers(obis) for obis in frozen}
        if None not in registers.values():
            self._frozen = {obis: register for obis, register in registers.items() if register is not None}

    def _read(self, read: Dlt645Read) -> bytes | None:
        cells = self._cells.get(read.di, ())
        if not cells or any(cell.is_frozen and cell.cell.obis not in self._frozen for cell in cells):
            if self._registers(self._present) is None:
                return None
            return self._codec.build_exception(self._address, read, NO_SUCH_ITEM)
        body = self._body(cells)
        if body is None:
            return None
        if len(body) <= self._part_octets:
            return self._codec.build_reply(self._address, read, body)
        parts = [body[at : at + self._part_octets] for at in range(0, len(body), self._part_octets)]
        self._parts, self._parts_sent = (read.di, parts), 1
        return self._codec.build_reply(self._address, read, parts[0], goes_on=True)

    def _body(self, cells: Iterable[Dlt645Cell]) -> bytes | None:
        """Fill the answer that `cells` share; None while the meter is off the bus."""
        body = bytearray(next(iter(cells)).answer_octets)
        for each in cells:
            obis = each.cell.obis
            register = self._frozen[obis] if each.is_frozen else self._registers(obis)
            if register is None:
                return None
            place(body, each.cell.start - each.before, each.cell.shown(register))
        return bytes(body)

    def _follow_up(self, asked: FollowUp) -> bytes:
        """Go on with the last long answer: by number, or by what was sent so far."""
        identifier, parts = self._parts
        number = self._parts_sent if asked.number is None else asked.number
        if identifier != asked.di or not 0 < number < len(parts):
            return self._codec.build_exception(self._address, asked, NO_SUCH_ITEM)
        self._parts_sent = number + 1
        goes_on = number + 1 < len(parts)
        return self._codec.build_follow_up_reply(self._address, asked, parts[number], goes_on=goes_on)
