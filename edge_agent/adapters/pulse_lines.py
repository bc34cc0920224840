"""Where edges of pulse inputs come from: the GPIO character device of Linux, or a file that another program writes.

GPIO is spoken to by the ioctl of its second version (Linux, include/uapi/linux/gpio.h, since 5.10): the kernel stamps
each edge by the monotonic clock and numbers it, so edges that were lost for want of reading show as a gap.

A file or FIFO carries lines of text, `<input> <0|1>` with `<monotonic ns>` as an optional third word: how a counter
board on a serial line, or a test, brings its edges in.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import stat
import struct
import time
from collections.abc import Sequence
from typing import Protocol

from edge_agent.ports import PortLost
from edge_agent.pulse_counter import Edge
from provisioning.site import PulsePort

_LINES_MAX = 64
_NAME_OCTETS = 32
_ATTRIBUTES_MAX = 10
_CONSUMER = b"metertree"
_FLAG_ACTIVE_LOW = 1 << 1
_FLAG_INPUT = 1 << 2
_FLAG_EDGE_RISING = 1 << 4
_FLAG_EDGE_FALLING = 1 << 5
_FLAG_BIAS = {"pull-up": 1 << 8, "pull-down": 1 << 9, "disabled": 1 << 10, "as-is": 0}
_ATTRIBUTE_DEBOUNCE = 3
_RISING = 1
_EVENT = struct.Struct("=QIIII24x")
"""gpio_v2_line_event: time [ns], rising 1 or falling 2, line, number among all lines, number of this line."""
_EVENTS_READ = 64
_EVENTS_BUFFERED = 1024
_READ_OCTETS = 4096
_LINE_OCTETS_MAX = 64
_FILE_STEP_S = 0.1


class _Attribute(ctypes.Structure):
    _fields_ = (("id", ctypes.c_uint32), ("padding", ctypes.c_uint32), ("content", ctypes.c_uint64))


class _ConfigAttribute(ctypes.Structure):
    _fields_ = (("attribute", _Attribute), ("mask", ctypes.c_uint64))


class _Config(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("attributes_count", ctypes.c_uint32),
        ("padding", ctypes.c_uint32 * 5),
        ("attributes", _ConfigAttribute * _ATTRIBUTES_MAX),
    )


class LineRequest(ctypes.Structure):
    """gpio_v2_line_request, 592 octets."""

    _fields_ = (
        ("offsets", ctypes.c_uint32 * _LINES_MAX),
        ("consumer", ctypes.c_char * _NAME_OCTETS),
        ("config", _Config),
        ("lines_count", ctypes.c_uint32),
        ("events_buffered", ctypes.c_uint32),
        ("padding", ctypes.c_uint32 * 5),
        ("descriptor", ctypes.c_int32),
    )


class _Levels(ctypes.Structure):
    _fields_ = (("bits", ctypes.c_uint64), ("mask", ctypes.c_uint64))


def _both_ways(number: int, octets: int) -> int:
    """Give the code of an ioctl that reads and writes a structure (Linux, _IOWR with type 0xB4)."""
    return 3 << 30 | octets << 16 | 0xB4 << 8 | number


GET_LINE = _both_ways(0x07, ctypes.sizeof(LineRequest))
GET_LEVELS = _both_ways(0x0E, ctypes.sizeof(_Levels))


class PulseLines(Protocol):
    """A source of edges."""

    def open(self) -> dict[int, bool]:
        """Begin to take edges and give the level of each input now; raises PortLost."""

    def close(self) -> None:
        """End."""

    def wait(self, seconds: float) -> None:
        """Return when there may be edges, or after `seconds` [s]; raises PortLost."""

    def edges(self) -> list[Edge]:
        """Give the edges that have come, without waiting; raises PortLost."""


def lines_of(port: PulsePort, inputs: Sequence[int]) -> PulseLines:
    """Choose by what the port's device is: a GPIO chip, or a file or FIFO."""
    try:
        is_device = stat.S_ISCHR(os.stat(port.device).st_mode)
    except OSError:
        is_device = port.device.startswith("/dev/gpiochip")
    return GpioLines(port, inputs) if is_device else TextLines(port, inputs)


