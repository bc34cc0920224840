"""Every public frame of DL/T 645-1997, CJ/T 188 and of DL/T 645's commands that we know of, through what bills.

`frames_645_188.json` beside this file names the source of each frame.
"""

from __future__ import annotations

import json
from calendar import timegm
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import ProfileMismatch, decode_answer
from device_profiles.forms import BcdForm
from device_profiles.framing import cjt188, cjt188_frame, dlt645
from device_profiles.framing.cjt188 import Cjt188Read, Cjt188ReadAddress
from device_profiles.framing.conversation import drive
from device_profiles.framing.dlt645 import ANY_METER, CODEC_1997, CODEC_2007, Dlt645Read, Dlt645ReadAddress
from device_profiles.framing.errors import FrameError
from device_profiles.profile import Profile

Frame = dict[str, Any]
FRAMES: list[Frame] = json.loads(Path(__file__).with_name("frames_645_188.json").read_text(encoding="utf-8"))
BY_ID = {frame["id"]: frame for frame in FRAMES}
CATALOGUE = Catalogue.shipped()

# What the 1997 edition says of each identifier: octets of the number, decimals.
ITEMS_1997 = {"9010": (4, 2), "B611": (2, 0), "B612": (2, 0), "B621": (2, 2), "B630": (3, 4), "C032": (6, 0)}


def of(protocol: str, *kinds: str, valid: bool = True) -> list[Any]:
    """Give frames for parametrisation."""
    return [
        pytest.param(frame, id=frame["id"])
        for frame in FRAMES
        if frame["protocol"] == protocol and frame["type"] in kinds and frame["valid"] is valid
    ]


def octets(frame: Frame) -> bytes:
    """Give the octets of a frame."""
    return bytes.fromhex(frame["hex"])


@pytest.mark.parametrize("frame", of("DL/T645-1997", "request", "response"))
def test_a_1997_frame_is_found_with_its_address_and_control(frame: Frame) -> None:
    found, rest = dlt645.scan(octets(frame))
    assert (len(found), rest) == (1, b"")
    assert (found[0].address, f"0x{found[0].control:02X}") == (
        frame["expected"]["address"],
        frame["expected"]["control"],
    )


@pytest.mark.parametrize(
    "frame", [each for each in of("DL/T645-1997", "response") if "value" in each.values[0]["expected"]]
)
def test_a_1997_answer_gives_the_stated_number(frame: Frame) -> None:
    expected = frame["expected"]
    read = Dlt645Read(bytes.fromhex(expected["di"]))
    body = drive(CODEC_1997.converse(expected["address"], read), lambda _: octets(frame))
    length, decimals = ITEMS_1997[expected["di"]]
    mantissa = BcdForm(octets=length, signed=False).to_mantissa(body)
    assert mantissa == int(Decimal(expected["value"]).scaleb(decimals))


@pytest.mark.parametrize("frame", of("DL/T645-1997", "request"))
def test_a_1997_request_is_built_and_understood(frame: Frame) -> None:
    expected = frame["expected"]
    address, request = CODEC_1997.parse_request(octets(frame))
    assert address == expected["address"]
    asks_address = expected["di"] == "C032" and address == ANY_METER
    assert request == (Dlt645ReadAddress() if asks_address else Dlt645Read(bytes.fromhex(expected["di"])))
    assert CODEC_1997.build_request(address, request).lstrip(b"\xfe") == octets(frame).lstrip(b"\xfe")


def test_a_meter_that_answers_under_the_common_address_is_read_but_its_address_is_not_learned() -> None:
    wild = BY_ID["645-97-wild"]
    read = Dlt645Read(bytes.fromhex("9010"))
    assert drive(CODEC_1997.converse(ANY_METER, read), lambda _: octets(wild)) == bytes.fromhex("61720200")
    with pytest.raises(FrameError, match="answer from meter AAAAAAAAAAAA"):
        drive(CODEC_1997.converse("000000000001", read), lambda _: octets(wild))
    with pytest.raises(FrameError, match="answer for 9010"):
        drive(CODEC_1997.converse(ANY_METER, Dlt645ReadAddress()), lambda _: octets(wild))


