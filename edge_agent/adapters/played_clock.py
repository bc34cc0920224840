"""Played time: a clock whose marks come from a time server, so that a month of meters is read in a minute.

Theory of operation. The time server (the world that answers on the meters' wires) keeps one `now` per gateway, and the
meters answer as of it. `sleep_until` advances it and returns when the server agrees; then this clock shows exactly
that instant. `sleep` moves only this clock, so the silences of a sweep show in its times and cost nothing. A sweep that
is repeated therefore shows the same times to the millisecond. The protocol is a line of JSON each way:

    {"gateway": "gw-a", "advance_to": "2026-07-01T00:00:00+00:00"}   ->   {"now": "2026-07-01T00:00:00+00:00"}
    {"gateway": "gw-a"}                                              ->   {"now": ...}                asks only

A server that is away is waited for, and asked again. One that does not answer lets time stand still: the play ended.
"""

from __future__ import annotations

import json
import logging
import select
import socket
import threading
from datetime import UTC, datetime, timedelta

from edge_agent.ports import Stopped
from metering.clock import ClockQuality, ClockState
from metering.errors import MeteringError
from metering.identity import GatewayId

log = logging.getLogger(__name__)

RECONNECT_S = 0.1
"""Pause between attempts to reach the time server [s]; it is on this machine and away only while it restarts."""
_STOP_STEP_S = 0.5
_LINE_OCTETS_MAX = 1024


class TimeServerUnfit(MeteringError):
    """The time server answered with something that is no instant."""


class PlayedClock:
    """One port's view of played time. Not shared between threads: each port of a gateway has its own."""

    def __init__(self, host: str, port: int, gateway: GatewayId, stop: threading.Event) -> None:
        self._address = (host, port)
        self._gateway = gateway
        self._stop = stop
        self._connection: socket.socket | None = None
        self._now: datetime | None = None

    def now(self) -> datetime:
        """Give this clock's instant; the first call asks the time server."""
        if self._now is None:
            self._now = self._ask({"gateway": self._gateway})
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move this clock alone, at once."""
        self._now = self.now() + timedelta(seconds=seconds)

    def sleep_until(self, instant: datetime) -> None:
        """Advance the world to `instant`, waiting for it as long as it is away; raises Stopped."""
        self._ask({"gateway": self._gateway, "advance_to": instant.isoformat()})
        self._now = instant

    def state(self) -> ClockState:
        """Report a synchronised clock: marks are exact by construction."""
        return ClockState(ClockQuality.SYNCHRONISED, 0)

    def close(self) -> None:
        """Leave the time server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, request: dict[str, str]) -> datetime:
        line = json.dumps(request).encode() + b"\n"
        while True:
            if self._stop.is_set():
                raise Stopped("told to stop")
            try:
                return self._exchange(line)
            except OSError as error:
                log.info("time-server-away", extra={"reason": str(error)})
                self.close()
                self._stop.wait(RECONNECT_S)

    def _exchange(self, line: bytes) -> datetime:
        if self._connection is None:
            self._connection = socket.create_connection(self._address, timeout=_STOP_STEP_S)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sendall(line)
        answer = b""
        while not answer.endswith(b"\n"):
            while not select.select([self._connection], [], [], _STOP_STEP_S)[0]:
                if self._stop.is_set():
                    raise Stopped("told to stop")
            octets = self._connection.recv(_LINE_OCTETS_MAX)
            if not octets:
                raise ConnectionResetError("the time server closed")
            answer += octets
            if len(answer) > _LINE_OCTETS_MAX:
                raise TimeServerUnfit("the time server's line has no end")
        return _instant(answer)


def _instant(answer: bytes) -> datetime:
    try:
        instant = datetime.fromisoformat(json.loads(answer)["now"])
    except (ValueError, TypeError, KeyError) as error:
        raise TimeServerUnfit(f"the time server answered {answer!r}") from error
    if instant.tzinfo is None:
        raise TimeServerUnfit(f"{instant} carries no time zone")
    return instant.astimezone(UTC)
