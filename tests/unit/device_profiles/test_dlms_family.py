"""DLMS profiles: what is planned, how bodies become mantissas, and every mistake with its line."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import ProfileMismatch, decode_group
from device_profiles.families.dlms import DLMS
from device_profiles.families.family import MeterEnd
from device_profiles.framing import codec_of, dlms, hdlc
from device_profiles.framing.acse import Mechanism
from device_profiles.framing.axdr import NULL, Data, DataTag, array, integer, octet_string, structure
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.cosem import ScalerUnit, moment_to_octets
from device_profiles.framing.dlms import DlmsRead
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.framing.xdlms import Attribute, NewestEntries, capture_object
from device_profiles.profile import Group, Profile, Protocol
from device_profiles.profile_file import profile_from_toml, read_profile
from device_profiles.read_plan import plan_reads
from metering.errors import DocumentError
from metering.obis import Obis
from metering.toml_source import TomlSource

HEAD = """
schema = 1
id = "dlms/tried"
rev = 1
medium = "electricity"
side = "primary"
evidence = "documents"
names = { zh = "试", en = "tried" }
sources = [{ title = "none" }]
[links.dlms-hdlc]
bauds = [9600]
parity = "N"
stop_bits = 1
reply_ms_max = 1000
client = 32
authentication = "low"
address_octets = 2
[[groups]]
name = "billing"
[[groups.channels]]
obis = "1-0:1.8.0"
unit = "kWh"
exponent = -2
kind = "counter"
"""
FIXED = 'dlms = { class = 3, obis = "1-0:1.8.0" }\n'
FOLLOWING = 'dlms = { class = 3, obis = "1-0:1.8.0", scaling = "meter" }\n'
OPTIONAL = 'dlms = { class = 3, obis = "1-0:1.8.0", optional = true }\n'
NEWEST = 'dlms = { class = 7, obis = "0-0:98.1.0", column = { class = 3, obis = "1-0:1.8.0" } }\n'
OBIS = Obis.parse("1-0:1.8.0")
NUMBER, SCALER = Attribute(3, OBIS, 2), Attribute(3, OBIS, 3)


def profile(text: str) -> Profile:
    """Read a profile."""
    return profile_from_toml(TomlSource.parse(HEAD + text, "tried.toml"))


def channel(obis: str, unit: str, exponent: int, kind: str, source: str) -> str:
    """Write a further channel."""
    head = f'[[groups.channels]]\nobis = "{obis}"\nunit = "{unit}"\nexponent = {exponent}\nkind = "{kind}"\n'
    return f"{head}dlms = {source}\n"


def group_and_read(tried: Profile) -> tuple[Group, DlmsRead]:
    """Give the billing group and its one read."""
    group = tried.group("billing")
    (read,) = plan_reads(tried, next(iter(tried.links)), group)
    assert isinstance(read, DlmsRead)
    return group, read


def decoded(text: str, *elements: Data) -> tuple[int | None, ...]:
    """Decode a body as the gateway does."""
    tried = profile(text)
    group, _ = group_and_read(tried)
    return decode_group(tried, Protocol.DLMS_HDLC, group, [b"".join(each.to_wire() for each in elements)])


def scaler(power: int, unit: int = 30) -> Data:
    """Give scaler and unit."""
    return ScalerUnit(power, unit).to_data()


def number(of: int, tag: DataTag = DataTag.DOUBLE_LONG_UNSIGNED) -> Data:
    """Give a register's number."""
    return integer(tag, of)


def test_a_group_is_one_read_of_each_attribute_once() -> None:
    more = channel("1-0:2.8.0", "kWh", -2, "counter", '{ class = 3, obis = "1-0:1.8.0" }')
    _, read = group_and_read(profile(FIXED + more))
    assert read.attributes == (SCALER, NUMBER)
    assert (read.options.client, read.options.mechanism, read.options.address_octets) == (32, Mechanism.LOW, 2)
    assert read.optional == frozenset()


