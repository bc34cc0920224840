"""Every public M-Bus and IEC 62056-21 frame we know of, through the codecs and readers that bill.

`mbus_and_iec_frames.json` beside this file names the source of each frame. A larger collection is read too where
METERTREE_SHARED points to its folder.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from device_profiles.framing import mbus_frame
from device_profiles.framing.conversation import Exchange, NoSecrets, drive
from device_profiles.framing.errors import ExceptionReply
from device_profiles.framing.iec62056_21 import (
    BlockCheck,
    Iec62056Read,
    asked_address,
    block_in,
    block_octets,
    chosen_mode,
    converse,
    identification_in,
    named,
    with_check,
)
from device_profiles.framing.iec62056_lines import data_sets
from device_profiles.framing.mbus_address import MbusAddress
from device_profiles.framing.mbus_numbers import number_in, seconds_in
from device_profiles.framing.mbus_records import MbusRecord, MbusTelegram, telegram_from_user
from metering.errors import MeterError

Frame = dict[str, Any]


def collected() -> dict[str, Frame]:
    """Give the frames of this folder, and of the shared collection where there is one, by id."""
    paths = [Path(__file__).with_name("mbus_and_iec_frames.json")]
    if shared := os.environ.get("METERTREE_SHARED"):
        paths += [
            path for path in (Path(shared) / "data" / "frames.json", Path(shared) / "frames.json") if path.exists()
        ]
    frames = [frame for path in paths for frame in json.loads(path.read_text(encoding="utf-8"))]
    return {frame["id"]: frame for frame in frames if frame["protocol"] in ("M-Bus", "IEC62056-21")}


FRAMES = collected()
MEDIA = {"Electricity": 2, "Gas": 3, "Warm water": 6, "Cold water": 0x16}


def octets(frame_id: str) -> bytes:
    """Give the octets of a frame."""
    return bytes.fromhex(FRAMES[frame_id]["hex"])


def telegram_of(frame_id: str) -> MbusTelegram:
    """Take a frame apart."""
    return telegram_from_user(mbus_frame.telegram_in(octets(frame_id)).user)


def of(protocol: str) -> list[Any]:
    """Give frames for parametrisation."""
    return [pytest.param(frame, id=frame["id"]) for frame in FRAMES.values() if frame["protocol"] == protocol]


@pytest.mark.parametrize("frame", of("M-Bus"))
def test_an_mbus_frame_is_found_whole_and_written_the_same(frame: Frame) -> None:
    wire = bytes.fromhex(frame["hex"])
    if wire == mbus_frame.ACKNOWLEDGE:
        mbus_frame.require_acknowledge(wire)
        return
    frames, rest = mbus_frame.scan(wire)
    assert rest == b""
    assert b"".join(each.to_wire() for each in frames) == wire
    assert frames[0].is_echo is (frame["type"] == "request")


WITH_HEADER = [
    frame for frame in of("M-Bus") if "id" in frame.values[0]["expected"] or "medium" in frame.values[0]["expected"]
]


@pytest.mark.parametrize("frame", WITH_HEADER)
def test_a_telegram_names_its_meter(frame: Frame) -> None:
    telegram, expected = telegram_of(frame["id"]), frame["expected"]
    assert int(telegram.identification) == int(expected["id"])
    assert telegram.medium == MEDIA[expected["medium"]]
    assert telegram.manufacturer == expected.get("manufacturer", telegram.manufacturer)
    assert not telegram.more_follows or telegram.manufacturer_octets == b""


def first(telegram: MbusTelegram, quantity: str, storage: int = 0, tariff: int = 0) -> MbusRecord:
    """Give the first record of a quantity."""
    return next(
        record
        for record in telegram.records
        if (record.measure.quantity, record.storage, record.tariff) == (quantity, storage, tariff)
    )


NUMBERS = [
    ("mbus-itron-bm", "volume_m3", "volume", 0, 0, 1_000_000),
    ("mbus-cyble-gas", "volume_m3", "volume", 0, 0, 1_000_000),
    ("mbus-cyble-gas", "stored_volume_m3", "volume", 1, 0, 1_000_000),
    ("mbus-siemens-water", "volume_m3", "volume", 0, 0, 1_000_000),
    ("mbus-siemens-water", "on_time_s", "on-time", 0, 0, 1),
    ("mbus-emh-diz", "tariff1_energy_wh", "energy", 0, 1, 1),
]


@pytest.mark.parametrize(("frame_id", "key", "quantity", "storage", "tariff", "unit"), NUMBERS)
def test_a_record_gives_the_stated_number_exactly(
    frame_id: str, key: str, quantity: str, storage: int, tariff: int, unit: int
) -> None:
    record = first(telegram_of(frame_id), quantity, storage, tariff)
    number = number_in(record)
    assert number is not None
    assert number * record.measure.factor == Fraction(Decimal(FRAMES[frame_id]["expected"][key])) * unit


@pytest.mark.parametrize("frame_id", ["mbus-itron-bm", "mbus-cyble-gas"])
def test_a_record_gives_the_meters_own_time(frame_id: str) -> None:
    seconds = seconds_in(first(telegram_of(frame_id), "date-time"))
    assert seconds is not None
    assert datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M") == FRAMES[frame_id]["expected"]["time"]


def test_a_busy_meter_is_a_refusal_and_never_a_number() -> None:
    with pytest.raises(ExceptionReply, match="busy") as caught:
        telegram_of("mbus-app-busy")
    assert caught.value.code == 8


def test_the_public_selection_is_ours() -> None:
    address = MbusAddress.parse("12345678")
    assert mbus_frame.MbusFrame(0x73, mbus_frame.SELECTED, b"\x52" + address.mask).to_wire() == octets("mbus-select")


def check_of(frame: Frame) -> BlockCheck:
    """Give how the meter of a capture makes its check octet."""
    return BlockCheck.SUM if "sum" in frame["expected"].get("check", "") else BlockCheck.XOR


BLOCKS = [frame for frame in of("IEC62056-21") if frame.values[0]["hex"][:2] in ("01", "02")]


@pytest.mark.parametrize("frame", BLOCKS)
def test_a_block_passes_its_own_check_and_no_other(frame: Frame) -> None:
    wire, check = bytes.fromhex(frame["hex"]), check_of(frame)
    content = block_in(wire, check)
    assert block_octets(wire) == len(wire)
    assert with_check(wire[:-1], check) == wire
    assert wire == with_check(wire[:1] + content + wire[-2:-1], check)
    for at in range(len(wire)):
        if at == 0:
            continue  # SOH and STX differ in that very bit, and both may begin a block
        spoilt = wire[:at] + bytes((wire[at] ^ 0x01,)) + wire[at + 1 :]
        with pytest.raises(MeterError):
            block_in(spoilt, check)


@pytest.mark.parametrize("frame", [each for each in BLOCKS if "name" in each.values[0]["expected"]])
def test_an_answer_gives_the_stated_numbers(frame: Frame) -> None:
    expected = frame["expected"]
    content = named(expected["name"], block_in(bytes.fromhex(frame["hex"]), check_of(frame)))
    assert [entry.text.lstrip("0") or "0" for entry in data_sets(content)[0].entries] == [
        number.lstrip("0") or "0" for number in expected["values"]
    ]


def test_an_answer_without_a_name_is_a_refusal() -> None:
    with pytest.raises(ExceptionReply, match="refuses"):
        named("600700FF", block_in(octets("iec-neva-04"), BlockCheck.XOR))


def test_an_identification_offers_its_speed() -> None:
    meter = identification_in(octets("iec-neva-01"))
    assert (meter.maker, meter.baud, meter.text) == ("TPC", 9600, "NEVAMT324.2307")


def test_the_requests_of_a_captured_session_are_understood_by_the_meters_end() -> None:
    assert asked_address(octets("iec-ce-01")) == "141628345"
    assert chosen_mode(octets("iec-ce-03")) == "1"
    assert asked_address(octets("iec-ce-03")) is None


class Password(NoSecrets):
    """The password of the captured session."""

    def secret(self, name: str) -> bytes:
        """Give it."""
        assert name == "password"
        return b"777777"


def test_a_captured_session_in_programming_mode_is_held_again() -> None:
    """Sign-on, identification, P0, P1, then two names, on a meter that sums its check octets."""
    read = Iec62056Read(("ET0PE", "FREQU"), BlockCheck.SUM, switches=False, password=True)
    answers = {
        octets("iec-ce-01"): b"/EKT5CE102M\r\n",
        octets("iec-ce-03"): octets("iec-ce-04"),
        octets("iec-ce-05"): octets("iec-ce-06"),
        with_check(b"\x01R1\x02ET0PE()\x03", BlockCheck.SUM): octets("iec-ce-08"),
        with_check(b"\x01R1\x02FREQU()\x03", BlockCheck.SUM): octets("iec-ce-10"),
        with_check(b"\x01B0\x03", BlockCheck.SUM): b"",
    }

    def carry(exchange: Exchange) -> bytes:
        reply = answers[exchange.request]
        assert not exchange.expects_reply or exchange.octets_expected(reply) == len(reply)
        return reply

    body = drive(converse("141628345", read, Password()), carry)
    found = {each.name: [entry.text for entry in each.entries] for each in data_sets(body)}
    assert found == {"ET0PE": ["68.42", "45.54", "22.88", "0.00", "0.00", "0.00"], "FREQU": ["49.97"]}


def test_every_frame_of_the_collection_is_used() -> None:
    blocks = {param.values[0]["id"] for param in BLOCKS}
    lines = {"iec-ce-01", "iec-ce-03", "iec-ce-06", "iec-neva-01"}
    assert {each for each in FRAMES if each.startswith("iec-")} >= blocks | lines
    assert len([each for each in FRAMES if each.startswith("mbus-")]) >= 8