def test_the_address_of_a_1997_meter_is_read_by_its_number() -> None:
    answer = octets(BY_ID["645-97-addr"])
    assert drive(CODEC_1997.converse(ANY_METER, Dlt645ReadAddress()), lambda _: answer) == bytes(6)


@pytest.mark.parametrize("frame_id", ["645-07-read-addr-resp3", "645-07-read-addr-resp4"])
def test_the_address_of_a_2007_meter_is_read(frame_id: str) -> None:
    frame = BY_ID[frame_id]
    conversation = CODEC_2007.converse(ANY_METER, Dlt645ReadAddress())
    asked: list[bytes] = []
    body = drive(conversation, lambda exchange: asked.append(exchange.request) or octets(frame))  # type: ignore[func-returns-value]
    assert asked == [octets(BY_ID["645-07-read-addr-req"])]
    assert body.hex() == frame["expected"]["address"]


@pytest.mark.parametrize("frame", of("DL/T645-2007", "broadcast"))
def test_the_broadcast_time_is_sent_as_collectors_in_use_send_it(frame: Frame) -> None:
    for codec in (CODEC_2007, CODEC_1997):
        exchange = next(codec.set_time(datetime.fromisoformat(frame["expected"]["time"])))
        assert exchange.request.lstrip(b"\xfe") == octets(frame)
        assert not exchange.expects_reply


@pytest.mark.parametrize("frame", of("CJ/T188", "request", "response"))
def test_a_cjt188_frame_is_found_with_its_address_type_and_control(frame: Frame) -> None:
    found, rest = cjt188.scan(octets(frame))
    expected = frame["expected"]
    assert (len(found), rest) == (1, b"")
    assert found[0].address == expected["address"]
    assert (found[0].meter_type, found[0].control) == (int(expected["meter_type"], 16), int(expected["control"], 16))
    assert cjt188.scan(found[0].to_wire()) == (found, b"")


@pytest.mark.parametrize("frame", of("CJ/T188", "request", "response", valid=False))
def test_a_cjt188_frame_with_a_wrong_checksum_is_never_found(frame: Frame) -> None:
    assert cjt188.scan(octets(frame))[0] == []


@pytest.mark.parametrize("frame", of("CJ/T188", "request"))
def test_a_cjt188_request_is_built_and_understood(frame: Frame) -> None:
    address, read = cjt188.parse_request(octets(frame))
    assert address == frame["expected"]["address"]
    assert cjt188.build_request(address, read).lstrip(b"\xfe") == octets(frame).lstrip(b"\xfe")


def body_of(frame: Frame) -> tuple[Cjt188Read, bytes]:
    """Give read and body of an answer to 901F, the meter's number being repeated as it came."""
    found = cjt188.scan(octets(frame))[0][0]
    read = Cjt188Read(bytes.fromhex("901F"), found.meter_type, serial=found.field[2])
    return read, drive(cjt188.converse(found.address, read), lambda _: octets(frame))


def mantissas(profile: Profile, frame: Frame) -> dict[str, int | None]:
    """Give every channel of an answer by OBIS code."""
    return {str(obis): mantissa for obis, mantissa in decode_answer(profile, *body_of(frame)).items()}


def hundredths(text: str) -> int:
    """Give a number with a unit behind it, in hundredths."""
    return int(Decimal(text.split()[0]).scaleb(2))


VOLUMES = [each for each in of("CJ/T188", "response") if "current_volume" in each.values[0]["expected"]]
HEATS = [each for each in of("CJ/T188", "response") if "current_heat" in each.values[0]["expected"]]


