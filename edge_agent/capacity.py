"""How long a sweep takes, before anything is connected: each read is rehearsed with the model's simulated end (pure).

The rehearsal holds the very conversation that the gateway will hold and counts its octets, so no formula per protocol
can be wrong. On the wire an exchange then costs

    (octets asked + octets answered) x character time + the meter's turnaround + the silence between frames

The usual turnaround is an assumption by protocol, never more than the longest one that the profile states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from device_profiles.families import family_of
from device_profiles.framing import broadcasts_of, codec_of
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.errors import FrameError
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.profile import ChannelKind, Profile, Protocol, ReadRequest
from edge_agent.arbiter import gap_s_of
from metering.errors import MeteringError
from provisioning.site import LineSettings

USUAL_TURNAROUND_MS = {
    Protocol.MODBUS_RTU: 30,
    Protocol.MODBUS_TCP: 30,
    Protocol.MODBUS_RTU_OVER_TCP: 30,
    Protocol.DLT645_2007: 50,
    Protocol.DLT645_1997: 50,
    Protocol.CJT188_2004: 100,
    Protocol.CJT188_2018: 100,
    Protocol.MBUS: 100,
    Protocol.DLMS_HDLC: 60,
    Protocol.DLMS_WRAPPER: 60,
    Protocol.IEC62056_21: 200,
    Protocol.PULSE: 1,
    Protocol.HAND: 1,
}
"""How long a meter of a usual make takes to begin its answer [ms]."""
A_TIME_S = 1_782_864_000
"""What clocks show in a rehearsal: 2026-07-01, since meters' years begin in 2000 [s since 1970]."""
NETWORK_MS = 2
"""What the way over a network adds to an exchange [ms]."""


class NotRehearsed(MeteringError):
    """A read cannot be rehearsed, since the simulated meter does not answer it."""


@dataclass(frozen=True, slots=True)
class WireExchange:
    """One request and its answer on the wire.

    sent, received   octets
    baud             speed of the answer and of what follows, where the conversation changes it [bit/s]
    pause_s          silence that the protocol asks for before the request [s]
    """

    sent: int
    received: int
    baud: int | None = None
    pause_s: float = 0.0


def rehearse(profile: Profile, protocol: Protocol, address: str, reads: Iterable[ReadRequest]) -> list[WireExchange]:
    """Hold the conversations of `reads` with the model's simulated end; raises NotRehearsed."""
    times = {each.obis for group in profile.groups for each in group.channels if each.kind is ChannelKind.TIME}
    end = family_of(protocol).simulated(profile, protocol, address, lambda obis: A_TIME_S if obis in times else 0)
    exchanges: list[WireExchange] = []

    def carry(exchange: Exchange) -> bytes:
        answer = end.answer(exchange.request) if exchange.expects_reply else b""
        if not answer and exchange.expects_reply and not exchange.silence_is_answer:
            raise FrameError("no answer")
        exchanges.append(
            WireExchange(len(exchange.request), len(answer or b""), exchange.baud, exchange.pause_ms / 1000)
        )
        return answer or b""

    try:
        commands = broadcasts_of(protocol)
        if commands is not None and any(group.after_freeze for group in profile.groups):
            drive(commands.freeze(), lambda exchange: end.answer(exchange.request) or b"")
        for read in reads:
            drive(codec_of(protocol).converse(address, read, PublishedSecrets()), carry)
    except MeteringError as error:
        raise NotRehearsed(f"{profile.id} by {protocol}: {error}") from error
    return exchanges


def seconds_on(line: LineSettings | None, exchanges: Sequence[WireExchange], turnaround_s: float) -> float:
    """Give the time that `exchanges` take on a line set so [s]; without a line only the turnaround and the network."""
    total_s = 0.0
    char_s, gap_s = (line.char_s, gap_s_of(line)) if line is not None else (0.0, NETWORK_MS / 1000)
    for each in exchanges:
        total_s += each.sent * char_s + turnaround_s + max(gap_s, each.pause_s)
        if each.baud is not None and line is not None:
            char_s = line.char_s * line.baud / each.baud
        total_s += each.received * char_s
    return total_s


def usual_turnaround_s(profile: Profile, protocol: Protocol) -> float:
    """Give the turnaround to reckon with [s]."""
    return min(USUAL_TURNAROUND_MS[protocol], profile.link(protocol).reply_ms_max) / 1000