class GpioLines:
    """Inputs of one GPIO chip; the kernel debounces where the chip can, and numbers every edge."""

    def __init__(self, port: PulsePort, inputs: Sequence[int]) -> None:
        self._port = port
        self._inputs = tuple(inputs)
        self._descriptor = -1
        self._numbers: dict[int, int] = {}

    def open(self) -> dict[int, bool]:
        """Ask the kernel for the lines; raises PortLost."""
        self._numbers = {}
        try:
            chip = os.open(self._port.device, os.O_RDONLY | os.O_CLOEXEC)
            try:
                request = line_request(self._port, self._inputs)
                fcntl.ioctl(chip, GET_LINE, request)
            finally:
                os.close(chip)
            self._descriptor = request.descriptor
            levels = _Levels(0, (1 << len(self._inputs)) - 1)
            fcntl.ioctl(self._descriptor, GET_LEVELS, levels)
        except OSError as error:
            raise PortLost(f"{self._port.device}: lines {self._inputs} cannot be had: {error}") from error
        return {line: bool(levels.bits >> at & 1) for at, line in enumerate(self._inputs)}

    def close(self) -> None:
        """Give the lines back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def wait(self, seconds: float) -> None:
        """Wait for an event; raises PortLost."""
        _wait(self._descriptor, seconds, self._port)

    def edges(self) -> list[Edge]:
        """Read what the kernel has queued; raises PortLost."""
        edges: list[Edge] = []
        try:
            while _is_readable(self._descriptor, 0.0):
                edges += edges_from_events(os.read(self._descriptor, _EVENTS_READ * _EVENT.size), self._numbers)
        except (OSError, ValueError) as error:
            raise PortLost(f"{self._port.device}: {error}") from error
        return edges


def line_request(port: PulsePort, inputs: Sequence[int]) -> LineRequest:
    """Fill the request for `inputs` with edge detection both ways."""
    request = LineRequest(consumer=_CONSUMER, lines_count=len(inputs), events_buffered=_EVENTS_BUFFERED)
    for at, line in enumerate(inputs):
        request.offsets[at] = line
    flags = _FLAG_INPUT | _FLAG_EDGE_RISING | _FLAG_EDGE_FALLING | _FLAG_BIAS[port.bias.value]
    request.config.flags = flags | (_FLAG_ACTIVE_LOW if port.active_low else 0)
    if port.debounce_us:
        request.config.attributes_count = 1
        attribute = request.config.attributes[0]
        attribute.attribute = _Attribute(_ATTRIBUTE_DEBOUNCE, 0, port.debounce_us)
        attribute.mask = (1 << len(inputs)) - 1
    return request


def edges_from_events(octets: bytes, numbers: dict[int, int]) -> list[Edge]:
    """Read the kernel's events; `numbers` keeps the last number of each line, to notice lost ones."""
    edges: list[Edge] = []
    for at_ns, kind, line, _, number in _EVENT.iter_unpack(octets[: len(octets) // _EVENT.size * _EVENT.size]):
        missed = number - numbers.get(line, number - 1) - 1
        numbers[line] = number
        edges.append(Edge(line, kind == _RISING, at_ns, max(missed, 0)))
    return edges


class TextLines:
    """Edges as lines of text in a file or FIFO; a FIFO stays open when its writer goes and comes back."""

    def __init__(self, port: PulsePort, inputs: Sequence[int]) -> None:
        self._port = port
        self._inputs = frozenset(inputs)
        self._descriptor = -1
        self._received = b""
        self._is_file = False

    def open(self) -> dict[int, bool]:
        """Open the file; raises PortLost. Every input is taken as not active."""
        try:
            self._descriptor = os.open(self._port.device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            if self._is_file:
                os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise PortLost(f"{self._port.device} cannot be opened: {error}") from error
        self._received = b""
        return dict.fromkeys(sorted(self._inputs), False)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def wait(self, seconds: float) -> None:
        """Wait for octets; raises PortLost. A plain file is always readable, so it is waited for in short steps."""
        if self._is_file:
            seconds = min(seconds, _FILE_STEP_S)
            select.select([], [], [], seconds)
        else:
            _wait(self._descriptor, seconds, self._port)

    def edges(self) -> list[Edge]:
        """Read whole lines; others wait for their end. Raises PortLost."""
        try:
            while octets := os.read(self._descriptor, _READ_OCTETS):
                self._received += octets
        except BlockingIOError:
            pass
        except OSError as error:
            raise PortLost(f"{self._port.device}: {error}") from error
        *whole, self._received = self._received.split(b"\n")
        self._received = self._received[-_LINE_OCTETS_MAX:]
        edges = [self._edge(line) for line in whole]
        return [edge for edge in edges if edge is not None]

    def _edge(self, line: bytes) -> Edge | None:
        """Read one line; None for what is no edge of an input of ours."""
        words = line.split()
        with contextlib.suppress(ValueError):
            if len(words) in (2, 3) and words[1] in (b"0", b"1") and int(words[0]) in self._inputs:
                at_ns = int(words[2]) if len(words) == 3 else time.monotonic_ns()
                return Edge(int(words[0]), (words[1] == b"1") is not self._port.active_low, at_ns)
        return None


def _wait(descriptor: int, seconds: float, port: PulsePort) -> None:
    try:
        _is_readable(descriptor, seconds)
    except (OSError, ValueError) as error:
        raise PortLost(f"{port.device}: {error}") from error


def _is_readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])
