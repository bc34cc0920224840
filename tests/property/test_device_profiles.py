"""Properties of the meter side: whatever octets come, the outcome is a right mantissa or our own error."""

from __future__ import annotations

import contextlib
import itertools
import struct
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.catalogue import SHIPPED_DIR, Catalogue
from device_profiles.decode import ProfileMismatch, decode_group, register_readings
from device_profiles.families.modbus import ModbusSource
from device_profiles.forms import BcdForm, IntegerForm, RegisterType, WordOrder
from device_profiles.framing import codec_of, dlt645, modbus_rtu
from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.profile import Channel, Profile, Protocol
from device_profiles.profile_file import profile_from_canonical, profile_from_toml
from device_profiles.read_plan import Dlt645Read, ModbusRead, ReadRequest, plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.envelope import EnvelopeMalformed, decode_canonical, encode
from metering.errors import DocumentError, MeterError
from metering.identity import MeterId
from metering.obis import Obis
from metering.reading import MeterReading, ReadQuality
from metering.toml_source import TomlSource

METER = MeterId("m-1")
PATHS = sorted(SHIPPED_DIR.rglob("*.toml"))
MARK = datetime(2026, 7, 1, tzinfo=UTC)
PROFILES = tuple(
    map(Catalogue.shipped().by_id, ("acrel/adl400", "chint/dtsu666", "dlt645/three-phase", "eastron/sdm630"))
)
"""One for each way to keep numbers side by side; every shipped profile is in test_every_profile.py and the captures."""
LINKS = [(profile, protocol) for profile in PROFILES for protocol in profile.links]
LINK_IDS = [f"{profile.id}-{protocol}" for profile, protocol in LINKS]
profile_links = pytest.mark.parametrize(("profile", "protocol"), LINKS, ids=LINK_IDS)

READS: dict[Protocol, ReadRequest] = {
    Protocol.MODBUS_RTU: ModbusRead(4, 0x48, 4),
    Protocol.MODBUS_TCP: ModbusRead(4, 0x48, 4),
    Protocol.DLT645_2007: Dlt645Read(bytes.fromhex("00010000")),
}


def address_of(protocol: Protocol) -> str:
    """An address of the protocol's form."""
    return "17" if protocol.is_modbus else "202607010017"


class World:
    """One register for every channel."""

    def __init__(self, registers: dict[Obis, int]) -> None:
        self.registers = registers

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return self.registers[obis]


def read_by_frames(profile: Profile, protocol: Protocol, group: str, world: World) -> tuple[int | None, ...]:
    """Read a group of a simulated meter over real frames."""
    meter = SimulatedMeter(METER, profile, protocol, address_of(protocol))
    codec: Any = codec_of(protocol)
    bodies = []
    for read in plan_reads(profile, protocol, profile.group(group)):
        reply = meter.answer(codec.build_request(meter.address, read), world)
        assert reply is not None
        bodies.append(codec.parse_reply(meter.address, read, reply))
    return decode_group(profile, protocol, profile.group(group), bodies)


def shown_by(channel: Channel, register: int) -> int:
    """What the model shows of a true register, computed apart from the code under test."""
    exact = Fraction(register) / (channel.unit.factor * Fraction(10) ** channel.exponent)
    mantissa = exact.numerator // exact.denominator
    if channel.modulus is not None:
        mantissa %= channel.modulus
    source = channel.source
    if isinstance(source, ModbusSource) and source.type is RegisterType.F32:
        scale = Fraction(10) ** (channel.exponent - source.exponent)
        as_float = struct.unpack("<f", struct.pack("<f", float(mantissa * scale)))[0]
        return round(Fraction(as_float) / scale)
    return mantissa


@pytest.mark.parametrize("protocol", list(READS))
@given(octets=st.binary(max_size=300))
def test_any_octets_are_a_body_or_our_error(protocol: Protocol, octets: bytes) -> None:
    codec: Any = codec_of(protocol)
    try:
        exchange = next(codec.converse(address_of(protocol), READS[protocol]))
        exchange.octets_expected(octets)
        assert exchange.check is not None
        assert isinstance(exchange.check(octets), bytes)
    except MeterError:
        pass


@pytest.mark.parametrize("protocol", list(READS))
@given(at=st.integers(0, 40), octet=st.integers(0, 255), cut=st.integers(0, 40), extra=st.binary(max_size=12))
def test_a_mutated_reply_is_the_same_body_or_our_error(
    protocol: Protocol, at: int, octet: int, cut: int, extra: bytes
) -> None:
    """One changed octet, a cut or an appended tail never gives another body."""
    profile = next(profile for profile, spoken in LINKS if spoken is protocol and profile.id != "acrel/adl400")
    read = plan_reads(profile, protocol, profile.group("billing"))[0]
    meter = SimulatedMeter(METER, profile, protocol, address_of(protocol))
    codec: Any = codec_of(protocol)
    world = World({channel.obis: 123_450 for channel in profile.group("billing").channels})
    reply = meter.answer(codec.build_request(meter.address, read), world)
    assert reply is not None
    body = codec.parse_reply(meter.address, read, reply)
    changed = bytearray(reply)
    changed[at % len(reply)] = octet
    # TCP has no check octets of its own: its checksum is the network's, so only header and length can be wrong here.
    mutants = [reply[: cut % len(reply)], reply + extra]
    mutants += [bytes(changed)] if protocol is not Protocol.MODBUS_TCP or at % len(reply) < 9 else []
    for mutant in mutants:
        with contextlib.suppress(MeterError):
            assert codec.parse_reply(meter.address, read, mutant) == body


