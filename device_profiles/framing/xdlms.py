"""The reading services of DLMS/COSEM: GET in its three forms, ACTION, and what a meter says instead. Sans I/O.

An answer is matched to its request by the low 4 bits of the invoke octet only: meters drop the service-class bit (a
real one answers 81 to C1). Source: IEC 62056-5-3, 6 to 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.framing.axdr import AxdrReader, Data, DataTag, array, integer, octet_string, structure
from device_profiles.framing.errors import AnswerMismatch, ExceptionReply, FrameError
from metering.obis import Obis

GET_REQUEST = 0xC0
GET_RESPONSE = 0xC4
ACTION_REQUEST = 0xC3
ACTION_RESPONSE = 0xC7
EXCEPTION_RESPONSE = 0xD8
DATA_NOTIFICATION = 0x0F
CIPHERED = {GET_REQUEST: 0xC8, GET_RESPONSE: 0xCC, ACTION_REQUEST: 0xCB, ACTION_RESPONSE: 0xCF}
"""Tags of the same APDUs protected by a global key."""
PLAIN = {ciphered: plain for plain, ciphered in CIPHERED.items()}
GENERAL_CIPHERED = 0xDB
"""Any APDU protected by a global key, behind the sender's system title."""

NORMAL = 1
NEXT_OR_BLOCK = 2
WITH_LIST = 3
INVOKE = 0xC0
"""Confirmed, high priority; the low 4 bits count requests."""
OBJECT_UNDEFINED = 4
OBJECT_UNAVAILABLE = 11
LACKED = (OBJECT_UNDEFINED, OBJECT_UNAVAILABLE)
"""Results of an object that this meter does not have."""
_BY_RANGE = 1
_BY_ENTRY = 2
_CLOCK = (8, Obis.parse("0-0:1.0.0"), 2)
_ACCESS_RESULTS = {
    1: "hardware fault",
    2: "temporary failure",
    3: "read or write denied",
    4: "object undefined",
    9: "object class inconsistent",
    11: "object unavailable",
    12: "type unmatched",
    13: "scope of access violated",
    14: "data block unavailable",
    15: "long get aborted",
    16: "no long get in progress",
    19: "data block number invalid",
    250: "other reason",
}
_STATE_ERRORS = {1: "service not allowed", 2: "service unknown"}
_SERVICE_ERRORS = {
    1: "operation not possible",
    2: "service not supported",
    3: "other reason",
    4: "APDU too long",
    5: "deciphering error: another key",
    6: "invocation counter error: below the meter's",
}


@dataclass(frozen=True, slots=True)
class EntryRange:
    """Entries `first` to `last` of a profile's buffer, both included, counted from 1; `last` 0 is the highest."""

    first: int
    last: int

    def to_data(self) -> tuple[int, Data]:
        """Give access selector and parameters."""
        entries = (integer(DataTag.DOUBLE_LONG_UNSIGNED, each) for each in (self.first, self.last))
        columns = (integer(DataTag.LONG_UNSIGNED, each) for each in (1, 0))
        return _BY_ENTRY, structure(*entries, *columns)


@dataclass(frozen=True, slots=True)
class ClockRange:
    """Entries whose clock column lies within two wall-clock times, each as 12 octets of COSEM date-time."""

    first: bytes
    last: bytes

    def to_data(self) -> tuple[int, Data]:
        """Give access selector and parameters."""
        interface, obis, attribute = _CLOCK
        clock = capture_object(Attribute(interface, obis, attribute))
        return _BY_RANGE, structure(clock, octet_string(self.first), octet_string(self.last), array())


@dataclass(frozen=True, slots=True)
class NewestEntries:
    """The newest `count` entries. No access selector says so: the meter is asked how many entries there are first."""

    count: int = 1
    is_newest_first: bool = False

    def among(self, entries: int) -> EntryRange | None:
        """Give the range in a buffer of `entries`; None when it is empty."""
        count = min(self.count, entries)
        if not count:
            return None
        return EntryRange(1, count) if self.is_newest_first else EntryRange(entries - count + 1, entries)

    def to_data(self) -> tuple[int, Data]:
        """Refuse: the range must be known."""
        raise TypeError("how many entries there are is not known yet")


Selection = EntryRange | ClockRange | NewestEntries


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one object: interface class, logical name, number; `selection` picks rows of a profile."""

    interface: int
    obis: Obis
    number: int
    selection: Selection | None = None

    def to_wire(self) -> bytes:
        """Give descriptor and access selection."""
        descriptor = self.interface.to_bytes(2) + self.obis.to_wire() + bytes((self.number,))
        if self.selection is None:
            return descriptor + b"\0"
        selector, parameters = self.selection.to_data()
        return descriptor + bytes((1, selector)) + parameters.to_wire()

    @classmethod
    def read(cls, reader: AxdrReader) -> Attribute:
        """Read descriptor and access selection; raises FrameError."""
        interface, obis, number = reader.unsigned(2), Obis.from_wire(reader.take(6)), reader.octet()
        selection = _selection(reader.octet(), reader.data()) if reader.octet() else None
        return cls(interface, obis, number, selection)

    def __str__(self) -> str:
        return f"class {self.interface}, {self.obis}, attribute {self.number}"


def capture_object(attribute: Attribute) -> Data:
    """Give the structure by which profiles name a column."""
    return structure(
        integer(DataTag.LONG_UNSIGNED, attribute.interface),
        octet_string(attribute.obis.to_wire()),
        integer(DataTag.INTEGER, attribute.number),
        integer(DataTag.LONG_UNSIGNED, 0),
    )


def _selection(selector: int, parameters: Data) -> Selection:
    elements = parameters.elements
    if selector == _BY_ENTRY and len(elements) == 4:
        return EntryRange(elements[0].number, elements[1].number)
    if selector == _BY_RANGE and len(elements) == 4:
        return ClockRange(elements[1].octets, elements[2].octets)
    raise FrameError(f"access selector {selector} is not known")


def get_request(invoke: int, attributes: tuple[Attribute, ...]) -> bytes:
    """Ask for one attribute, or for several in a list."""
    if len(attributes) == 1:
        return bytes((GET_REQUEST, NORMAL, INVOKE | invoke)) + attributes[0].to_wire()
    listed = b"".join(attribute.to_wire() for attribute in attributes)
    return bytes((GET_REQUEST, WITH_LIST, INVOKE | invoke, len(attributes))) + listed


def get_next(invoke: int, block: int) -> bytes:
    """Ask for the block after `block`."""
    return bytes((GET_REQUEST, NEXT_OR_BLOCK, INVOKE | invoke)) + block.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a long answer."""

    number: int
    octets: bytes
    is_last: bool


