"""Every public DL/T 645-2007 and Modbus frame we know of, through the codecs and forms that bill.

`frames.json` beside this file names the source of each frame. A larger collection is read too where METERTREE_SHARED
points to its folder.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from device_profiles.forms import BcdForm, FloatForm, IntegerForm, NotReadable, RegisterType, WordOrder
from device_profiles.framing import dlt645, modbus_rtu
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.read_plan import Dlt645Read, ModbusRead

Frame = dict[str, Any]
PROTOCOLS = ("DL/T645-2007", "Modbus-RTU")


def collected() -> dict[str, Frame]:
    """Give the frames of this folder, and of the shared collection where there is one, by id."""
    paths = [Path(__file__).with_name("frames.json")]
    if shared := os.environ.get("METERTREE_SHARED"):
        paths += [
            path for path in (Path(shared) / "data" / "frames.json", Path(shared) / "frames.json") if path.exists()
        ]
    frames = [frame for path in paths for frame in json.loads(path.read_text(encoding="utf-8"))]
    return {frame["id"]: frame for frame in frames if frame["protocol"] in PROTOCOLS}


FRAMES = collected()


def octets(frame_id: str) -> bytes:
    """Give the octets of a frame."""
    return bytes.fromhex(FRAMES[frame_id]["hex"])


def of(protocol: str, valid: bool, *kinds: str) -> list[Any]:
    """Give frames for parametrisation."""
    return [
        pytest.param(frame, id=frame["id"])
        for frame in FRAMES.values()
        if frame["protocol"] == protocol and frame["valid"] is valid and frame["type"] in (kinds or (frame["type"],))
    ]


# What DL/T 645-2007, annex A, says of each identifier: octets of one number, decimals, whether the top bit is a sign.
ITEMS = {
    "0001": (4, 2, False),
    "0004": (4, 2, True),
    "0101": (3, 4, True),
    "0201": (2, 1, False),
    "0202": (3, 3, True),
    "0203": (3, 4, True),
    "0204": (3, 4, True),
    "0206": (2, 3, True),
    "0280": (2, 2, False),
}


@pytest.mark.parametrize("frame", of("DL/T645-2007", True))
def test_a_valid_frame_is_found_with_its_address_and_control(frame: Frame) -> None:
    frames, rest = dlt645.scan(bytes.fromhex(frame["hex"]))
    expected = frame["expected"]
    assert rest == b""
    assert len(frames) == expected.get("frames", 1)
    controls = expected.get("controls") or [expected.get("control", "0x91")]
    assert [f"0x{each.control:02X}" for each in frames] == controls
    for each in frames:
        assert each.address == expected.get("address", each.address)
        assert dlt645.scan(each.to_wire()) == ([each], b"")


@pytest.mark.parametrize("frame", of("DL/T645-2007", False))
def test_a_frame_with_a_wrong_checksum_is_never_found(frame: Frame) -> None:
    assert dlt645.scan(bytes.fromhex(frame["hex"])) == ([], b"")


WITH_NUMBERS = [
    param
    for param in of("DL/T645-2007", True, "response")
    if {"value", "values"} & set(param.values[0]["expected"]) and param.values[0]["expected"].get("di", "")[:4] in ITEMS
]


@pytest.mark.parametrize("frame", WITH_NUMBERS)
def test_an_answer_gives_the_stated_numbers(frame: Frame) -> None:
    expected = frame["expected"]
    length, decimals, signed = ITEMS[expected["di"][:4]]
    read = Dlt645Read(bytes.fromhex(expected["di"]))
    body = dlt645.parse_reply(expected["address"], read, bytes.fromhex(frame["hex"]))
    numbers = [expected["value"]] if "value" in expected else expected["values"]
    form = BcdForm(octets=length, signed=signed)
    for at, number in enumerate(numbers):
        mantissa = form.to_mantissa(body[at * length : (at + 1) * length])
        assert mantissa == (None if number is None else int(Decimal(number).scaleb(decimals)))


def test_most_public_answers_carry_a_number_that_is_checked() -> None:
    assert len(WITH_NUMBERS) >= 17


@pytest.mark.parametrize("frame", of("DL/T645-2007", True, "request"))
def test_a_read_request_is_understood_by_the_meters_end(frame: Frame) -> None:
    expected = frame["expected"]
    if expected["control"] == "0x12":
        asked = dlt645.FollowUp(bytes.fromhex(expected["di"]), expected["sequence"])
        assert dlt645.parse_request(bytes.fromhex(frame["hex"])) == (expected["address"], asked)
        return
    address, read = dlt645.parse_request(bytes.fromhex(frame["hex"]))
    assert (address, read.di.hex()) == (expected["address"], expected["di"])
    assert dlt645.build_request(address, read).lstrip(b"\xfe") == bytes.fromhex(frame["hex"]).lstrip(b"\xfe")


@pytest.mark.parametrize(("frame_id", "code"), [("645-07-d1", 2), ("645-07-d1b", 6)])
def test_a_refusal_is_an_error_with_its_word(frame_id: str, code: int) -> None:
    with pytest.raises(ExceptionReply) as caught:
        dlt645.parse_reply(FRAMES[frame_id]["expected"]["address"], Dlt645Read(bytes(4)), octets(frame_id))
    assert caught.value.code == code


def test_a_clock_whose_day_is_no_number_is_refused() -> None:
    read = Dlt645Read(bytes.fromhex("04000101"))
    body = dlt645.parse_reply("000000000002", read, octets("645-07-date-bad"))
    with pytest.raises(NotReadable, match="not BCD"):
        BcdForm(octets=4, signed=False).to_mantissa(body)


def test_two_frames_in_one_read_leave_no_doubt_about_the_answer() -> None:
    """The refusal and the time came in one read: with two frames from the meter, neither is taken."""
    with pytest.raises(FrameError, match="2 answers"):
        dlt645.parse_reply("000006605518", Dlt645Read(bytes.fromhex("04000102")), octets("645-07-multi-stream"))


def test_the_settlement_register_is_not_taken_for_the_present_one() -> None:
    with pytest.raises(FrameError, match="answer for 00010001"):
        dlt645.parse_reply("000000130495", Dlt645Read(bytes.fromhex("00010000")), octets("645-07-settle1"))


def test_an_answer_that_goes_on_in_another_frame_is_refused_as_a_whole_one() -> None:
    with pytest.raises(FrameError, match="further frames"):
        dlt645.parse_reply("000000000161", Dlt645Read(bytes.fromhex("0001FF00")), octets("645-07-der-b1"))


Kept = tuple[RegisterType, WordOrder, tuple[bytes, ...]]


def kept(kind: str, order: str = "ABCD", invalid: tuple[bytes, ...] = ()) -> Kept:
    """How a number of some type and order is kept."""
    return RegisterType(kind), WordOrder(order), invalid


MODBUS = [
    ("mb-sdm630-v", ModbusRead(4, 0, 6), FloatForm(*kept("f32"), power=1), [2302, 2298, 2315]),
    ("mb-dtsu666-v", ModbusRead(3, 0x2006, 6), FloatForm(*kept("f32"), power=0), [2302, 2298, 2315]),
    ("mb-abb-e", ModbusRead(3, 0x5000, 4), IntegerForm(*kept("u64")), [1234567]),
    ("mb-abb-na", ModbusRead(3, 0x5004, 4), IntegerForm(*kept("u64", invalid=(b"\xff" * 8,))), [None]),
    ("mb-em24-p", ModbusRead(4, 0x28, 2), IntegerForm(*kept("s32", "CDAB")), [-1234]),
    ("mb-pac2200-e", ModbusRead(3, 801, 4), FloatForm(*kept("f64"), power=0), [12345678]),  # counts Wh
    ("mb-iem-e", ModbusRead(3, 0x0C83, 4), IntegerForm(*kept("s64")), [9876543]),
]


@pytest.mark.parametrize(("frame_id", "read", "form", "mantissas"), MODBUS, ids=[row[0] for row in MODBUS])
def test_a_modbus_answer_gives_the_stated_numbers(
    frame_id: str, read: ModbusRead, form: IntegerForm | FloatForm, mantissas: list[int | None]
) -> None:
    body = modbus_rtu.parse_reply("1", read, octets(frame_id))
    parts = [body[at : at + form.octets] for at in range(0, len(body), form.octets)]
    assert [form.to_mantissa(part) for part in parts] == mantissas


def test_a_modbus_request_and_a_refusal_are_understood() -> None:
    assert modbus_rtu.parse_request(octets("mb-sdm630-req")) == ("1", ModbusRead(4, 0, 6))
    with pytest.raises(ExceptionReply, match="illegal register address"):
        modbus_rtu.parse_reply("1", ModbusRead(4, 0x5C, 2), octets("mb-exc2"))


def test_every_modbus_frame_is_used() -> None:
    used = {row[0] for row in MODBUS} | {"mb-sdm630-req", "mb-exc2"}
    assert used >= {frame["id"] for frame in FRAMES.values() if frame["protocol"] == "Modbus-RTU"}