@profile_links
@given(source=st.data())
def test_any_bodies_decode_within_the_limits_or_not_at_all(
    profile: Profile, protocol: Protocol, source: st.DataObject
) -> None:
    for group in profile.groups:
        reads = plan_reads(profile, protocol, group)
        lengths = st.sampled_from([2, 3, 4, 6, 9, 12, 20, 24, 28, 40, 46])
        bodies = [
            source.draw(
                st.binary(min_size=2 * read.count, max_size=2 * read.count)
                if isinstance(read, ModbusRead)
                else lengths.flatmap(lambda length: st.binary(min_size=length, max_size=length))
            )
            for read in reads
        ]
        try:
            mantissas = decode_group(profile, protocol, group, bodies)
        except ProfileMismatch:
            continue
        for channel, mantissa in zip(group.channels, mantissas, strict=True):
            least, most = channel.limits
            assert mantissa is None or (type(mantissa) is int and least <= mantissa <= most)


@profile_links
@given(registers=st.lists(st.integers(0, 2 * 10**10), min_size=5, max_size=5))
def test_energy_comes_through_frames_as_the_model_shows_it(
    profile: Profile, protocol: Protocol, registers: list[int]
) -> None:
    for group in profile.groups:
        if group.name == "status":
            continue
        world = World(dict(zip((channel.obis for channel in group.channels), registers, strict=False)))
        mantissas = read_by_frames(profile, protocol, group.name, world)
        assert mantissas == tuple(shown_by(channel, world.registers[channel.obis]) for channel in group.channels)


@profile_links
@given(
    volts_mv=st.integers(0, 400_000),
    amperes_ma=st.integers(0, 99_000),
    power_w=st.integers(-79_999, 79_999),
    frequency_mhz=st.integers(45_000, 65_999),
)
def test_gauges_come_through_frames_as_the_model_shows_them(
    profile: Profile, protocol: Protocol, volts_mv: int, amperes_ma: int, power_w: int, frequency_mhz: int
) -> None:
    by_quantity = {32: volts_mv, 52: volts_mv, 72: volts_mv, 31: amperes_ma, 51: amperes_ma, 71: amperes_ma}
    group = profile.group("status")
    world = World(
        {
            channel.obis: frequency_mhz if channel.obis.c == 14 else by_quantity.get(channel.obis.c, power_w)
            for channel in group.channels
        }
    )
    mantissas = read_by_frames(profile, protocol, "status", world)
    assert mantissas == tuple(shown_by(channel, world.registers[channel.obis]) for channel in group.channels)


@profile_links
@given(start=st.integers(0, 2**40), steps=st.lists(st.integers(0, 100_000), min_size=1, max_size=6))
def test_differences_modulo_the_modulus_are_the_energy(
    profile: Profile, protocol: Protocol, start: int, steps: list[int]
) -> None:
    """Over any number of rollovers the shown steps add up to the true energy, to the register's resolution."""
    channel, other = profile.group("billing").channels
    if channel.modulus is None:
        return
    resolution_wh = channel.shown(1).to_base()
    register = start
    shown = [read_by_frames(profile, protocol, "billing", World({channel.obis: register, other.obis: 0}))[0]]
    for step in steps:
        register += step
        shown.append(read_by_frames(profile, protocol, "billing", World({channel.obis: register, other.obis: 0}))[0])
    assert all(mantissa is not None and 0 <= mantissa < channel.modulus for mantissa in shown)
    differences = [(after - before) % channel.modulus for before, after in itertools.pairwise(shown)]  # type: ignore[operator]
    assert sum(differences) == register // resolution_wh - start // resolution_wh


@given(register=st.integers(0, 2**24 * 100))
def test_a_float_counter_never_falls_while_the_true_one_rises(register: int) -> None:
    channel = Catalogue.shipped().by_id("chint/dtsu666").group("billing").channels[0]
    assert shown_by(channel, register) <= shown_by(channel, register + 10)


@given(
    kind=st.sampled_from([kind for kind in RegisterType if not kind.is_float]),
    order=st.sampled_from(list(WordOrder)),
    source=st.data(),
)
def test_an_integer_form_reads_what_it_writes(kind: RegisterType, order: WordOrder, source: st.DataObject) -> None:
    form = IntegerForm(kind, order)
    wire = source.draw(st.binary(min_size=form.octets, max_size=form.octets))
    mantissa = form.to_mantissa(wire)
    assert mantissa is not None
    assert form.to_octets(mantissa) == wire