Result = Data | int
"""What a meter gives for an attribute: its data, or a data access result other than success."""


def parse_get_response(apdu: bytes, invoke: int, count: int) -> tuple[Result, ...] | Block:
    """Read the answer to a request for `count` attributes; raises FrameError or ExceptionReply."""
    reader = opened(apdu, GET_RESPONSE, invoke)
    form = apdu[1]
    if form == NEXT_OR_BLOCK:
        is_last, number = bool(reader.octet()), reader.unsigned(4)
        if reader.octet():
            raise refusal(reader.octet())
        block = Block(number, reader.string(), is_last)
        reader.require_end()
        return block
    if form != (NORMAL if count == 1 else WITH_LIST):
        raise AnswerMismatch(f"form {form} answers a request for {count} attributes")
    return results(reader.rest, count)


def results(octets: bytes, count: int) -> tuple[Result, ...]:
    """Read the results of `count` attributes, as they stand in an answer or in the blocks of a long one."""
    reader = AxdrReader(octets)
    if count != 1 and reader.length() != count:
        raise AnswerMismatch(f"the answer does not hold {count} attributes")
    found: list[Result] = []
    for _ in range(count):
        found.append(_result(reader))
    reader.require_end()
    return tuple(found)


def block_results(octets: bytes, count: int) -> tuple[Result, ...]:
    """Read joined blocks: for one attribute they hold its data without the choice that goes before it elsewhere."""
    if count != 1:
        return results(octets, count)
    reader = AxdrReader(octets)
    element = reader.data()
    reader.require_end()
    return (element,)


def _result(reader: AxdrReader) -> Result:
    choice = reader.octet()
    if choice == 0:
        return reader.data()
    if choice != 1:
        raise FrameError(f"{choice} begins no result")
    return reader.octet()


def action_request(invoke: int, interface: int, obis: Obis, method: int, parameter: Data) -> bytes:
    """Call a method of an object."""
    descriptor = interface.to_bytes(2) + obis.to_wire() + bytes((method, 1))
    return bytes((ACTION_REQUEST, NORMAL, INVOKE | invoke)) + descriptor + parameter.to_wire()


def parse_action_response(apdu: bytes, invoke: int) -> Data | None:
    """Give what a method returned, None for nothing; raises FrameError or ExceptionReply."""
    reader = opened(apdu, ACTION_RESPONSE, invoke)
    if apdu[1] != NORMAL:
        raise AnswerMismatch(f"form {apdu[1]} answers a plain action")
    code = reader.octet()
    if code:
        raise refusal(code)
    returned = _result(reader) if reader.octet() else None
    reader.require_end()
    if isinstance(returned, int):
        raise refusal(returned)
    return returned


def opened(apdu: bytes, tag: int, invoke: int) -> AxdrReader:
    """Check tag and invoke octet of an answer, and give a reader behind them; raises ExceptionReply for a refusal."""
    if apdu[:1] == bytes((EXCEPTION_RESPONSE,)) and len(apdu) >= 3:
        reason = _SERVICE_ERRORS.get(apdu[2]) or _STATE_ERRORS.get(apdu[1], "no reason given")
        raise ExceptionReply(apdu[2], reason)
    reader = AxdrReader(apdu)
    head = reader.take(3)
    if head[0] != tag or head[2] & 0x0F != invoke:
        raise AnswerMismatch(f"APDU {head.hex()} answers another request than number {invoke} of {tag:#04x}")
    return reader


def refusal(code: int, place: str = "") -> ExceptionReply:
    """Give the error for a data access or action result, at `place`."""
    return ExceptionReply(code, _ACCESS_RESULTS.get(code, "reason unknown") + f" ({place})" * bool(place))


@dataclass(frozen=True, slots=True)
class Notification:
    """What a meter pushes unasked: when, as COSEM date-time octets (perhaps none), and what."""

    invoke: int
    sent_at: bytes
    body: Data


def parse_notification(apdu: bytes) -> Notification:
    """Read a data-notification; raises FrameError."""
    reader = AxdrReader(apdu)
    if reader.octet() != DATA_NOTIFICATION:
        raise FrameError(f"{apdu[:1].hex()} begins no data-notification")
    notification = Notification(invoke=reader.unsigned(4), sent_at=reader.string(), body=reader.data())
    reader.require_end()
    return notification