def test_what_one_channel_needs_is_not_optional_for_the_other() -> None:
    more = channel("1-0:2.8.0", "kWh", -2, "counter", '{ class = 3, obis = "1-0:2.8.0", optional = true }')
    _, read = group_and_read(profile(FIXED + more))
    assert read.optional == {Attribute(3, Obis.parse("1-0:2.8.0"), at) for at in (2, 3)}
    _, read = group_and_read(profile(OPTIONAL + more.replace('"1-0:2.8.0", opt', '"1-0:1.8.0", opt')))
    assert read.optional == {NUMBER, SCALER}
    _, read = group_and_read(profile(FIXED + more.replace('"1-0:2.8.0", opt', '"1-0:1.8.0", opt')))
    assert read.optional == frozenset()


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ('{ class = 4, obis = "1-0:1.6.0" }', [(4, 3), (4, 2)]),
        ('{ class = 5, obis = "1-0:1.4.0", attribute = 3 }', [(5, 4), (5, 3)]),
        ('{ class = 1, obis = "1-0:1.8.0" }', [(1, 2)]),
    ],
)
def test_scalers_stand_where_the_class_has_them(source: str, asked: list[tuple[int, int]]) -> None:
    _, read = group_and_read(profile(f"dlms = {source}\n"))
    assert [(each.interface, each.number) for each in read.attributes] == asked


@pytest.mark.parametrize("tag", [DataTag.DOUBLE_LONG_UNSIGNED, DataTag.LONG64_UNSIGNED, DataTag.LONG64, DataTag.LONG])
def test_a_register_that_counts_as_the_profile_says(tag: DataTag) -> None:
    assert decoded(FIXED, scaler(1), number(12345, tag)) == (12345,)


@pytest.mark.parametrize("power", [0, 2, 3, -3])
def test_a_register_that_counts_otherwise_gives_no_reading(power: int) -> None:
    with pytest.raises(ProfileMismatch, match="another model, or is set otherwise"):
        decoded(FIXED, scaler(power), number(10))


@pytest.mark.parametrize(("power", "count", "mantissa"), [(0, 12340, 1234), (1, 7, 7), (3, 9, 900), (-1, 12300, 123)])
def test_a_scaler_of_the_meters_own_is_followed_exactly(power: int, count: int, mantissa: int) -> None:
    assert decoded(FOLLOWING, scaler(power), number(count)) == (mantissa,)


def test_energy_is_never_rounded() -> None:
    with pytest.raises(ProfileMismatch, match="no whole mantissa; it is not rounded"):
        decoded(FOLLOWING, scaler(0), number(12345))


@pytest.mark.parametrize("text", [FIXED, FOLLOWING])
def test_another_quantity_gives_no_reading(text: str) -> None:
    with pytest.raises(ProfileMismatch, match="the meter counts in varh, the profile says kWh"):
        decoded(text, scaler(1, 32), number(10))


@pytest.mark.parametrize(
    ("elements", "problem"),
    [
        ((scaler(1),), "1 answers for 2 attributes"),
        ((scaler(1), number(1), number(2)), "3 answers for 2"),
        ((number(1), scaler(1)), "scaler and unit is none"),
        ((scaler(1), octet_string(b"1234")), "OCTET_STRING is no number"),
        ((scaler(1), array(number(1))), "ARRAY is no number"),
        ((scaler(1), number(-1, DataTag.LONG)), "-1 is not within"),
        ((scaler(1), Data(DataTag.FLOAT32, octets=struct.pack(">f", 0.3))), "a counter is not rounded"),
        ((scaler(1), Data(DataTag.FLOAT64, octets=struct.pack(">d", float("inf")))), "an infinity"),
        ((NULL, number(5)), "scaler and unit is none"),
    ],
)
def test_a_body_of_another_form_gives_no_reading(elements: tuple[Data, ...], problem: str) -> None:
    with pytest.raises(ProfileMismatch, match=problem):
        decoded(FIXED, *elements)


def test_octets_that_are_no_data_give_no_reading() -> None:
    tried = profile(FIXED)
    with pytest.raises(ProfileMismatch, match="type 255 is not known"):
        decode_group(tried, Protocol.DLMS_HDLC, tried.group("billing"), [b"\xff"])


def test_null_data_is_no_value() -> None:
    assert decoded(FIXED, scaler(1), NULL) == (None,)
    assert decoded(OPTIONAL, NULL, NULL) == (None,)


def test_a_float_that_is_whole_is_exact_and_one_of_a_gauge_is_rounded() -> None:
    whole = Data(DataTag.FLOAT64, octets=struct.pack(">d", 12345.0))
    assert decoded(FIXED, scaler(1), whole) == (12345,)
    assert decoded(FIXED, scaler(1), Data(DataTag.FLOAT32, octets=struct.pack(">f", float("nan")))) == (None,)
    gauge = channel("1-0:32.7.0", "V", -1, "gauge", '{ class = 3, obis = "1-0:32.7.0", scaling = "meter" }')
    volts = Data(DataTag.FLOAT32, octets=struct.pack(">f", 230.16))
    assert decoded(FIXED + gauge, scaler(1), whole, scaler(0, 35), volts) == (12345, 2302)


