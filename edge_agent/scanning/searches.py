"""How meters of each protocol are found at one setting of the line: what is asked, and what follows from what comes.

A search is a generator without I/O: it yields questions and is sent what was heard; what it finds it yields too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace

from device_profiles.framing import cjt188_frame, codec_of, dlt645_frame, mbus_frame, modbus_rtu
from device_profiles.framing.cjt188 import Cjt188ReadAddress
from device_profiles.framing.conversation import Conversation, Exchange
from device_profiles.framing.dlt645_requests import Dlt645Read, Dlt645ReadAddress
from device_profiles.framing.hdlc import HdlcAddress
from device_profiles.framing.hdlc_link import HdlcClient
from device_profiles.framing.iec62056_21 import ANY_METER, identification_in, line_octets, sign_on
from device_profiles.framing.mbus_frame import MbusFrame, answer_octets
from device_profiles.framing.mbus_search import FoundMeters
from device_profiles.framing.mbus_search import search as mbus_search
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Protocol
from edge_agent.scanning.listening import Heard, Sound, silence_after
from metering.errors import MeterError

TRIES = 3
"""So often a broken answer is asked for again before it counts as more than one meter."""
SLOW_S = 1.0
"""Longest time until a meter begins to answer, of all profiles of protocols with ids or digits [s]."""
SECOND_ANSWER_S = 0.12
"""How long a second answer to one question is listened for [s]."""
WAKE_UP = 0xFE
BROKEN_TELEGRAM = b"\x68"
FOLLOWED = -1
"""Marks an answer after which another one came."""
PRESENCE = ModbusRead(3, 0, 1)
"""Every Modbus meter answers this, if only by a refusal."""
COUNTER_2007, COUNTER_1997 = bytes(4), bytes.fromhex("9010")
"""The total counter: every DL/T 645 meter has it, and its answer carries the meter's whole address."""
DIGIT_PAIRS = tuple(f"{number:02d}" for number in range(100))
DLMS_ADDRESSES = ("1", "1/17", "1/16")
"""Server addresses of the meters that the profiles were written from."""
PUBLIC_CLIENT = 16


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask; `told` says to a person what it is, `short` that it may wait as the line has taught."""

    conversation: Callable[[], Conversation]
    wait_s: float
    told: str


@dataclass(frozen=True, slots=True)
class Spotted:
    """One meter answers at this address. `told` is what it said of itself."""

    address: str
    heard: Heard
    told: str = ""


@dataclass(frozen=True, slots=True)
class Several:
    """More than one answers, and nothing tells them apart."""

    address: str
    octets: bytes


Step = Question | Spotted | Several
Search = Generator[Step, Heard | None, None]
Asking = Generator[Step, Heard | None, Heard]


def modbus_ids(
    ids: Sequence[str], earlier: Sequence[str], wait_s: float, protocol: Protocol = Protocol.MODBUS_RTU
) -> Search:
    """Ask unit ids one after another; `earlier` were asked just before, and may answer late.

    Everyone is given little time. An octet that nobody was asked for means that somebody needs more.
    """
    codec = codec_of(protocol)

    def question(unit: str, seconds: float) -> Question:
        return Question(lambda: codec.converse(unit, PRESENCE), seconds, unit)

    answered: set[str] = set()
    asked = list(ids)
    for seconds, is_last in ((wait_s, False), (wait_s, True), (SLOW_S, False)):  # noise comes once, a slow meter again
        is_late = False
        for unit in asked:
            heard = yield from _ask(question(unit, seconds))
            is_late |= bool(heard.strays) or (heard.sound is Sound.BROKEN and _sender(heard) not in ("", unit))
            if heard.sound is not Sound.SILENCE and not is_late:
                answered.add(unit)
                is_late |= yield from _judge(unit, heard, question(unit, max(wait_s, SLOW_S / 2)))
        if is_last:
            is_late |= bool((yield from _second(SLOW_S)).octets)
        if not is_late or wait_s >= SLOW_S:
            return
        asked = [each for each in (*earlier, *ids) if each not in answered]


def _judge(address: str, heard: Heard, question: Question) -> Generator[Step, Heard | None, bool]:
    """Tell one meter from two: broken answers stay broken, or a second answer follows the first.

    Gives whether octets were heard that nobody was asked for.
    """
    for _ in range(TRIES - 1):
        if heard.sound is Sound.BROKEN:
            heard = yield from _ask(question)
    if heard.sound is Sound.BROKEN:
        yield Several(address, heard.octets)
    if not heard.is_somebody:
        return False
    second = yield from _second()
    is_late = bool(second.octets)
    if second.octets:  # once may be noise, or a slow meter that was asked before
        heard = yield from _ask(question)
        second = yield from _second()
    if second.octets or heard.sound is Sound.BROKEN:
        yield Several(address, heard.octets + second.octets)
        return is_late
    meanwhile = yield Spotted(address, heard)
    return is_late or (meanwhile is not None and bool(meanwhile.strays))


def dlt645(edition: Protocol, expected: Iterable[str], is_enough: Callable[[], bool] = lambda: False) -> Search:
    """Ask who is there; if several are, by the expected numbers, then by the last digits, two by two.

    is_enough   says, when the expected numbers were asked, whether the digits need not be
    """
    codec = codec_of(edition)
    heard = yield from _surely(Question(lambda: codec.converse(dlt645_frame.ANY_METER, Dlt645ReadAddress()), 0.5, "AA"))
    if heard.sound is Sound.SILENCE:
        return
    item = COUNTER_2007 if edition is Protocol.DLT645_2007 else COUNTER_1997

    def question(low: str, seconds: float) -> Question:
        asked = low.rjust(12, "A")
        return Question(lambda: codec.converse(asked, Dlt645Read(item)), seconds, asked)

    if heard.is_somebody:
        second = yield from _second(SLOW_S / 2)
        address = heard.body.hex().upper() if heard.sound is Sound.ANSWER else _address_645(heard)
        if not second.octets and not _has_more(heard) and (yield from _is_alone(address, question)):
            yield Spotted(address, heard)
            return
    wait_s = min(max(2 * heard.turnaround_s + 0.05, 0.15), 0.5)
    known: set[str] = set()
    for address in dict.fromkeys(each.rjust(12, "0") for each in expected):
        if dlt645_frame.is_address(address):
            heard = yield from _ask(question(address, wait_s))
            if heard.is_somebody:
                known.add(address)
                yield Spotted(address, heard)
    if not is_enough():
        yield from _by_digits([""], question, wait_s, known)


def _by_digits(lows: list[str], question: Callable[[str, float], Question], wait_s: float, known: set[str]) -> Search:
    """Go through the last digits level by level; only digits behind which several answer are followed further."""
    while lows:
        deeper: list[str] = []
        for low in lows:
            asked = [pair + low for pair in DIGIT_PAIRS]
            heard_of = yield from _all(asked, question, wait_s)
            for digits, heard in heard_of.items():
                address = _address_645(heard) if heard.is_somebody else ""
                if address in known and not _is_followed(heard):
                    continue
                if address not in known and (yield from _is_alone(address, question)):
                    known.add(address)
                    yield Spotted(address, heard)
                    if not _is_followed(heard):
                        continue
                if heard.sound is not Sound.SILENCE and len(digits) < 12:
                    deeper.append(digits)
                elif heard.sound is not Sound.SILENCE:
                    yield Several(digits, heard.octets)
        lows = deeper


def _has_more(heard: Heard) -> bool:
    """Say whether beside a right answer there are pieces of another one; FE only wakes up."""
    frames, _ = dlt645_frame.scan(heard.octets)
    octets = len(heard.octets) - heard.octets.count(WAKE_UP)
    whole = sum(len(frame.to_wire()) - frame.to_wire().count(WAKE_UP) for frame in frames[:1])
    return heard.is_somebody and octets > whole


def _is_followed(heard: Heard) -> bool:
    """Say whether another answer came after this one."""
    return heard.strays == FOLLOWED


def _is_alone(address: str, question: Callable[[str, float], Question]) -> Generator[Step, Heard | None, bool]:
    """Say whether a meter that was heard under a common address is there: answers that overlay can look like one."""
    if not dlt645_frame.is_address(address):
        return False
    return (yield from _ask(question(address, SLOW_S / 2))).is_somebody


def _all(
    keys: Sequence[str], question: Callable[[str, float], Question], wait_s: float
) -> Generator[Step, Heard | None, dict[str, Heard]]:
    """Ask all of `keys`, and those again that fell silent shortly before an octet strayed in."""
    heard_of: dict[str, Heard] = {}
    recent: deque[str] = deque(maxlen=1 + int(SLOW_S / max(wait_s, 0.05)))
    for key in keys:
        heard = yield from _surely(question(key, wait_s))
        for _ in range(2):  # more than an answer is noise or a late one the first time, another meter the second
            if not heard.is_somebody:
                break
            second = yield from _second(SLOW_S / 2)  # before anything else is asked: a question would not be heard
            if not second.octets and not _has_more(heard):
                break
            if heard.strays:
                heard = replace(heard, strays=FOLLOWED)
                break
            heard = replace((yield from _surely(question(key, wait_s))), strays=1)
        heard_of[key] = heard
        recent.append(key)
        for seconds in (wait_s, SLOW_S) if heard.strays not in (0, FOLLOWED) else ():  # once may be noise
            strays = 0
            for again in [each for each in recent if not heard_of[each].is_somebody]:
                heard_of[again] = heard = yield from _surely(question(again, seconds))
                strays += heard.strays
            if seconds < SLOW_S and not strays and not (yield from _second(SLOW_S)).octets:
                break
    return heard_of


def cjt188(expected: Iterable[str]) -> Search:
    """Ask who is there. Nothing tells several apart but their numbers: only expected ones are found then."""
    codec = codec_of(Protocol.CJT188_2004)
    read = Cjt188ReadAddress()
    heard = yield from _surely(Question(lambda: codec.converse(cjt188_frame.ANY_METER, read), SLOW_S, "AA"))
    if heard.sound is Sound.SILENCE:
        return
    second = yield from _second()
    if heard.sound is Sound.ANSWER and not second.octets:
        address = heard.body.hex().upper()  # answers that overlay can look like one: is it there?
        if (yield from _ask(Question(_asking(codec.converse, address, read), SLOW_S, address))).is_somebody:
            yield Spotted(address, heard)
            return
    for number in dict.fromkeys(each.upper().rjust(14, "0") for each in expected):
        asked = _asking(codec.converse, number, read)
        alone = yield from _ask(Question(asked, SLOW_S, number))
        if alone.is_somebody:
            yield Spotted(number, alone)
    yield Several(cjt188_frame.ANY_METER, heard.octets + second.octets)


def mbus(wait_s: float) -> Search:
    """Search by secondary address (EN 13757-3, 11.5); what no digit tells apart is told.

    Meters answer at their own pace: a second acknowledge must not meet the next request, and a second telegram may
    follow the first, so each is waited for.
    """
    found = FoundMeters()
    hunt = mbus_search(found=found)
    told, asked, heard, acknowledges = 0, "FFFFFFFF", Heard(Sound.SILENCE), 0
    try:
        frame = next(hunt)
        while True:
            octets = BROKEN_TELEGRAM
            if frame.user or acknowledges < 2:
                asked = frame.user[1:5][::-1].hex().upper() if frame.user else asked
                heard = yield from _ask(Question(_asking(_mbus_exchange, frame, wait_s), wait_s, asked))
                octets = heard.octets
            if frame.user:
                acknowledges = len(octets)
            elif _is_crowded(octets) or (octets and (yield from _second(wait_s)).octets):
                octets = BROKEN_TELEGRAM
            frame = hunt.send(octets)
            for address in found.meters[told:]:
                told += 1
                yield Spotted(address, heard)
    except StopIteration:
        pass
    for address in found.meters[told:]:
        yield Spotted(address, heard)
    for digits in found.unresolved:
        yield Several(digits.ljust(8, "F"), b"")


def _is_crowded(octets: bytes) -> bool:
    """Say whether more came than one telegram: another one, or pieces of it."""
    frames, _ = mbus_frame.scan(octets)
    return sum(len(frame.to_wire()) for frame in frames[:1]) < len(octets)


def _mbus_exchange(frame: MbusFrame, wait_s: float) -> Conversation:
    if not frame.user:
        return (yield Exchange(frame.to_wire(), answer_octets, silence_is_answer=True))
    pause_ms = int(wait_s * 1000)
    more = Exchange(frame.to_wire(), lambda octets: len(octets) + 1, silence_is_answer=True, octet_pause_ms=pause_ms)
    return (yield more)


def iec62056_21(expected: Iterable[str]) -> Search:
    """Sign on without an address; if several greet, by the expected ones."""
    heard = yield from _surely(Question(_asking(_greeting, ANY_METER), 1.5, ANY_METER))
    if heard.sound is Sound.ANSWER:
        yield Spotted(ANY_METER, heard, heard.body.decode("latin-1").strip())
    if heard.sound is not Sound.BROKEN:
        return
    for address in dict.fromkeys(expected):
        alone = yield from _ask(Question(_asking(_greeting, address), 1.5, address))
        if alone.sound is Sound.ANSWER:
            yield Spotted(address, alone, alone.body.decode("latin-1").strip())
    yield Several(ANY_METER, heard.octets)


def _greeting(address: str) -> Conversation:
    received = yield Exchange(sign_on(address), line_octets, check=identification_in, octet_pause_ms=1500)
    identification_in(received)
    return received


def dlms() -> Search:
    """Set a link up at the addresses that such meters are delivered with, and let it go again."""
    for address in DLMS_ADDRESSES:
        question = Question(_asking(_link, address), 0.5, address)
        heard = yield from _ask(question)
        if heard.sound is Sound.BROKEN:
            yield from _judge(address, heard, question)
        elif heard.is_somebody:
            yield Spotted(address, heard)


def _link(address: str) -> Conversation:
    client = HdlcClient(HdlcAddress.server(address), HdlcAddress.client(PUBLIC_CLIENT))
    yield from client.connect()
    yield from client.release()
    return b"\1"


def _ask(question: Question) -> Asking:
    heard = yield question
    if heard is None:
        raise MeterError(f"nothing was heard of {question.told}")
    return heard


def _surely(question: Question) -> Asking:
    """Ask again what came broken: noise does not come three times, several meters do.

    What was broken first and is silence then counts as a stray: it was noise, or somebody's late answer.
    """
    strays = 0
    for _ in range(TRIES):
        heard = yield from _ask(question)
        strays += heard.strays
        if heard.sound is not Sound.BROKEN:
            break
        strays += 1
    return replace(heard, strays=strays if heard.sound is Sound.SILENCE else heard.strays)


def _second(seconds: float = SECOND_ANSWER_S) -> Asking:
    """Listen whether somebody answers who was not asked, or asked before; what strayed in meanwhile is that too."""
    heard = yield from _ask(Question(lambda: silence_after(seconds), seconds, "…"))
    return replace(heard, octets=heard.octets or bytes(min(heard.strays, 1)))


def _asking(converse: Callable[..., Conversation], *words: object) -> Callable[[], Conversation]:
    return lambda: converse(*words)


def _sender(heard: Heard) -> str:
    """Give the unit id of a whole Modbus frame, "" where there is none."""
    octets = heard.octets
    return str(octets[0]) if len(octets) >= 4 and modbus_rtu.crc16(octets) == 0 else ""


def _address_645(heard: Heard) -> str:
    """Give the address in the first answer heard; "" where there is none."""
    frames, _ = dlt645_frame.scan(heard.octets)
    senders = [frame.address for frame in frames if frame.control & dlt645_frame.FROM_METER]
    return senders[0] if senders else ""
