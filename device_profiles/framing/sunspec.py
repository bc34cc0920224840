"""SunSpec over Modbus: find a model by walking the chain of models, then read some of its registers. Sans I/O.

Theory of operation (SunSpec Device Information Model Specification 1.1, 6). The map begins with "SunS" at one of a few
base addresses. Models follow one another, each headed by its id and the number of registers after these two; id FFFF
ends the chain. Where a model stands depends on the device and its firmware, so each conversation walks the chain again:
nothing is remembered that an update of the device could make wrong. The first read takes the mark and the first header
together, and a model that comes second costs three exchanges.
"""

from __future__ import annotations

import struct
import typing
from collections.abc import Callable
from dataclasses import dataclass

from device_profiles.framing.conversation import Conversation
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ModbusRead
from device_profiles.profile import ReadRequest

MARK = b"SunS"
END_MODEL = 0xFFFF
HEADER_REGISTERS = 2
MODELS_MAX = 32
"""Models of a chain that are looked at; devices have a handful, and a broken chain must not be walked for ever."""
BASES = (40_000, 50_000, 0)
"""Where the mark may stand, in the order in which devices are found to use them."""

_HEADER = struct.Struct(">HH")


class ModelMissing(FrameError):
    """The device has no SunSpec map, or not this model, or one that is too short."""


@dataclass(frozen=True, slots=True)
class SunSpecRead(ReadRequest):
    """Read `count` registers of a model, from `address` counted from its id, which is 0."""

    function: int
    model: int
    address: int
    count: int
    bases: tuple[int, ...] = BASES

    @property
    def end(self) -> int:
        """Address of the register after the last."""
        return self.address + self.count


Ask = Callable[[ModbusRead], Conversation]
"""One Modbus read as a conversation, by whatever framing the line has."""


def converse(ask: Ask, read: SunSpecRead) -> Conversation:
    """Walk the chain to the model and read its registers; returns their octets. Raises ModelMissing."""
    at, model, length = yield from _first_model(ask, read)
    for _ in range(MODELS_MAX):
        if model == END_MODEL:
            break
        if model == read.model:
            if read.end > HEADER_REGISTERS + length:
                raise ModelMissing(f"model {model} has {length} registers, too few for {read.end - HEADER_REGISTERS}")
            return (yield from ask(ModbusRead(read.function, at + read.address, read.count)))
        at += HEADER_REGISTERS + length
        if at + HEADER_REGISTERS > 0x10000:
            break
        model, length = _HEADER.unpack((yield from ask(ModbusRead(read.function, at, HEADER_REGISTERS))))
    raise ModelMissing(f"the chain of models ends without model {read.model}")


def _first_model(ask: Ask, read: SunSpecRead) -> typing.Generator[typing.Any, bytes, tuple[int, int, int]]:
    """Find the mark; give address, id and length of the model behind it."""
    refusal: ExceptionReply | None = None
    for base in read.bases:
        try:
            octets = yield from ask(ModbusRead(read.function, base, 2 + HEADER_REGISTERS))
        except ExceptionReply as error:
            if error.code not in (ILLEGAL_FUNCTION, ILLEGAL_ADDRESS):
                raise  # a busy device has not said that the map is not there
            refusal = error
            continue
        if octets.startswith(MARK):
            return (base + 2, *_HEADER.unpack(octets[len(MARK) :]))
    raise ModelMissing(f"no SunSpec mark at any of {', '.join(map(str, read.bases))}") from refusal
