"""Requests on a line that two protocols share, as the meters' ends see them."""

from __future__ import annotations

from device_profiles.framing import dlt645, modbus_rtu
from device_profiles.framing.mixed_line import REQUEST_OCTETS_MAX, request_ends, split_requests
from device_profiles.profile import Protocol
from device_profiles.read_plan import Dlt645Read, ModbusRead

ENDS = request_ends((Protocol.MODBUS_RTU, Protocol.DLT645_2007))
MODBUS = modbus_rtu.build_request("11", ModbusRead(3, 0x101E, 12))
DLT645 = dlt645.build_request("202607010001", Dlt645Read(bytes.fromhex("00010000")))


def test_requests_of_both_protocols_are_told_apart() -> None:
    requests, rest = split_requests(MODBUS + DLT645 + MODBUS, ENDS)
    assert requests == [MODBUS, DLT645[4:], MODBUS]
    assert rest == b""


def test_a_modbus_unit_whose_id_is_a_dlt645_start_is_still_a_modbus_unit() -> None:
    request = modbus_rtu.build_request("104", ModbusRead(3, 0x6868, 0x68))
    assert split_requests(request, ENDS) == ([request], b"")


def test_a_request_still_arriving_is_kept_and_noise_before_it_dropped_in_the_end() -> None:
    requests, rest = split_requests(b"\x00\x11" + DLT645[:9], ENDS)
    assert requests == []
    requests, rest = split_requests(rest + DLT645[9:], ENDS)
    assert (requests, rest) == ([DLT645[4:]], b"")


def test_a_request_with_a_wrong_check_is_nobodys() -> None:
    spoilt_modbus = MODBUS[:-1] + bytes((MODBUS[-1] ^ 1,))
    spoilt_dlt645 = DLT645[:-2] + bytes((DLT645[-2] ^ 1,)) + DLT645[-1:]
    assert split_requests(spoilt_modbus + spoilt_dlt645 + MODBUS, ENDS)[0] == [MODBUS]


def test_answers_of_other_meters_pass_as_frames_of_theirs_only() -> None:
    """A meter hears its neighbours' answers too; none of them is a request to it."""
    answer = modbus_rtu.build_reply("11", ModbusRead(3, 0, 12), bytes(24))
    assert split_requests(answer, ENDS)[0] == []
    heard, _ = split_requests(dlt645.build_reply("202607010001", Dlt645Read(bytes(4)), bytes(4)), ENDS)
    assert [dlt645.scan(frame)[0][0].address for frame in heard] == ["202607010001"]


def test_noise_is_forgotten_beyond_the_longest_request() -> None:
    requests, rest = split_requests(b"\xfe" * 5000, ENDS)
    assert requests == []
    assert len(rest) == REQUEST_OCTETS_MAX
    assert split_requests(rest + MODBUS, ENDS)[0] == [MODBUS]


def test_only_the_protocols_of_the_line_are_looked_for() -> None:
    """`01 03` begins a Modbus read of unit 1 and could be a command of IEC 62056-21."""
    request = modbus_rtu.build_request("1", ModbusRead(3, 0, 2))
    assert split_requests(request, ENDS) == ([request], b"")
    everything = request_ends(Protocol)
    assert split_requests(request, everything) == ([request], b"")
    only_iec = request_ends((Protocol.IEC62056_21,))
    assert split_requests(request, only_iec)[0] != [request]
    assert split_requests(b"/?!\r\n", only_iec) == ([b"/?!\r\n"], b"")
    assert request_ends((Protocol.MODBUS_TCP,)) == ()
