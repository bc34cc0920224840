"""Requests on a line that two protocols share, as the meters' ends see them."""

from __future__ import annotations

from device_profiles.framing import dlt645, modbus_rtu
from device_profiles.framing.mixed_line import REQUEST_OCTETS_MAX, address_in, split_requests
from device_profiles.read_plan import Dlt645Read, ModbusRead

MODBUS = modbus_rtu.build_request("11", ModbusRead(3, 0x101E, 12))
DLT645 = dlt645.build_request("202607010001", Dlt645Read(bytes.fromhex("00010000")))


def test_requests_of_both_protocols_are_told_apart() -> None:
    requests, rest = split_requests(MODBUS + DLT645 + MODBUS)
    assert requests == [MODBUS, DLT645[4:], MODBUS]
    assert rest == b""
    assert [address_in(request) for request in requests] == [(True, "11"), (False, "202607010001"), (True, "11")]


def test_a_modbus_unit_whose_id_is_a_dlt645_start_is_still_a_modbus_unit() -> None:
    request = modbus_rtu.build_request("104", ModbusRead(3, 0x6868, 0x68))
    assert split_requests(request) == ([request], b"")
    assert address_in(request) == (True, "104")


def test_a_request_still_arriving_is_kept_and_noise_before_it_dropped_in_the_end() -> None:
    requests, rest = split_requests(b"\x00\x11" + DLT645[:9])
    assert requests == []
    requests, rest = split_requests(rest + DLT645[9:])
    assert (requests, rest) == ([DLT645[4:]], b"")


def test_a_request_with_a_wrong_check_is_nobodys() -> None:
    spoilt_modbus = MODBUS[:-1] + bytes((MODBUS[-1] ^ 1,))
    spoilt_dlt645 = DLT645[:-2] + bytes((DLT645[-2] ^ 1,)) + DLT645[-1:]
    assert split_requests(spoilt_modbus + spoilt_dlt645 + MODBUS)[0] == [MODBUS]


def test_answers_of_other_meters_pass_as_frames_of_theirs_only() -> None:
    """A meter hears its neighbours' answers too; none of them is a request to it."""
    answer = modbus_rtu.build_reply("11", ModbusRead(3, 0, 12), bytes(24))
    assert split_requests(answer)[0] == []
    heard, _ = split_requests(dlt645.build_reply("202607010001", Dlt645Read(bytes(4)), bytes(4)))
    assert [address_in(frame) for frame in heard] == [(False, "202607010001")]


def test_noise_is_forgotten_beyond_the_longest_request() -> None:
    requests, rest = split_requests(b"\xfe" * 5000)
    assert requests == []
    assert len(rest) == REQUEST_OCTETS_MAX
    assert split_requests(rest + MODBUS)[0] == [MODBUS]
