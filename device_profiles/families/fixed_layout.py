"""Bodies in which each channel has its fixed place: sliced by precomputed places, and filled by them in simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from device_profiles.families.family import MantissaReader, Registers
from device_profiles.forms import Form, NotReadable
from device_profiles.profile import Channel, Profile
from metering.obis import Obis

ANSWERS_MAX = 1024
"""Prepared answers kept; a gateway asks the same few questions for ever, a fuzzer must not fill the memory."""


def fixed_reader(form: Form, start: int, body_octets: int) -> MantissaReader:
    """Read `form` at `start` of a body that is `body_octets` long."""
    end = start + form.octets
    to_mantissa = form.to_mantissa

    def read(body: bytes) -> int | None:
        if len(body) != body_octets:
            raise NotReadable(f"an answer of {len(body)} octets where {body_octets} belong")
        return to_mantissa(body[start:end])

    return read


@dataclass(frozen=True, slots=True)
class Cell:
    """One channel in an answer: where its octets go and how a true register becomes what the meter shows.

    mantissa = register x numerator // denominator, modulo modulus
    merged     its octets are or-ed in, since other channels have bits in the same place
    """

    obis: Obis
    start: int
    form: Form
    numerator: int
    denominator: int
    modulus: int | None
    merged: bool = False

    @classmethod
    def of(cls, channel: Channel, form: Form, start: int, *, merged: bool = False) -> Cell:
        """Place `channel` at `start`, which may lie before the body or reach beyond it."""
        scale = channel.scale
        return cls(channel.obis, start, form, scale.numerator, scale.denominator, channel.modulus, merged)

    def shown(self, register: int) -> bytes:
        """Give the octets that show `register` [base units]."""
        mantissa = register * self.numerator // self.denominator
        return self.form.to_octets(mantissa if self.modulus is None else mantissa % self.modulus)


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """The prepared answer to one request frame: its length, its cells, and how to frame the body.

    constants  octets that never change, each with its start
    """

    octets: int
    cells: tuple[Cell, ...]
    framed: Callable[[bytes], bytes]
    refusal: bytes
    constants: tuple[tuple[int, bytes], ...] = ()


class FixedLayoutEnd:
    """A stateless meter's end: `prepare` lays out the answer to a request once, registers are filled in each time.

    Registers that the profile does not name read as zero beside named ones and are refused on their own.
    """

    def __init__(
        self, profile: Profile, registers: Registers, prepare: Callable[[bytes], PreparedAnswer | None]
    ) -> None:
        self._present = profile.groups[0].channels[0].obis
        self._registers = registers
        self._prepare = prepare
        self._answers: dict[bytes, PreparedAnswer | None] = {}

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply to one request frame."""
        if received in self._answers:
            prepared = self._answers[received]
        else:
            prepared = self._prepare(received)
            if len(self._answers) < ANSWERS_MAX:
                self._answers[received] = prepared
        if prepared is None:
            return None
        if not prepared.cells and self._registers(self._present) is None:
            return None
        if not prepared.cells and not prepared.constants:
            return prepared.refusal
        body = bytearray(prepared.octets)
        for start, octets in prepared.constants:
            place(body, start, octets)
        for cell in prepared.cells:
            register = self._registers(cell.obis)
            if register is None:
                return None
            octets = cell.shown(register)
            place(body, cell.start, merged(body, cell.start, octets) if cell.merged else octets)
        return prepared.framed(bytes(body))


def distinct_channels(profile: Profile) -> Iterable[Channel]:
    """Give one channel for each source of the profile."""
    return {channel.source: channel for group in profile.groups for channel in group.channels}.values()


def place(body: bytearray, start: int, octets: bytes) -> None:
    """Write `octets` at `start`, leaving off what lies outside the body (a read may cut a register in half)."""
    left, right = max(start, 0), min(start + len(octets), len(body))
    body[left:right] = octets[left - start : right - start]


def merged(body: bytearray, start: int, octets: bytes) -> bytes:
    """Give `octets` with the bits that already stand at `start`."""
    there = bytes(body[max(start, 0) : max(start + len(octets), 0)])
    there = there.rjust(len(octets), b"\0") if start < 0 else there.ljust(len(octets), b"\0")
    return bytes(left | right for left, right in zip(there, octets, strict=True))
