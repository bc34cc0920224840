"""The arbiter of one line: every frame on it is sent and awaited here, whatever its protocol.

Theory of operation. One conversation at a time, exchange by exchange: keep the silence between frames (3.5 characters;
1.75 ms fixed above 19,200 bit/s: Modbus over serial line 1.02, 2.5.1.1), discard what has strayed in, send, read until
the exchange says the answer is whole, hand it to the conversation. A conversation that fails puts the line in
quarantine: octets are discarded until the latest answer the meter's profile allows has passed and the line is silent,
so a late answer is never there for the next request. An adapter's echo of the request is dropped, and so are a few
octets of noise before a right answer. See docs/adr/0015 and 0073.

Meters that are spoken to at another speed or parity share the line: it is switched before a conversation, and the gap
of the slower settings, or the one that the meter's settings declare, is paid. A conversation may change the speed on
its way; the next one finds the line as its meter needs it.

The silence goes through the Clock, waiting for octets does not: under a played clock a repeated conversation leaves no
trace in the times, because quarantine ends in silence and no gap is added after it.
"""

from __future__ import annotations

import select
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from device_profiles.framing.conversation import Conversation, Exchange, drive
from device_profiles.framing.errors import ExceptionReply, FrameError
from edge_agent.figures import LineFigures
from edge_agent.ports import Answer, AnswerCut, Bus, BusTimeout, PortLost
from metering.clock import Clock
from metering.errors import MeterError
from provisioning.site import LineSettings

GAP_CHARACTERS = 3.5
GAP_S_FAST = 0.00175
FAST_BAUD = 19_200
PAUSE_S_MAX = 0.1
"""Longest pause within an answer [s]: USB adapters deliver every 16 ms, and the host may be busy."""
PAUSE_CHARACTERS = 8
"""At very low speeds the pause within an answer is counted in characters."""
NOISE_OCTETS_MAX = 3
"""Octets before a right answer that are taken for a driver's switching on; no frame of any protocol is as short."""
NOISE_WAIT_S = 0.02
"""How long the end of an answer that noise has shifted is waited for [s]."""
ANSWER_OCTETS_MAX = 4096
"""More than the longest frame with its echo; more is no answer."""
BABBLE_S_MAX = 1.0
"""How long to wait for silence beyond a quarantine before asking regardless [s]."""


class OctetLine(Protocol):
    """What carries octets to the meters and back; it knows nothing of frames."""

    def open(self) -> bool:
        """Open it unless it is open, and say whether it had to be opened; raises PortLost."""

    def close(self) -> None:
        """Close it."""

    def send(self, octets: bytes) -> None:
        """Send; raises PortLost."""

    def read(self, seconds: float) -> bytes:
        """Give what arrives within `seconds` [s], nothing on silence; raises PortLost."""

    def drain(self) -> None:
        """Return when what was sent has left."""

    def switch(self, settings: LineSettings) -> None:
        """Go on with other settings; raises PortLost."""


class Stopwatch:
    """How the arbiter measures and waits; real time, unless a test's line has a time of its own."""

    monotonic = staticmethod(time.monotonic)

    def wait(self, seconds: float) -> None:
        """Let `seconds` [s] pass."""
        select.select([], [], [], seconds)


def gap_s_of(settings: LineSettings | None) -> float:
    """Give the silence between frames [s]; 0 where no line with a speed is known."""
    if settings is None:
        return 0.0
    return GAP_CHARACTERS * settings.char_s if settings.baud <= FAST_BAUD else GAP_S_FAST


@dataclass(slots=True)
class _Talk:
    """One conversation on its way.

    until_s   when the latest answer to its latest exchange has passed, by the monotonic clock [s]
    is_cut    whether the latest answer ended before it was whole
    """

    reply_s: float
    late_s: float
    exchange: Exchange | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    until_s: float = 0.0
    turnaround_s: float = 0.0
    is_cut: bool = False


