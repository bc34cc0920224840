"""Rows that a meter has kept, asked by moments and by entries, through blocks and segments."""

from __future__ import annotations

import pytest

from device_profiles.forms import NotReadable
from device_profiles.framing import acse, axdr, cosem, dlms, dlms_history, xdlms
from device_profiles.framing.acse import AssociationResponse, Initiate
from device_profiles.framing.axdr import NULL, AxdrReader, Data, DataTag, array, integer, octet_string, structure
from device_profiles.framing.conversation import drive
from device_profiles.framing.cosem import CLOCK
from device_profiles.framing.dlms import DlmsOptions, DlmsRead
from device_profiles.framing.errors import ExceptionReply
from device_profiles.framing.hdlc import HdlcAddress
from device_profiles.framing.hdlc_link import HdlcServer, LinkLimits
from device_profiles.framing.xdlms import Attribute, ClockRange, EntryRange, capture_object
from metering.obis import Obis

LOAD_PROFILE = Obis.parse("1-0:99.1.0")
IMPORT = Attribute(3, Obis.parse("1-0:1.8.0"), 2)
PUBLIC = DlmsOptions(16)
QUARTER_S = 900
START = 1_785_542_400
CAPTURED = array(capture_object(CLOCK), capture_object(IMPORT))


class LoadProfile:
    """A meter that has kept a day of quarter hours; every fourth row says its moment, the others leave it out."""

    def __init__(self, kept: int = 96) -> None:
        self.moments = [START + QUARTER_S * at for at in range(kept)]
        self.long: list[bytes] = []
        self.end = HdlcServer(HdlcAddress.server("1/17"), self.respond, lambda: None, LinkLimits(64, 64))

    def respond(self, apdu: bytes) -> bytes:
        """Answer one APDU; anything long goes in blocks of 100 octets."""
        if apdu[0] == acse.AARQ:
            agreed = Initiate(acse.READING & ~acse.Conformance.MULTIPLE_REFERENCES, 200)
            return AssociationResponse(0, 0, agreed.to_response()).to_wire()
        reader = AxdrReader(apdu[3:])
        if apdu[1] == xdlms.NEXT_OR_BLOCK:
            return self._block(reader.unsigned(4))
        found = self._data(Attribute.read(reader)).to_wire()
        if len(found) <= 100:
            return bytes((xdlms.GET_RESPONSE, 1, apdu[2], 0)) + found
        self.long = [found[at : at + 100] for at in range(0, len(found), 100)]
        return self._block(0)

    def _block(self, number: int) -> bytes:
        octets = self.long[number]
        head = bytes((xdlms.GET_RESPONSE, 2, 0xC1, number + 1 == len(self.long))) + (number + 1).to_bytes(4)
        return head + b"\0" + axdr.length_to_wire(len(octets)) + octets

    def _data(self, attribute: Attribute) -> Data:
        if attribute.number != dlms_history.BUFFER:
            period = integer(DataTag.DOUBLE_LONG_UNSIGNED, QUARTER_S)
            return CAPTURED if attribute.number == dlms_history.CAPTURE_OBJECTS else period
        chosen = list(enumerate(self.moments))
        if isinstance(attribute.selection, ClockRange):
            first, last = (cosem.moment_from_octets(each) or 0 for each in self._bounds(attribute.selection))
            chosen = [each for each in chosen if first <= each[1] <= last]
        if isinstance(attribute.selection, EntryRange):
            chosen = chosen[attribute.selection.first - 1 : attribute.selection.last or None]
        return array(*(self._row(at, moment, is_first=not place) for place, (at, moment) in enumerate(chosen)))

    def _bounds(self, selection: ClockRange) -> tuple[bytes, bytes]:
        return selection.first, selection.last

    def _row(self, at: int, moment: int, *, is_first: bool) -> Data:
        says = is_first or at % 4 == 0
        clock = octet_string(cosem.moment_to_octets(moment)) if says else NULL
        return structure(clock, integer(DataTag.DOUBLE_LONG_UNSIGNED, 1000 * at))


def rows_of(meter: LoadProfile, read: DlmsRead) -> list[tuple[int | None, int]]:
    """Hold the conversation and give moment and import of each row."""
    body = drive(dlms.HDLC.converse("1/17", read), lambda exchange: meter.end.answer(exchange.request) or b"")
    return [(row.moment, row.cells[IMPORT].number) for row in dlms_history.history_rows(body)]


def test_rows_between_two_moments() -> None:
    read = dlms_history.history_between(LOAD_PROFILE, START + 5 * QUARTER_S, START + 80 * QUARTER_S, PUBLIC)
    assert rows_of(LoadProfile(), read) == [(START + at * QUARTER_S, 1000 * at) for at in range(5, 81)]


def test_rows_by_their_entries() -> None:
    read = dlms_history.history_entries(LOAD_PROFILE, 3, 6, PUBLIC)
    assert rows_of(LoadProfile(), read) == [(START + at * QUARTER_S, 1000 * at) for at in range(2, 6)]
    assert len(rows_of(LoadProfile(), dlms_history.history_entries(LOAD_PROFILE, 1, 0, PUBLIC))) == 96


def test_a_span_without_rows_is_empty() -> None:
    assert rows_of(LoadProfile(), dlms_history.history_between(LOAD_PROFILE, 0, 1, PUBLIC)) == []
    assert rows_of(LoadProfile(kept=0), dlms_history.history_entries(LOAD_PROFILE, 1, 0, PUBLIC)) == []


def test_a_profile_without_clock_has_rows_without_moment() -> None:
    captured, row = array(capture_object(IMPORT)), structure(integer(DataTag.UNSIGNED, 7))
    body = captured.to_wire() + integer(DataTag.UNSIGNED, 0).to_wire() + array(row).to_wire()
    (found,) = dlms_history.history_rows(body)
    assert (found.moment, found.cells[IMPORT].number) == (None, 7)


@pytest.mark.parametrize(
    "elements",
    [
        (),
        (CAPTURED, integer(DataTag.UNSIGNED, 0)),
        (CAPTURED, array(), array()),
        (array(structure()), integer(DataTag.UNSIGNED, 0), array()),
        (
            array(structure(*(octet_string(b"x") for _ in range(3)))),
            integer(DataTag.UNSIGNED, 0),
            array(),
        ),
        (CAPTURED, integer(DataTag.UNSIGNED, 0), array(structure(NULL, NULL))),
    ],
)
def test_a_body_of_another_form_is_refused(elements: tuple[Data, ...]) -> None:
    with pytest.raises(NotReadable):
        dlms_history.history_rows(b"".join(each.to_wire() for each in elements))
    with pytest.raises(NotReadable):
        dlms_history.history_rows(b"\xff")


def test_a_meter_without_the_profile_refuses() -> None:
    meter = LoadProfile()
    meter.end = HdlcServer(
        HdlcAddress.server("1/17"),
        lambda apdu: meter.respond(apdu) if apdu[0] == acse.AARQ else bytes((xdlms.GET_RESPONSE, 1, 0xC1, 1, 4)),
        lambda: None,
        LinkLimits(),
    )
    with pytest.raises(ExceptionReply, match="object undefined"):
        rows_of(meter, dlms_history.history_entries(LOAD_PROFILE, 1, 0, PUBLIC))