CLOCK_CHANNEL = channel("0-0:1.0.0", "s", 0, "time", '{ class = 8, obis = "0-0:1.0.0" }')
STATE_CHANNEL = channel("0-0:97.97.0", "1", 0, "state", '{ class = 1, obis = "0-0:97.97.0" }')


def test_a_clock_is_read_in_seconds() -> None:
    energy = (scaler(1), number(1))
    octets = moment_to_octets(1_643_050_730)
    assert decoded(FIXED + CLOCK_CHANNEL, *energy, octet_string(octets)) == (1, 1_643_050_730)
    assert decoded(FIXED + CLOCK_CHANNEL, *energy, Data(DataTag.DATE_TIME, octets=octets)) == (1, 1_643_050_730)
    assert decoded(FIXED + CLOCK_CHANNEL, *energy, octet_string(b"\xff" * 12)) == (1, None)
    with pytest.raises(ProfileMismatch, match="is no moment"):
        decoded(FIXED + CLOCK_CHANNEL, *energy, number(1))


@pytest.mark.parametrize(
    ("shown", "bits"),
    [
        (number(0x85), 0x85),
        (number(3, DataTag.UNSIGNED), 3),
        (Data(DataTag.BIT_STRING, number=10, octets=b"\x80\x40"), 0b10_0000_0001),
        (octet_string(b"\x01\x02"), 0x0102),
    ],
)
def test_bits_are_read_as_a_number(shown: Data, bits: int) -> None:
    assert decoded(FIXED + STATE_CHANNEL, scaler(1), number(1), shown) == (1, bits)


def test_bits_in_an_array_give_no_reading() -> None:
    with pytest.raises(ProfileMismatch, match="holds no bits"):
        decoded(FIXED + STATE_CHANNEL, scaler(1), number(1), array())


CAPTURED = array(capture_object(Attribute(8, Obis.parse("0-0:1.0.0"), 2)), capture_object(NUMBER))


def row(moment: int, of: int) -> Data:
    """Give a row of the billing profile."""
    return structure(octet_string(moment_to_octets(moment)), number(of))


def test_the_newest_row_of_a_profile_is_read_by_its_column() -> None:
    _, read = group_and_read(profile(NEWEST))
    buffer = Attribute(7, Obis.parse("0-0:98.1.0"), 2, NewestEntries())
    assert read.attributes == (SCALER, Attribute(7, buffer.obis, 3), Attribute(7, buffer.obis, 4), buffer)
    assert decoded(NEWEST, scaler(1), CAPTURED, number(0), array(row(900, 777))) == (777,)
    assert decoded(NEWEST, scaler(1), CAPTURED, number(0), array()) == (None,)


@pytest.mark.parametrize(
    ("captured", "buffer", "problem"),
    [
        (CAPTURED, array(row(900, 1), row(1800, 2)), "2 rows where the newest was asked"),
        (array(capture_object(SCALER), capture_object(SCALER)), array(row(900, 1)), "does not capture"),
        (CAPTURED, array(structure(number(1))), "a row of 1 cells"),
        (number(1), array(row(900, 1)), "a row of 2 cells where 0"),
    ],
)
def test_a_profile_of_another_form_gives_no_reading(captured: Data, buffer: Data, problem: str) -> None:
    with pytest.raises(ProfileMismatch, match=problem):
        decoded(NEWEST, scaler(1), captured, number(900), buffer)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dlms = { class = 0, obis = '1-0:1.8.0' }", "0 is not within 1 to 65535"),
        ("dlms = { class = 3, obis = '1.8.0' }", "is not an OBIS code"),
        ("dlms = { class = 3, obis = '1-0:1.8.0', attribute = 200 }", "200 is not within 1 to 127"),
        ("dlms = { class = 3, obis = '1-0:1.8.0', scaling = 'none' }", "'none' is not known here"),
        ("dlms = { class = 1, obis = '1-0:1.8.0', scaling = 'meter' }", "has no scaler in the meter"),
        ("dlms = { class = 3, obis = '1-0:1.8.0', scale = 1 }", "unknown key 'scale'"),
        ("dlms = { class = 7, obis = '1-0:99.1.0' }", "'column' is missing"),
        ("dlms = { class = 8, obis = '0-0:1.0.0' }", "is a moment, the channel is a counter"),
        ("dlms = { class = 4, obis = '1-0:1.6.0', attribute = 5 }", "is a moment, the channel is a counter"),
        ("modbus = { function = 3, address = 0, type = 'u32' }", "not of the links' protocol"),
    ],
)
def test_a_mistake_in_a_source_is_named(text: str, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem) as caught:
        profile(text)
    assert caught.value.faults[0].line > 17