@given(digits=st.integers(0, 10**8 - 1), signed=st.booleans(), negative=st.booleans())
def test_a_bcd_form_reads_what_it_writes(digits: int, signed: bool, negative: bool) -> None:
    form = BcdForm(octets=4, signed=signed)
    mantissa = (-digits if negative else digits) % (80_000_000 * (-1 if negative else 1)) if signed else digits
    assert form.to_mantissa(form.to_octets(mantissa)) == mantissa


ENDS = request_ends((Protocol.MODBUS_RTU, Protocol.DLT645_2007))
REQUESTS = st.one_of(
    st.builds(
        lambda unit, function, address, count: modbus_rtu.build_request(
            str(unit), ModbusRead(function, address, count)
        ),
        st.integers(1, 247),
        st.sampled_from([3, 4]),
        st.integers(0, 0xFF00),
        st.integers(1, 125),
    ),
    st.builds(
        lambda digits, di: dlt645.build_request(f"{digits:012d}", Dlt645Read(di)),
        st.integers(0, 10**12 - 2),
        st.binary(min_size=4, max_size=4),
    ),
)


@given(requests=st.lists(REQUESTS, min_size=1, max_size=6), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_requests_of_two_protocols_are_found_however_the_octets_arrive(requests: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(requests)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    found: list[bytes] = []
    rest = b""
    for start, end in itertools.pairwise(places):
        parts, rest = split_requests(rest + stream[start:end], ENDS)
        found += parts
    assert found == [request.lstrip(b"\xfe") if request[0] == 0xFE else request for request in requests]


@given(octets=st.binary(max_size=600))
def test_noise_on_a_shared_line_is_bounded_and_never_a_crash(octets: bytes) -> None:
    requests, rest = split_requests(octets, request_ends(Protocol))
    assert len(rest) <= 212
    assert sum(map(len, requests)) + len(rest) <= len(octets)


@given(noise=st.binary(max_size=20).filter(lambda octets: b"\x68" not in octets), body=st.binary(max_size=60))
def test_a_dlt645_frame_is_found_behind_any_noise_without_a_start(noise: bytes, body: bytes) -> None:
    read = Dlt645Read(bytes.fromhex("0001FF00"))
    frame = noise + dlt645.build_reply("000000000161", read, body)
    assert dlt645.parse_reply("000000000161", read, frame) == body
    assert dlt645.octets_expected(read, frame) == len(frame)


ANY_CBOR = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=6,
)


def places_in(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give every place in nested content."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place, *(below for key, part in inner for below in places_in(part, (*place, key)))]


@given(source=st.data(), part=ANY_CBOR)
def test_any_change_of_a_canonical_profile_is_another_profile_or_a_fault(source: st.DataObject, part: Any) -> None:
    profile = source.draw(st.sampled_from(Catalogue.shipped().profiles))
    content = decode_canonical(profile.canonical)
    place = source.draw(st.sampled_from(places_in(content)[1:]))
    owner = content
    for key in place[:-1]:
        owner = owner[key]
    owner[place[-1]] = part
    try:
        changed = profile_from_canonical(encode(content))
    except (DocumentError, EnvelopeMalformed):
        return
    assert (changed == profile) is (encode(content) == profile.canonical)


@given(octets=st.binary(max_size=200))
def test_any_octets_are_a_profile_or_our_error(octets: bytes) -> None:
    with pytest.raises((DocumentError, EnvelopeMalformed)):
        profile_from_canonical(octets)


@given(source=st.data())
def test_a_profile_with_any_line_left_out_is_a_profile_or_faults_with_lines(source: st.DataObject) -> None:
    path = source.draw(st.sampled_from(PATHS))
    lines = path.read_text(encoding="utf-8").splitlines()
    del lines[source.draw(st.integers(0, len(lines) - 1))]
    try:
        profile_from_toml(TomlSource.parse("\n".join(lines), path.name))
    except DocumentError as error:
        faults = error.faults
    else:
        faults = ()
    assert all(1 <= fault.line <= len(lines) + 1 for fault in faults)


@given(
    group=st.integers(-1, 300),
    quality=st.sampled_from(list(ReadQuality)),
    mantissas=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=6),
)
def test_any_signed_reading_is_within_its_registers_or_refused(
    group: int, quality: ReadQuality, mantissas: list[int | None]
) -> None:
    for profile in PROFILES:
        reading = MeterReading(METER, profile.hash, group, MARK, MARK, quality, tuple(mantissas))
        try:
            registers = register_readings(profile, reading, MARK)
        except ProfileMismatch:
            continue
        for channel, register in zip(profile.groups[group].channels, registers, strict=True):
            if register.shown is not None:
                assert channel.limits[0] <= register.shown.mantissa <= channel.limits[1]
