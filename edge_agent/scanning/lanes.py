"""What can be asked on a line, how likely each part is to hold a meter, and what it costs. Pure.

A lane is a protocol at one setting of the line, its questions in blocks. Odds come from the profiles (their usual
speed first), from what is expected, and from what was found: meters on one line are usually set alike. The lane with
the best odds per second is asked next; for places that do not depend on each other no other order finds sooner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice

from device_profiles.framing.modbus_pdu import UNIT_ID_MAX
from device_profiles.profile import Profile, Protocol
from edge_agent.arbiter import gap_s_of
from edge_agent.scanning.result import ExpectedMeter
from provisioning.site import LineSettings, Parity, SerialPort, StreamPort, TcpPort

USUAL_SHARE = 0.95
"""How much of the odds is asked unless everything is wanted."""
ODDS = {
    Protocol.MODBUS_RTU: 0.45,
    Protocol.DLT645_2007: 0.26,
    Protocol.MBUS: 0.10,
    Protocol.CJT188_2004: 0.08,
    Protocol.DLT645_1997: 0.04,
    Protocol.IEC62056_21: 0.04,
    Protocol.DLMS_HDLC: 0.03,
}
"""How likely a meter speaks which protocol, where nothing is known."""
BY_RANK = (1.0, 0.35, 0.08, 0.02)
"""How likely a model is set to its usual speed, its second one, and so on."""
OTHER_PARITY = 0.004
"""How likely a meter is set to a parity that its model is not delivered with, at each speed."""
EXPECTED_SHARE = 0.95
"""How much of the odds goes to the protocols and models that are expected, where any are."""
SAME_LINE, SAME_PROTOCOL = 12.0, 20.0
"""By how much a find raises the odds of other meters at the same setting, and of the same protocol there."""
BLOCK_IDS = 8
LEFT_BLOCKS = 8
"""Every so many blocks the time left is reckoned anew."""
WAIT_S = {
    Protocol.MODBUS_RTU: 0.06,
    Protocol.MODBUS_RTU_OVER_TCP: 0.06,
    Protocol.MODBUS_TCP: 0.2,
    Protocol.DLT645_2007: 0.5,
    Protocol.DLT645_1997: 0.5,
    Protocol.CJT188_2004: 1.0,
    Protocol.MBUS: 0.0,
    Protocol.IEC62056_21: 1.5,
    Protocol.DLMS_HDLC: 0.5,
}
"""How long the first octet of an answer is waited for, where the line has taught nothing yet [s]."""
MBUS_BITS, MBUS_S = 330, 0.1
"""M-Bus meters begin within so many bit times and 50 ms (EN 13757-2, 5.5); an adapter takes its own time [s]."""
QUESTION_OCTETS = {
    Protocol.MODBUS_RTU: 8,
    Protocol.DLT645_2007: 16,
    Protocol.DLT645_1997: 18,
    Protocol.CJT188_2004: 20,
    Protocol.MBUS: 17,
    Protocol.IEC62056_21: 5,
    Protocol.DLMS_HDLC: 12,
}
QUESTIONS = {Protocol.DLMS_HDLC: 3}
"""How many questions the block of a protocol has where it is not one."""
PARITIES = (Parity.NONE, Parity.EVEN, Parity.ODD)


@dataclass(slots=True)
class Lane:
    """One protocol at one setting.

    odds     how likely each block holds a meter, by what was known at the start
    boost    by how much finds have raised them since
    at       the next block
    is_usual whether it belongs to what is asked without `--all`; set once all lanes are known
    """

    protocol: Protocol
    line: LineSettings | None
    blocks: tuple[tuple[str, ...], ...]
    odds: tuple[float, ...]
    boost: float = 1.0
    at: int = 0
    _tails: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tails = accumulate(reversed((*self.odds, 0.0)))
        self._tails = tuple(reversed(tuple(tails)))

    @property
    def key(self) -> str:
        """Name the lane, for the state file."""
        line = self.line
        return self.protocol.value if line is None else f"{self.protocol.value} {line.baud} {line.parity.value}"

    @property
    def is_done(self) -> bool:
        """Whether every block was asked."""
        return self.at >= len(self.blocks)

    def cost_s(self, wait_s: float, block: int | None = None) -> float:
        """Give what a block costs where nobody answers [s]."""
        return self.question_s(wait_s) * len(self.blocks[self.at if block is None else block])

    def question_s(self, wait_s: float) -> float:
        """Give what one entry of a block costs where nobody answers [s]."""
        char_s = 0.0 if self.line is None else self.line.char_s
        question_s = QUESTION_OCTETS.get(self.protocol, 12) * char_s + wait_s + 2 * gap_s_of(self.line)
        return question_s * QUESTIONS.get(self.protocol, 1)

    @property
    def left(self) -> float:
        """Odds of all that was not asked."""
        return self._tails[self.at]

    @property
    def whole(self) -> float:
        """Odds of all its blocks."""
        return self._tails[0]


@dataclass(slots=True)
class Lanes:
    """All lanes of a scan; `found` are the settings and protocols at which meters were found."""

    lanes: list[Lane]
    slowest_s: dict[Protocol, float] = field(default_factory=dict)
    _left: tuple[object, float] = (None, 0.0)

    def next(self, *, everything: bool) -> Lane | None:
        """Give the lane to ask now; None when the scan may end."""
        open_lanes = [lane for lane in self.lanes if not lane.is_done]
        if not everything and self.share_asked >= USUAL_SHARE:
            open_lanes = [lane for lane in open_lanes if lane.boost >= SAME_PROTOCOL]
        return max(open_lanes, key=self._worth, default=None)

    def note_find(self, protocol: Protocol, line: LineSettings | None) -> None:
        """Raise the odds of everything that a meter found there makes likelier."""
        for lane in self.lanes:
            if lane.line == line:
                boost = SAME_LINE * (SAME_PROTOCOL if lane.protocol is protocol else 1.0)
                lane.boost = max(lane.boost, boost)

    def note_turnaround(self, protocol: Protocol, seconds: float) -> None:
        """Wait longer for others where a meter took its time."""
        self.slowest_s[protocol] = max(self.slowest_s.get(protocol, 0.0), seconds)

    def wait_s(self, lane: Lane) -> float:
        """Give how long an answer is waited for [s]."""
        return wait_of(lane.protocol, lane.line, self.slowest_s.get(lane.protocol, 0.0))

    @property
    def share_asked(self) -> float:
        """Give how much of the odds has been asked."""
        total = sum(lane.whole for lane in self.lanes)
        return 1.0 if total <= 0 else 1.0 - sum(lane.left for lane in self.lanes) / total

    def left_s(self, *, everything: bool) -> float:
        """Give how long the rest takes where nobody answers [s]; reckoned anew every few blocks, and after a find."""
        if self.next(everything=everything) is None:
            return 0.0
        known = (sum(lane.at for lane in self.lanes) // LEFT_BLOCKS, sum(lane.boost for lane in self.lanes), everything)
        if self._left[0] != known:
            self._left = known, self._left_s(everything=everything)
        return self._left[1]

    def _left_s(self, *, everything: bool) -> float:
        rest: list[tuple[float, float, float, float]] = []
        for lane in self.lanes:
            question_s = max(lane.question_s(self.wait_s(lane)), 1e-9)
            for odds, block in zip(lane.odds[lane.at :], lane.blocks[lane.at :], strict=True):
                cost_s = question_s * len(block)
                rest.append((odds / cost_s, odds, cost_s, lane.boost))
        rest.sort(reverse=True)
        total, asked, seconds = sum(lane.whole for lane in self.lanes), self.share_asked, 0.0
        for _, odds, cost_s, boost in rest:
            if everything or asked < USUAL_SHARE or boost >= SAME_PROTOCOL:
                seconds += cost_s
            asked += odds / total if total > 0 else 0.0
        return seconds

    def _worth(self, lane: Lane) -> float:
        return lane.odds[lane.at] * lane.boost / max(lane.cost_s(self.wait_s(lane)), 1e-9)


def wait_of(protocol: Protocol, line: LineSettings | None, slowest_s: float) -> float:
    """Give how long the first octet of an answer is waited for [s]."""
    if protocol is Protocol.MBUS:
        return (MBUS_BITS / line.baud if line is not None else 0.0) + MBUS_S
    usual_s = WAIT_S.get(protocol, 0.5)
    return max(usual_s, min(1.5 * slowest_s + 0.02, 1.0)) if protocol.is_modbus else usual_s


def lanes_for(
    port: SerialPort | StreamPort | TcpPort, profiles: Sequence[Profile], expected: Sequence[ExpectedMeter]
) -> Lanes:
    """Make the lanes of a port. What stands behind a network is set by somebody else: there is one setting, or none."""
    if isinstance(port, SerialPort):
        return lanes_of(profiles, expected, port.line)
    if isinstance(port, TcpPort):
        blocks = _blocks(Protocol.MODBUS_RTU, expected)
        parts = tuple(_parts(Protocol.MODBUS_RTU, blocks, expected))
        return Lanes([Lane(Protocol.MODBUS_TCP, None, blocks, parts)])
    lanes = []
    for protocol, share in _protocol_shares(profiles, expected).items():
        blocks = _blocks(protocol, expected)
        odds = tuple(share * part for part in _parts(protocol, blocks, expected))
        lanes.append(Lane(_over_tcp(protocol), port.line, blocks, odds))
    return Lanes(lanes)


def _over_tcp(protocol: Protocol) -> Protocol:
    return Protocol.MODBUS_RTU_OVER_TCP if protocol is Protocol.MODBUS_RTU else protocol


def lanes_of(profiles: Sequence[Profile], expected: Sequence[ExpectedMeter], own: LineSettings | None) -> Lanes:
    """Make the lanes of a serial line.

    own   how the port is set by its configuration: the likeliest place to begin, if there is one
    """
    shares = _protocol_shares(profiles, expected)
    lanes: list[Lane] = []
    for protocol, share in shares.items():
        settings = _settings(protocol, profiles, expected, own)
        total = sum(settings.values())  # 0 where no model speaks it
        for line, weight in settings.items():
            blocks = _blocks(protocol, expected)
            odds = [share * weight / total * part for part in _parts(protocol, blocks, expected)]
            lanes.append(Lane(protocol, line, blocks, tuple(odds)))
    return Lanes(lanes)


def _protocol_shares(profiles: Sequence[Profile], expected: Sequence[ExpectedMeter]) -> dict[Protocol, float]:
    by_id = {profile.id: profile for profile in profiles}
    told: dict[Protocol, float] = defaultdict(float)
    for each in expected:
        spoken = (
            [each.protocol]
            if each.protocol is not None
            else list(by_id[each.profile].links if each.profile in by_id else ())
        )
        asked = [_asked_as(protocol) for protocol in spoken if _asked_as(protocol) in ODDS]
        for protocol in asked:
            told[protocol] += 1 / len(asked)
    known = sum(told.values())
    if not known:
        return dict(ODDS)
    share = EXPECTED_SHARE * known / len(expected)
    return {protocol: share * told.get(protocol, 0.0) / known + (1 - share) * odds for protocol, odds in ODDS.items()}


def _asked_as(protocol: Protocol) -> Protocol:
    """Give the protocol as which it is asked: both editions of CJ/T 188 know the same common address."""
    return Protocol.CJT188_2004 if protocol is Protocol.CJT188_2018 else protocol


def _settings(
    protocol: Protocol, profiles: Sequence[Profile], expected: Sequence[ExpectedMeter], own: LineSettings | None
) -> dict[LineSettings, float]:
    """Weigh every setting that a meter of the protocol may have."""
    named = {each.profile for each in expected}
    weights: dict[LineSettings, float] = defaultdict(float)
    bits: int | None = None
    for profile in profiles:
        serial = profile.links[protocol].serial if protocol in profile.links else None
        if serial is None:
            continue
        bits = None if serial.data_bits == 8 else serial.data_bits
        worth = 20.0 if profile.id in named else 1.0
        for rank, baud in enumerate(serial.bauds):
            line = LineSettings(baud, Parity(serial.parity), 1, bits)
            weights[line] += worth * BY_RANK[min(rank, len(BY_RANK) - 1)]
    total = sum(weights.values())
    bauds = {line.baud for line in weights}
    if not weights:
        return {}
    if protocol is not Protocol.IEC62056_21:
        for line in (LineSettings(baud, parity, 1, bits) for baud in sorted(bauds) for parity in PARITIES):
            weights[line] += total * OTHER_PARITY
    if own is not None:
        weights[LineSettings(own.baud, own.parity, 1, bits)] += total
    return dict(weights)


def _blocks(protocol: Protocol, expected: Sequence[ExpectedMeter]) -> tuple[tuple[str, ...], ...]:
    """Give what is asked, in order: ids in blocks for Modbus, one block for what has a common address."""
    if protocol is not Protocol.MODBUS_RTU:
        return (("*",),)
    likely = [each.address for each in expected if each.address.isdecimal() and int(each.address) <= UNIT_ID_MAX]
    ids = dict.fromkeys([*likely, *(str(number) for number in range(1, UNIT_ID_MAX + 1))])
    return tuple(_in_blocks(iter(ids), len(dict.fromkeys(likely))))


def _in_blocks(ids: Iterator[str], first: int) -> Iterable[tuple[str, ...]]:
    if block := tuple(islice(ids, first)):
        yield block
    while block := tuple(islice(ids, BLOCK_IDS)):
        yield block


def _parts(protocol: Protocol, blocks: Sequence[tuple[str, ...]], expected: Sequence[ExpectedMeter]) -> Iterator[float]:
    """Share a lane's odds over its blocks: low ids are likelier, expected ones likelier still."""
    if protocol is not Protocol.MODBUS_RTU:
        yield from (1.0 for _ in blocks)
        return
    likely = {each.address for each in expected}
    weights = [sum(30.0 if each in likely else 1 / (int(each) + 8) for each in block) for block in blocks]
    for weight in weights:
        yield weight / sum(weights)
