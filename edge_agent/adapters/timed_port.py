"""Puts timed lines where gateways can open them: a pseudo-terminal with a link to it, or a TCP port.

It stands here and not beside `device_profiles/timed_line.py`, since that package opens no sockets. One thread a line
carries octets between the operating system and the line; the line says when each octet has arrived.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from pathlib import Path

from device_profiles.framing.errors import FrameError
from device_profiles.scenario import LineKind, LineSpec, ScenarioInvalid, endpoint
from device_profiles.served_port import HUNG_UP_S, PseudoTerminal, ServedPort
from device_profiles.timed_line import Speed, TimedLine

READ_OCTETS = 4096
PIECE_S = 0.0005
"""Octets that arrive within this are handed over together, so that fast lines do not cost a processor."""
CLIENTS_MAX = 32
PSEUDO_TERMINALS = "/dev/pts/"
"""Only links into this folder are replaced: a link to a real device stays."""


class PlaceTaken(ScenarioInvalid):
    """A line cannot be put where it was asked for."""


class TimedPort(ServedPort):
    """One line, served by a thread from `start` to `stop`. `place` is where it can be opened."""

    def __init__(self, place: str, line: TimedLine) -> None:
        self.place = place
        self.line = line
        self._started_s = time.monotonic()
        super().__init__(f"line {place}")

    @property
    def elapsed_s(self) -> float:
        """How long the line has been there [s]."""
        return time.monotonic() - self._started_s

    def _serve(self) -> None:
        while not self._stopping.is_set():
            due_s = self.line.next_due_s
            wait_s = None if due_s is None else max(due_s - self.elapsed_s, PIECE_S)
            ready, _, _ = select.select([self._wake_read, *self._sources()], [], [], wait_s)
            for source in ready:
                if source != self._wake_read:
                    self._take_in(source)
            for to, octets in self.line.due(self.elapsed_s):
                if isinstance(to, int):
                    self._give_out(to, octets)

    def _sources(self) -> list[int]:
        raise NotImplementedError

    def _take_in(self, source: int) -> None:
        raise NotImplementedError

    def _give_out(self, to: int, octets: bytes) -> None:
        raise NotImplementedError


class PtyPort(TimedPort):
    """A serial line: a link at `place` to a pseudo-terminal."""

    def __init__(self, place: str, line: TimedLine) -> None:
        path = Path(place)
        is_free = os.readlink(path).startswith(PSEUDO_TERMINALS) if path.is_symlink() else not path.exists()
        if not is_free:
            raise PlaceTaken(f"{place} is there already and no link of an earlier simulation; give another path")
        try:
            self._terminal = PseudoTerminal(path)
        except OSError as error:
            raise PlaceTaken(f"{place} cannot be made: {error.strerror}; give a path in a folder of yours") from error
        self._is_new = True
        super().__init__(place, line)

    def speed(self) -> Speed | None:
        """Give how the gateway has set its end, as far as it shows."""
        return self._terminal.speed()

    def _sources(self) -> list[int]:
        return [self._terminal.near]

    def _take_in(self, source: int) -> None:
        try:
            octets = os.read(source, READ_OCTETS)
        except OSError:  # nobody has the line open
            self._hung_up()
            return
        self._is_new = False
        if self.line.follows and (speed := self.speed()) is not None:
            self.line.set_speed(speed)
        self.line.hear(octets, self.elapsed_s, source)

    def _hung_up(self) -> None:
        """Make the unused line as new, once: later it may be somebody's who is just setting it up."""
        if not self._is_new:
            self.line.forget(self._terminal.near)
            self._terminal.restore()
            self._is_new = True
        self._stopping.wait(HUNG_UP_S)

    def _give_out(self, to: int, octets: bytes) -> None:
        del to  # there is one end only
        self._terminal.send(octets)

    def _close(self) -> None:
        self._terminal.close()


class TcpPort(TimedPort):
    """A line behind a TCP port; port 0 takes a free one, which then stands in `place`."""

    def __init__(self, place: str, line: TimedLine) -> None:
        host, number = endpoint(place)
        try:
            self._listener = socket.create_server((host, number))
        except OSError as error:
            raise PlaceTaken(f"{place} cannot be listened on: {error.strerror}; give another port") from error
        self._clients: dict[int, socket.socket] = {}
        super().__init__(f"{host}:{self._listener.getsockname()[1]}", line)

    def _sources(self) -> list[int]:
        return [self._listener.fileno(), *self._clients]

    def _take_in(self, source: int) -> None:
        if source == self._listener.fileno():
            with contextlib.suppress(OSError):  # it has given up meanwhile
                self._welcome(self._listener.accept()[0])
            return
        try:
            octets = self._clients[source].recv(READ_OCTETS)
            self.line.hear(octets, self.elapsed_s, source)
        except (OSError, FrameError):
            octets = b""
        if not octets:
            self._drop(source)

    def _give_out(self, to: int, octets: bytes) -> None:
        client = self._clients.get(to)
        if client is None:
            return
        try:
            client.sendall(octets)
        except OSError:  # it has gone, or does not take its answers
            self._drop(to)

    def _welcome(self, client: socket.socket) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            client.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[client.fileno()] = client

    def _drop(self, source: int) -> None:
        self.line.forget(source)
        self._clients.pop(source).close()

    def _close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._listener.close()


def timed_port(spec: LineSpec, seed: int, wall_s: int) -> TimedPort:
    """Open a line of a scenario; raises PlaceTaken."""
    line = spec.timed_line(seed, wall_s)
    return PtyPort(spec.place, line) if spec.kind is LineKind.SERIAL else TcpPort(spec.place, line)