@pytest.mark.parametrize("frame", VOLUMES)
def test_a_water_meter_gives_the_stated_volume(frame: Frame) -> None:
    expected = frame["expected"]
    found = mantissas(CATALOGUE.by_id("cjt188/cold-water"), frame)
    assert found["8-0:1.0.0"] == hundredths(expected["current_volume"])
    if "settlement_volume" in expected:
        assert found["8-0:1.0.0*1"] == hundredths(expected["settlement_volume"])
    if "meter_time" in expected:
        assert found["0-0:1.0.0"] == timegm(datetime.fromisoformat(expected["meter_time"]).timetuple())
    if "status" in expected:
        assert found["0-0:97.97.0"] == int.from_bytes(bytes.fromhex(expected["status"]), "little")


@pytest.mark.parametrize("frame", HEATS)
def test_a_heat_meter_gives_the_stated_numbers(frame: Frame) -> None:
    expected = frame["expected"]
    unit = expected["current_heat"].split()[1].lower()
    order = "-unit-first" if "unitfirst" in frame["id"] else ""
    found = mantissas(CATALOGUE.by_id(f"cjt188/heat-{unit}{order}"), frame)
    assert found["6-0:1.0.0"] == hundredths(expected["current_heat"])
    assert found["6-0:2.0.0"] == hundredths(expected["volume"])
    assert found["6-0:10.0.0"] == hundredths(expected["supply_temp"])
    assert found["6-0:11.0.0"] == hundredths(expected["return_temp"])
    assert found["6-0:31.0.0"] == int(expected["hours"])
    assert found["0-0:1.0.0"] == timegm(datetime.fromisoformat(expected["meter_time"]).timetuple())
    assert found["0-0:97.97.0"] == int.from_bytes(bytes.fromhex(expected["status"]), "little")


@pytest.mark.parametrize("frame", HEATS)
def test_a_heat_meter_read_by_any_other_profile_is_refused(frame: Frame) -> None:
    """Another unit, or another order of number and unit, never gives a number."""
    expected = frame["expected"]
    unit = expected["current_heat"].split()[1].lower()
    order = "-unit-first" if "unitfirst" in frame["id"] else ""
    own = f"cjt188/heat-{unit}{order}"
    others = [each for each in CATALOGUE.profiles if each.id.startswith("cjt188/heat") and each.id != own]
    assert len(others) == 4
    for profile in others:
        with pytest.raises(ProfileMismatch, match=r"unit|BCD|counts in"):
            mantissas(profile, frame)


@pytest.mark.parametrize(
    "frame", [each for each in of("CJ/T188", "response") if "refused" in each.values[0]["expected"]]
)
def test_a_unit_that_is_not_the_profiles_is_no_volume(frame: Frame) -> None:
    for profile_id in ("cjt188/cold-water", "cjt188/gas"):
        with pytest.raises(ProfileMismatch, match=frame["expected"]["refused"]):
            mantissas(CATALOGUE.by_id(profile_id), frame)


@pytest.mark.parametrize("frame_id", ["188-addr", "188-addr-2"])
def test_the_address_of_a_cjt188_meter_is_read(frame_id: str) -> None:
    frame = BY_ID[frame_id]
    read = Cjt188ReadAddress(serial=0)
    body = drive(cjt188.converse(cjt188_frame.ANY_METER, read), lambda _: octets(frame))
    assert body.hex().upper() == frame["expected"]["address"]


def test_a_frame_of_one_protocol_is_no_frame_of_the_other() -> None:
    for frame in FRAMES:
        if frame["valid"] and frame["protocol"] == "CJ/T188":
            assert dlt645.scan(octets(frame))[0] == [], frame["id"]
        elif frame["valid"]:
            assert cjt188.scan(octets(frame))[0] == [], frame["id"]


def test_every_frame_is_used() -> None:
    used = {
        param.id
        for kind in ("DL/T645-1997", "CJ/T188")
        for valid in (True, False)
        for param in of(kind, "request", "response", valid=valid)
    }
    used |= {param.id for param in of("DL/T645-2007", "broadcast")}
    used |= {"645-07-read-addr-req", "645-07-read-addr-resp3", "645-07-read-addr-resp4"}
    assert used == set(BY_ID)
    assert len(VOLUMES) >= 14
    assert len(HEATS) >= 8