def test_a_moment_must_come_from_a_clock() -> None:
    with pytest.raises(DocumentError, match="is no moment, the channel is a time"):
        profile(FIXED + CLOCK_CHANNEL.replace("class = 8", "class = 3"))


@pytest.mark.parametrize(
    ("instead", "problem"),
    [
        ("client = 0", "0 is not within 1 to 127"),
        ("client = 128", "128 is not within 1 to 127"),
        ("address_octets = 3", "1, 2 or 4 octets"),
        ('authentication = "md5"', "'md5' is not known here"),
        ("ciphered = true", "ciphering needs the keys of GMAC"),
        ('password = "111111"', "unknown key 'password'"),
    ],
)
def test_a_mistake_in_a_link_is_named(instead: str, problem: str) -> None:
    """A password in a profile is a mistake: profiles travel with every statement."""
    key = instead.split(" =")[0]
    lines = [line for line in HEAD.splitlines() if not line.startswith(key)]
    lines.insert(lines.index("reply_ms_max = 1000"), instead)
    with pytest.raises(DocumentError, match=problem):
        profile_from_toml(TomlSource.parse("\n".join(lines) + "\n" + FIXED, "tried.toml"))


SHIPPED = [each for each in Catalogue.shipped().profiles if DLMS.protocols[0] in each.links]
WAYS = [
    pytest.param(each, protocol, group, id=f"{each.id}-{protocol}-{group.name}")
    for each in SHIPPED
    for protocol in each.links
    for group in each.groups
]


def end_of(one: Profile, protocol: Protocol, address: str, registers: dict[str, int]) -> MeterEnd:
    """Give the meter's end of a shipped profile."""
    return DLMS.simulated(one, protocol, address, lambda obis: registers.get(str(obis), 4_500_000_000))


@pytest.mark.parametrize(("one", "protocol", "group"), WAYS)
def test_every_group_of_every_shipped_profile_is_read_from_its_meters_end(
    one: Profile, protocol: Protocol, group: Group
) -> None:
    moments = {"0-0:1.0.0": 1_785_542_400, "1-0:14.7.0": 50_020, "1-0:1.6.0": 8_000}
    registers = moments | {f"1-0:{at}.7.0": 12_345 for at in range(80) if at != 14}
    address = "1"
    end = end_of(one, protocol, address, registers)
    bodies = [
        drive(
            codec_of(protocol).converse(address, read, PublishedSecrets()),
            lambda exchange: end.answer(exchange.request) or b"",
        )
        for read in plan_reads(one, protocol, group)
    ]
    expected = [
        each.mantissa_at(registers.get(str(each.obis), 4_500_000_000)) if each.unit.symbol != "s" else 1_785_542_400
        for each in group.channels
    ]
    found = decode_group(one, protocol, group, bodies)
    for each, mantissa, shown in zip(group.channels, expected, found, strict=True):
        assert shown == mantissa, each.obis


def test_shipped_profiles_claim_no_more_than_a_manual_and_hold_no_secret() -> None:
    assert {one.id for one in SHIPPED} == {"dlms/public", "dlms/password", "dlms/keys", "dlms/hexing"}
    for one in SHIPPED:
        assert one.evidence == "documents"
        assert all(vector.derived for vector in one.vectors)
        assert b"password" not in one.canonical or b"password =" not in one.canonical


def test_a_meter_at_another_address_is_silent() -> None:
    one = SHIPPED[0]
    end = end_of(one, Protocol.DLMS_HDLC, "1/17", {})
    exchange: Exchange = next(dlms.HDLC.converse("1/18", group_and_read(one)[1], PublishedSecrets()))
    assert end.answer(exchange.request) is None
    assert hdlc.scan(exchange.request)[0]


def test_a_profile_from_outside_the_package_is_read(tmp_path: Path) -> None:
    path = tmp_path / "meter.toml"
    path.write_text(HEAD + FIXED, encoding="utf-8")
    assert read_profile(path).id == "dlms/tried"
