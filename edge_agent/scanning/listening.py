"""Ask and take whatever comes: silence, an answer, a refusal or broken octets are all things a scan learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from device_profiles.framing.conversation import Conversation, Exchange
from device_profiles.framing.errors import AnswerMismatch, ExceptionReply
from edge_agent.ports import Bus, BusTimeout, LineFixed
from metering.errors import MeterError
from provisioning.site import LineSettings


class Sound(StrEnum):
    """What came of a question."""

    SILENCE = "silence"
    ANSWER = "answer"
    REFUSAL = "refusal"
    OTHER = "other"
    """A right frame of the meter, but not what was asked for: it is of another kind than it was taken for."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a question.

    octets        all that came, of every exchange
    body          what the conversation made of it; b"" unless it is an answer
    turnaround_s  how long it took to begin [s]
    strays        octets that came and belonged to nothing asked just now: somebody is slow
    """

    sound: Sound
    octets: bytes = b""
    body: bytes = b""
    turnaround_s: float = 0.0
    strays: int = 0

    @property
    def is_somebody(self) -> bool:
        """Say whether a meter spoke clearly, if only to refuse."""
        return self.sound in (Sound.ANSWER, Sound.REFUSAL, Sound.OTHER)


def listen(bus: Bus, conversation: Conversation, wait_s: float, line: LineSettings | None) -> Heard:
    """Hold a conversation as far as it goes; waits `wait_s` [s] for each answer to begin. Raises PortLost."""
    ear = _Ear(conversation)
    before = strays_of(bus)
    try:
        answer = bus.converse(ear.conversation(), reply_s=wait_s, late_s=wait_s, line=line)
    except (BusTimeout, LineFixed):  # a Modbus TCP endpoint says of itself that nobody answered
        return Heard(Sound.SILENCE)
    except ExceptionReply:
        return Heard(Sound.REFUSAL)
    except MeterError:
        return Heard(Sound.BROKEN, bytes(ear.octets))
    return Heard(
        ear.sound,
        bytes(ear.octets),
        answer.body if ear.sound is Sound.ANSWER else b"",
        answer.turnaround_s,
        strays_of(bus) - before,
    )


def strays_of(bus: Bus) -> int:
    """Give how many octets have strayed in so far; 0 where nobody counts."""
    figures = getattr(bus, "figures", None)
    return 0 if figures is None else int(figures.strays)


def silence_after(wait_s: float) -> Conversation:
    """Only listen: give what comes unasked within `wait_s` [s], as a second answer to the last question would."""
    received = yield Exchange(
        b"", lambda octets: len(octets) + 1, silence_is_answer=True, reply_ms_max=int(wait_s * 1000)
    )
    return received


def rehearse(conversation: Conversation, answer: Callable[[bytes], bytes | None]) -> Heard:
    """Hold a conversation with a simulated meter's end, which is at hand: no line, no time."""
    ear = _Ear(conversation)
    listening = ear.conversation()
    try:
        exchange = next(listening)
        while True:
            exchange = listening.send(answer(exchange.request) or b"")
    except StopIteration as ended:
        return Heard(ear.sound, bytes(ear.octets), ended.value if ear.sound is Sound.ANSWER else b"")
    except MeterError:
        return Heard(Sound.BROKEN)


class _Ear:
    """Stands between the line and a conversation: no silence and no broken frame is an error here."""

    def __init__(self, conversation: Conversation) -> None:
        self._inner = conversation
        self.octets = bytearray()
        self.sound = Sound.SILENCE

    def conversation(self) -> Conversation:
        """Give the conversation as a line holds it. What stops it before anything is sent is raised."""
        try:
            exchange = next(self._inner)
            while True:
                received = yield replace(exchange, silence_is_answer=True)
                self.octets += received
                if not received and exchange.expects_reply and not exchange.silence_is_answer:
                    self.sound = Sound.BROKEN if self.octets else Sound.SILENCE
                    return b""
                exchange = self._inner.send(received)
        except StopIteration as ended:
            self.sound = Sound.ANSWER
            body: bytes = ended.value
            return body
        except ExceptionReply:
            self.sound = Sound.REFUSAL
        except AnswerMismatch:
            self.sound = Sound.OTHER
        except MeterError:
            if not self.octets:
                raise
            self.sound = Sound.BROKEN
        finally:
            self._inner.close()
        return b""