class Arbiter(Bus):
    """One line with its meters. `settings` is how the line is set unless a meter says otherwise; None without speed."""

    keeps_late_answers = False
    """Whether an answer that was under way when the line was lost can come after it was opened again."""

    def __init__(
        self, line: OctetLine, settings: LineSettings | None, clock: Clock, stopwatch: Stopwatch | None = None
    ) -> None:
        self._line = line
        self._stopwatch = stopwatch or Stopwatch()
        self._usual = settings
        self._clock = clock
        self.figures = LineFigures()
        self._busy_until: datetime | None = None
        self._late_until_s = 0.0
        self._note(settings)

    def open(self) -> bool:
        """Open the line and wait until it is silent; False if it was open already. Raises PortLost."""
        if not self._line.open():
            return False
        self._note(self._usual)
        while self.keeps_late_answers and (left_s := self._late_until_s - self._stopwatch.monotonic()) > 0:
            self.figures.strays += len(self._line.read(left_s))
        self._await_silence(self._stopwatch.monotonic() + BABBLE_S_MAX)
        return True

    def close(self) -> None:
        """Close the line."""
        self._line.close()

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Hold a conversation to its end; see `Bus.converse`."""
        began_s = self._stopwatch.monotonic()
        talk = _Talk(reply_s, late_s)
        try:
            self._settle(line or self._usual)
            body = drive(conversation, lambda exchange: self._carry(exchange, talk))
        except ExceptionReply:
            self.figures.refused += 1
            raise
        except MeterError as error:
            self.figures.note_failure(is_silence=isinstance(error, BusTimeout))
            self._quarantine(talk)
            if talk.is_cut and isinstance(error, FrameError):
                raise AnswerCut(f"the answer broke off: {error}") from error
            raise
        except PortLost:
            self._late_until_s = talk.until_s
            raise
        finally:
            self.figures.busy_s += self._stopwatch.monotonic() - began_s
        now = self._clock.now()
        return Answer(body, talk.started_at or now, talk.ended_at or now, talk.turnaround_s)

    def _carry(self, exchange: Exchange, talk: _Talk) -> bytes:
        """Carry out one exchange; raises BusTimeout on silence that is no answer."""
        self._keep_gap(exchange.pause_ms / 1000)
        talk.exchange, talk.is_cut = exchange, False
        talk.started_at = talk.started_at or self._clock.now()
        self._line.send(exchange.request)
        sent_s = self._stopwatch.monotonic() + len(exchange.request) * self.char_s
        own_s = (exchange.reply_ms_max or 0) / 1000
        talk.until_s = sent_s + max(talk.late_s, own_s)
        self.figures.exchanges += 1
        if exchange.baud is not None:
            self._change_speed(exchange.baud, sent_s)
        if not exchange.expects_reply:
            return self._leave(talk, sent_s)
        answer, silent_s = self._receive(exchange, sent_s + max(talk.reply_s, own_s))
        ended_s, talk.ended_at = self._stopwatch.monotonic() - silent_s, self._clock.now()
        self._busy_until = talk.ended_at
        if answer:
            if exchange.reply_ms_max is None:
                talk.turnaround_s = max(talk.turnaround_s, ended_s - sent_s - len(answer) * self.char_s)
            talk.is_cut = _is_cut(exchange, answer)
            return answer if talk.is_cut or _is_right(exchange, answer) else self._without_noise(exchange, answer)
        if not exchange.silence_is_answer:
            raise BusTimeout(f"no answer within {max(talk.reply_s, own_s):.3f} s")
        self._quarantine(talk)
        return b""

    def _leave(self, talk: _Talk, sent_s: float) -> bytes:
        """Let a command that nobody answers get out, and leave the silence that ends it."""
        self._wait_until(sent_s)
        talk.exchange = None
        talk.ended_at = self._busy_until = self._clock.now()
        self._keep_gap()
        return b""

    def _settle(self, settings: LineSettings | None) -> None:
        """Have the line set as the next meters need it, and pay the gap that this takes."""
        if settings is None or settings == self._set:
            return
        gap_s = max(gap_s_of(settings), self.gap_s, (settings.gap_ms or 0) / 1000)
        self._line.switch(settings)
        self._note(settings)
        self.figures.switches += 1
        self._clock.sleep(gap_s)

    def _change_speed(self, baud: int, sent_s: float) -> None:
        """Go on at another speed once the request has left at the old one."""
        if self._set is not None and baud != self._set.baud:
            self._wait_until(sent_s)
            self._line.drain()
            settings = replace(self._set, baud=baud)
            self._line.switch(settings)
            self._note(settings)

    def _note(self, settings: LineSettings | None) -> None:
        self._set = settings
        self.char_s = settings.char_s if settings is not None else 0.0
        self.gap_s = gap_s_of(settings)

    def _keep_gap(self, pause_s: float = 0.0) -> None:
        """Leave the silence between frames since the last octet, and be sure that nothing is arriving."""
        if strays := self._line.read(0.0):
            self.figures.strays += len(strays)
            self._await_silence(self._stopwatch.monotonic() + BABBLE_S_MAX)
        gap_s = max(self.gap_s, pause_s)
        if self._busy_until is not None:
            silent_s = (self._clock.now() - self._busy_until).total_seconds()
            if silent_s < gap_s:
                self._clock.sleep(gap_s - max(silent_s, 0.0))
        elif pause_s:
            self._clock.sleep(pause_s)

    def _receive(self, exchange: Exchange, first_by_s: float) -> tuple[bytes, float]:
        """Read until the answer is whole, or nothing more comes; the first octet must come by `first_by_s`.

        Gives the answer without the echo of the request, and the silence that ended it, if silence did [s].
        """
        sent, received, most = exchange.request, b"", ANSWER_OCTETS_MAX
        pause_s = max(PAUSE_S_MAX, PAUSE_CHARACTERS * self.char_s, exchange.octet_pause_ms / 1000)
        while len(received) < most:
            octets = self._line.read(max(pause_s if received else first_by_s - self._stopwatch.monotonic(), 0.0))
            received += octets
            if received == sent and octets:  # the echo of our own request: the answer itself is still to begin
                self.figures.echoes += 1
                octets = self._line.read(max(first_by_s - self._stopwatch.monotonic(), 0.0))
                received += octets
            if not octets:
                return received.removeprefix(sent), pause_s if received else 0.0
            if not sent.startswith(received):
                answer = received.removeprefix(sent)
                expected = _octets_expected(exchange, answer)
                if len(answer) >= expected > 0:
                    return answer, 0.0
                most = max(most, len(sent) + expected)
        return received.removeprefix(sent), 0.0

    def _without_noise(self, exchange: Exchange, answer: bytes) -> bytes:
        """Look for the right answer behind a few octets of noise; gives all that came where there is none."""
        answer += self._line.read(NOISE_WAIT_S)
        for start in range(1, NOISE_OCTETS_MAX + 1):
            if _is_right(exchange, answer[start:]):
                self.figures.strays += start
                return answer[start:]
        return answer

    def _quarantine(self, talk: _Talk) -> None:
        """Discard octets until no answer can come any more: it has come, or its latest moment has passed."""
        exchange = talk.exchange
        if exchange is None:
            return
        late = b""
        while (left_s := talk.until_s - self._stopwatch.monotonic()) > 0:
            octets = self._line.read(left_s)
            self.figures.strays += len(octets)
            late = (late + octets)[-ANSWER_OCTETS_MAX:]
            if octets and exchange.check is not None and _is_right(exchange, late.removeprefix(exchange.request)):
                break
        self._await_silence(self._stopwatch.monotonic() + BABBLE_S_MAX)

    def _wait_until(self, instant_s: float) -> None:
        if (left_s := instant_s - self._stopwatch.monotonic()) > 0:
            self._stopwatch.wait(left_s)

    def _await_silence(self, until_s: float) -> None:
        """Discard octets until none has come for a gap; the gap is over then."""
        while (octets := self._line.read(self.gap_s)) and self._stopwatch.monotonic() < until_s:
            self.figures.strays += len(octets)
        self._busy_until = None


def _octets_expected(exchange: Exchange, received: bytes) -> int:
    """Give the length the exchange expects, or 0 while it cannot tell: then only silence ends the answer."""
    try:
        return exchange.octets_expected(received)
    except MeterError:
        return 0


def _is_cut(exchange: Exchange, answer: bytes) -> bool:
    return len(answer) < _octets_expected(exchange, answer)


def _is_right(exchange: Exchange, answer: bytes) -> bool:
    """Say whether `answer` answers the exchange, be it by a refusal; what has no check of its own is believed."""
    if exchange.check is None:
        return True
    try:
        exchange.check(answer)
    except ExceptionReply:
        return True
    except MeterError:
        return False
    return True
