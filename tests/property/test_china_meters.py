"""DL/T 645 and CJ/T 188: whatever octets come, a body or our error; whatever the parts, the whole or nothing."""

from __future__ import annotations

import contextlib
from calendar import timegm
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.families.dlt645_end import Dlt645Cell, Dlt645End
from device_profiles.families.fixed_layout import Cell
from device_profiles.forms import BcdForm
from device_profiles.framing import cjt188
from device_profiles.framing.cjt188 import Cjt188Frame, Cjt188Read, Cjt188ReadAddress
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.dlt645 import (
    CODEC_1997,
    CODEC_2007,
    Dlt645Frame,
    Dlt645Freeze,
    Dlt645Read,
    Dlt645ReadAddress,
)
from device_profiles.framing.dlt645_codec import Dlt645Codec
from device_profiles.profile import Protocol
from device_profiles.wall_time import WallTimeForm
from metering.errors import MeterError
from metering.obis import Obis

METER = "000000000161"
WATER = "78330011223344"
OBIS = Obis.parse("1-0:1.8.0")
EDITIONS = pytest.mark.parametrize(
    ("codec", "identifier"),
    [(CODEC_2007, bytes.fromhex("0001FF00")), (CODEC_1997, bytes.fromhex("901F"))],
    ids=["2007", "1997"],
)


class Answers:
    """Gives one answer after the other, the last one for ever."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers

    def __call__(self, exchange: Exchange) -> bytes:
        """Give the next answer."""
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        exchange.octets_expected(answer)
        return answer


@EDITIONS
@given(answers=st.lists(st.binary(max_size=60), min_size=1, max_size=4), is_framed=st.booleans())
def test_any_answers_are_a_body_or_our_error(
    codec: Dlt645Codec, identifier: bytes, answers: list[bytes], is_framed: bool
) -> None:
    """Also answers with a right checksum and the right address that are wrong further inside."""
    if is_framed:
        answers = [
            Dlt645Frame(METER, each[0] | 0x80, identifier[::-1] + each[1:]).to_wire() if each else b""
            for each in answers
        ]
    requests = [Dlt645Read(identifier), Dlt645Read(identifier, identifier), Dlt645ReadAddress()]
    for request in [*requests, *([Dlt645Freeze()] if codec is CODEC_2007 else [])]:
        with contextlib.suppress(MeterError):
            assert isinstance(drive(codec.converse(METER, request), Answers([*answers])), bytes)


@given(answer=st.binary(max_size=80), control=st.integers(0, 255), is_framed=st.booleans())
def test_any_answer_of_a_water_meter_is_a_body_or_our_error(answer: bytes, control: int, is_framed: bool) -> None:
    reply = Cjt188Frame(0x10, WATER, control, answer).to_wire() if is_framed else answer
    for request in (Cjt188Read(bytes.fromhex("901F"), 0x10), Cjt188ReadAddress()):
        with contextlib.suppress(MeterError):
            assert isinstance(drive(cjt188.converse(WATER, request), Answers([reply])), bytes)


@EDITIONS
@given(register=st.integers(0, 99_999_999), part_octets=st.integers(1, 40), count=st.integers(1, 9))
def test_an_answer_in_any_parts_is_the_whole(
    codec: Dlt645Codec, identifier: bytes, register: int, part_octets: int, count: int
) -> None:
    form = BcdForm(octets=4, signed=False)
    cells = [Dlt645Cell(Cell(OBIS, 4 * at, form, 1, 1, None), 4 * count, 0, is_frozen=False) for at in range(count)]
    end = Dlt645End(codec, METER, OBIS, lambda _: register, {identifier: cells}, part_octets=part_octets)
    conversation = codec.converse(METER, Dlt645Read(identifier))
    if -(-4 * count // part_octets) > 17:
        with pytest.raises(MeterError, match="beyond 16 follow-up frames"):
            drive(conversation, lambda exchange: end.answer(exchange.request) or b"")
        return
    body = drive(conversation, lambda exchange: end.answer(exchange.request) or b"")
    assert body == form.to_octets(register) * count


@EDITIONS
@given(at=st.integers(0, 5), is_repeated=st.booleans())
def test_a_lost_or_repeated_part_never_gives_another_body(
    codec: Dlt645Codec, identifier: bytes, at: int, is_repeated: bool
) -> None:
    """A lost part shows by its number in 2007, by the length in 1997; a repeated one in 2007 alone."""
    if is_repeated and codec is CODEC_1997:
        return
    form = BcdForm(octets=4, signed=False)
    tariffs = [Obis(1, 0, 1, 8, tariff) for tariff in range(5)]
    cells = [Dlt645Cell(Cell(obis, 4 * obis.e, form, 1, 1, None), 20, 0, is_frozen=False) for obis in tariffs]
    end = Dlt645End(codec, METER, OBIS, lambda obis: 1111 * obis.e, {identifier: cells}, part_octets=4)
    kept: list[bytes] = []

    def carry(exchange: Exchange) -> bytes:
        reply = end.answer(exchange.request) or b""
        if len(kept) == at:
            reply = (kept[-1:] or [reply])[0] if is_repeated else end.answer(exchange.request) or b""
        kept.append(reply)
        return reply

    try:
        body = drive(codec.converse(METER, Dlt645Read(identifier)), carry)
    except MeterError:
        return
    assert len(body) != 20 or body == b"".join(form.to_octets(1111 * obis.e) for obis in tariffs)


@given(
    moment=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31, 23, 59, 59)),
    layout=st.permutations(["YY", "MM", "DD", "WW", "hh", "mm", "ss"]),
)
def test_a_moment_comes_through_any_layout(moment: datetime, layout: list[str]) -> None:
    form = WallTimeForm("".join(layout))
    seconds = timegm(moment.timetuple())
    assert form.to_mantissa(form.to_octets(seconds)) == seconds


@given(wire=st.binary(min_size=7, max_size=7))
def test_any_octets_are_a_moment_that_reads_the_same_or_none(wire: bytes) -> None:
    form = WallTimeForm("ssmmhhDDMMYYCC")
    seconds = form.to_mantissa(wire)
    if seconds is not None:
        assert form.to_octets(seconds) == wire


@given(number=st.integers(0, 99_999_999), unit=st.integers(0, 255), rest=st.binary(min_size=38, max_size=38))
def test_a_heat_counter_is_exact_or_refused_whatever_unit_comes(number: int, unit: int, rest: bytes) -> None:
    body = rest[:5] + BcdForm(octets=4, signed=False).to_octets(number) + bytes((unit,)) + rest[5:]
    body = body[:43]
    for name, code, kilojoules in (("kwh", 0x05, 36), ("mwh", 0x08, 36_000), ("gj", 0x11, 10_000)):
        profile = Catalogue.shipped().by_id(f"cjt188/heat-{name}")
        group = profile.group("billing")
        try:
            (mantissa,) = decode_group(profile, Protocol.CJT188_2004, group, [body])
        except MeterError:
            assert unit != code
        else:
            assert unit == code
            assert mantissa is not None
            assert group.channels[0].shown(mantissa).to_base() == number * kilojoules
