"""The profile checker: what a good file gives, and that each mistake is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.families.modbus import ModbusSource, options_of
from device_profiles.forms import RegisterType, WordOrder
from device_profiles.profile import ChannelKind, DocumentSource, Evidence, NotInProfile, Profile, Protocol, Side
from device_profiles.profile_file import profile_from_canonical, profile_from_toml, read_profile
from metering.envelope import EnvelopeMalformed, decode_canonical, digest_of, encode
from metering.errors import DocumentError
from metering.quantity import Unit
from metering.toml_source import TomlSource

GOOD = """\
schema = 1
id = "maker/model"
rev = 2
medium = "electricity"
side = "secondary"
evidence = "documents"

[names]
zh = "型号"
en = "Model"

[[sources]]
title = "Manual"

[links.modbus-rtu]
bauds = [9600, 2400]
parity = "E"
stop_bits = 1
registers_max = 20
hole_max = 4
reply_ms_max = 300

[[groups]]
name = "billing"
atomic = true

[[groups.channels]]
obis = "1-0:1.8.0"
unit = "kWh"
exponent = -2
kind = "counter"
modulus = 100000000
modbus = { function = 3, address = 0x0010, type = "u32", order = "CDAB", invalid = ["FFFFFFFF"] }

[[groups]]
name = "status"

[[groups.channels]]
obis = "1-0:32.7.0"
unit = "V"
exponent = -1
kind = "gauge"
plausible = [0, 4000]
modbus = { function = 3, address = 0x0020, type = "f32", exponent = -1 }

[[vectors]]
protocol = "modbus-rtu"
address = "1"
request = "01 03 00 10 00 02 C5 CE"
reply = "01 03 04 00 01 00 00 AB F3"
expected = { "1-0:1.8.0" = 1 }
derived = true
origin = "computed"
"""


def parse(text: str) -> Profile:
    """Check a profile text."""
    return profile_from_toml(TomlSource.parse(text, "model.toml"))


def faults_of(text: str) -> list[str]:
    """Give the faults of a wrong profile text."""
    with pytest.raises(DocumentError) as caught:
        parse(text)
    return [str(fault) for fault in caught.value.faults]


def test_a_file_becomes_a_profile() -> None:
    profile = parse(GOOD)
    assert (profile.id, profile.rev, profile.side) == ("maker/model", 2, Side.SECONDARY)
    assert profile.names == {"zh": "型号", "en": "Model"}
    link = profile.link(Protocol.MODBUS_RTU)
    assert link.serial is not None
    assert (link.serial.bauds, link.serial.parity, link.serial.stop_bits) == ((9600, 2400), "E", 1)
    assert (options_of(link).registers_max, options_of(link).hole_max, link.reply_ms_max) == (20, 4, 300)
    (energy,) = profile.group("billing").channels
    assert (str(energy.obis), energy.unit, energy.exponent) == ("1-0:1.8.0", Unit.KWH, -2)
    assert (energy.kind, energy.modulus) == (ChannelKind.COUNTER, 100_000_000)
    assert isinstance(energy.source, ModbusSource)
    assert energy.source.type is RegisterType.U32
    assert energy.source.order is WordOrder.CDAB
    assert energy.source.invalid == (b"\xff\xff\xff\xff",)
    assert profile.group("status").index == 1
    assert profile.group("status").channels[0].limits == (0, 4000)
    assert str(energy.shown(1234)) == "12.34 kWh"


def test_an_unknown_group_or_link_is_refused_with_what_there_is() -> None:
    profile = parse(GOOD)
    with pytest.raises(NotInProfile, match="billing, status"):
        profile.group("demand")
    with pytest.raises(NotInProfile, match="it speaks modbus-rtu"):
        profile.link(Protocol.DLT645_2007)


def test_comments_layout_and_vectors_do_not_change_the_hash() -> None:
    rewritten = "# by hand\n" + GOOD.replace("0x0010", "16").replace("derived = true", "derived = false")
    assert parse(rewritten).hash == parse(GOOD).hash
    assert parse(rewritten) == parse(GOOD)
    assert hash(parse(rewritten)) == hash(parse(GOOD))


@pytest.mark.parametrize(
    ("old", "new"),
    [("0x0010", "0x0012"), ('"CDAB"', '"ABCD"'), ("rev = 2", "rev = 3"), ("modulus = 100000000", "modulus = 10000000")],
)
def test_any_change_of_content_changes_the_hash(old: str, new: str) -> None:
    assert parse(GOOD.replace(old, new)).hash != parse(GOOD).hash


def test_the_hash_is_that_of_the_canonical_form() -> None:
    profile = parse(GOOD)
    assert profile.hash == digest_of(profile.canonical)
    content = decode_canonical(profile.canonical)
    assert "vectors" not in content
    assert content["groups"][0]["channels"][0]["obis"] == "1-0:1.8.0"


def test_a_profile_comes_back_from_its_canonical_form() -> None:
    for profile in Catalogue.shipped().profiles:
        again = profile_from_canonical(profile.canonical)
        assert again == profile
        assert again.groups == profile.groups
        assert again.links == profile.links
        assert again.vectors == ()


def test_a_canonical_form_is_checked_like_a_file() -> None:
    content = decode_canonical(parse(GOOD).canonical)
    content["rev"] = "two"
    with pytest.raises(DocumentError, match="'rev' is not an integer"):
        profile_from_canonical(encode(content))
    with pytest.raises(EnvelopeMalformed):
        profile_from_canonical(encode(["no", "table"]))
    with pytest.raises(EnvelopeMalformed):
        profile_from_canonical(encode({**decode_canonical(parse(GOOD).canonical), "vectors": []}))
    with pytest.raises(DocumentError, match="unknown key 7"):
        profile_from_canonical(encode({**decode_canonical(parse(GOOD).canonical), 7: "seven"}))


WRONG = [
    ("schema = 1", "schema = 9", 1, "9 is not within 1 to 1"),
    ('id = "maker/model"', 'id = "Maker model"', 2, "no profile id"),
    ("rev = 2", "rev = true", 3, "'rev' is not an integer"),
    ('medium = "electricity"', 'medium = "steam"', 4, "'steam' is not known here"),
    ('side = "secondary"', 'side = "left"', 5, "use one of primary, secondary"),
    ('zh = "型号"', "zh = 5", 9, "'zh' is not a text"),
    ('en = "Model"', "", 8, "'en' is missing"),
    ("bauds = [9600, 2400]", 'bauds = ["9600"]', 16, "not only integers"),
    ("bauds = [9600, 2400]", "bauds = []", 16, "no speed"),
    ('parity = "E"', 'parity = "even"', 17, "use one of N, E, O"),
    ("registers_max = 20", "registers_max = 126", 19, "126 is not within 1 to 125"),
    ("hole_max = 4", "hole_max = 4\nretries = 3", 21, "unknown key 'retries'"),
    ('name = "billing"', 'name = "status"', 36, "stands twice"),
    ('name = "billing"', 'name = "energy"', 24, "the first group is not `billing`"),
    ('obis = "1-0:1.8.0"', 'obis = "energy"', 28, "not an OBIS code"),
    ('unit = "kWh"', 'unit = "kwh"', 29, "unknown unit 'kwh'"),
    ("exponent = -2", "exponent = -4", 30, "a counter must be whole in base units"),
    ('kind = "counter"', 'kind = "count"', 31, "use one of counter, gauge, state, time"),
    ("modulus = 100000000", "modulus = 0x1_0000_0001", 32, "the register can show only mantissas below 4294967296"),
    ("modulus = 100000000", "plausible = [0, 9]", 32, "a counter is bounded by its modulus"),
    ("plausible = [0, 4000]", "modulus = 4000", 43, "a gauge does not roll over"),
    ("plausible = [0, 4000]", "plausible = [4000, 0]", 43, "are no bounds"),
    ("function = 3, address = 0x0010", "function = 6, address = 0x0010", 33, "6 is not within 3 to 4"),
    ("address = 0x0010", "address = 0xFFFF", 33, "ends beyond FFFF"),
    ('type = "u32"', 'type = "u24"', 33, "'u24' is not known here"),
    ('"FFFFFFFF"', '"FFFF"', 33, "has 8 hex digits"),
    ('"FFFFFFFF"', '"none"', 33, "is not hex"),
    ('order = "CDAB"', "exponent = -2", 33, "counts in the channel's exponent"),
    ("modbus = { function = 3, address = 0x0010", 'dlt645 = { di = "00010000", octets = 4 }\n#', 27, "links' protocol"),
    ('address = "1"', 'address = "300"', 48, "not a Modbus unit id"),
    ('"1-0:1.8.0" = 1', '"energy" = 1', 51, "not an OBIS code"),
    ('"1-0:1.8.0" = 1', '"1-0:1.8.0" = "one"', 51, "is not an integer"),
    ("derived = true", "", 46, "'derived' is missing"),
]


@pytest.mark.parametrize(("old", "new", "line", "problem"), WRONG, ids=[f"{row[2]}-{row[3]}" for row in WRONG])
def test_a_mistake_is_named_with_its_line(old: str, new: str, line: int, problem: str) -> None:
    assert old in GOOD
    faults = faults_of(GOOD.replace(old, new, 1))
    assert any(fault.startswith(f"model.toml:{line}:") and problem in fault for fault in faults), faults


def test_all_mistakes_are_named_at_once_in_line_order() -> None:
    text = (
        GOOD.replace("rev = 2", "rev = 0").replace('parity = "E"', 'parity = "X"').replace('unit = "V"', 'unit = "v"')
    )
    assert [fault.split(":")[1] for fault in faults_of(text)] == ["3", "17", "40"]


def test_one_channel_may_not_stand_twice_in_a_group() -> None:
    twice = GOOD.replace('[[groups]]\nname = "status"\n\n', "").replace('obis = "1-0:32.7.0"', 'obis = "1-0:1.8.0"')
    assert any("1-0:1.8.0 stands twice in group 'billing'" in fault for fault in faults_of(twice))


def test_an_atomic_group_that_takes_two_reads_is_refused() -> None:
    text = GOOD.replace('[[groups]]\nname = "status"\n\n', "")
    assert any("is atomic but takes 2 reads" in fault for fault in faults_of(text))


def test_a_profile_without_links_or_groups_is_refused() -> None:
    without_link = GOOD.replace("[links.modbus-rtu]", "[links.zigbee]")
    assert any("no link" in fault for fault in faults_of(without_link))
    assert any("unknown key 'zigbee' (known here: modbus-rtu, modbus-tcp" in each for each in faults_of(without_link))
    head = GOOD[: GOOD.index("[[groups]]")]
    assert any("no groups" in fault for fault in faults_of(head))


def test_modbus_and_dlt645_do_not_share_a_profile() -> None:
    both = GOOD.replace(
        '[[groups]]\nname = "billing"',
        '[links.dlt645-2007]\nbauds = [2400]\nparity = "E"\nstop_bits = 1\nreply_ms_max = 500\n\n'
        '[[groups]]\nname = "billing"',
    )
    assert any("dlt645 and modbus in one profile" in fault for fault in faults_of(both))


def test_dlt645_sources_are_checked() -> None:
    text = """
schema = 1
id = "maker/model"
rev = 1
medium = "electricity"
side = "primary"
evidence = "documents"
names = { zh = "表", en = "Meter" }
sources = [{ title = "DL/T 645-2007" }]
[links.dlt645-2007]
bauds = [2400]
parity = "E"
stop_bits = 1
reply_ms_max = 500
[[groups]]
name = "billing"
[[groups.channels]]
obis = "1-0:1.8.0"
unit = "kWh"
exponent = -2
kind = "counter"
dlt645 = { di = "0001FF00", octets = 4, index = 0, count = 5 }
[[groups.channels]]
obis = "1-0:1.8.1"
unit = "kWh"
exponent = -2
kind = "counter"
dlt645 = { di = "0001FF00", octets = 4, index = 1, count = 5 }
"""
    assert len(parse(text).group("billing").channels) == 2
    assert any("below 100000000" in fault for fault in faults_of(text.replace("kind =", "modulus = 100000001\nkind =")))
    assert any("has 8 hex digits" in fault for fault in faults_of(text.replace("0001FF00", "01FF00")))
    assert any("no such number" in fault for fault in faults_of(text.replace("index = 1", "index = 5")))
    assert any("was 20 octets above" in fault for fault in faults_of(text.replace("index = 1, count = 5", "count = 2")))


TOLD = """
[[disputes]]
point = "frequency"
zh = "两份资料地址不同，本模板取 0x0020"
en = "two documents give other addresses; this profile takes 0x0020"

[[identify]]
modbus = { function = 3, address = 0x0020, type = "u16" }
range = [4500, 6600]
score = 10

[[identify]]
modbus = { function = 3, address = 0x0900, type = "u32" }
serial = true
score = 100
"""


def test_sources_disputes_and_probes_are_kept() -> None:
    profile = parse(
        GOOD.replace('title = "Manual"', 'title = "Manual"\nversion = "2.1"\npage = "17"\nnote = "n"') + TOLD
    )
    assert profile.sources == (DocumentSource("Manual", "2.1", "17", "n"),)
    assert [(dispute.point, sorted(dispute.told)) for dispute in profile.disputes] == [("frequency", ["en", "zh"])]
    assert [(probe.expected, probe.score, probe.is_serial) for probe in profile.probes] == [
        ((4500, 6600), 10, False),
        (None, 100, True),
    ]
    assert (profile.medium, profile.evidence) == ("electricity", Evidence.DOCUMENTS)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("range = [4500, 6600]\n", "", "either tells the model or reads the serial number"),
        ("serial = true", "serial = true\nrange = [1, 2]", "either tells the model or reads the serial number"),
        ("score = 100", "score = 101", "101 is not within 1 to 100"),
        ("range = [4500, 6600]", "range = [6600, 4500]", "are no bounds"),
        ('zh = "两份资料地址不同，本模板取 0x0020"\n', "", "'zh' is missing"),
        ("modbus = { function = 3, address = 0x0900", 'dlt645 = { di = "04000401"', "not of the links' protocol"),
    ],
)
def test_a_mistake_in_what_is_told_is_named(old: str, new: str, problem: str) -> None:
    assert old in TOLD
    assert any(problem in fault for fault in faults_of(GOOD + TOLD.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("kind", "unit", "exponent", "more", "problem"),
    [
        ("time", "s", 0, "", ""),
        ("state", "1", 0, "", ""),
        ("time", "V", 0, "", "a time is a whole number of s"),
        ("time", "s", -1, "", "a time is a whole number of s"),
        ("state", "1", -1, "", "a state is a whole number of 1"),
        ("state", "1", 0, "modulus = 8", "a state does not roll over"),
    ],
)
def test_moments_and_states_are_whole_numbers(kind: str, unit: str, exponent: int, more: str, problem: str) -> None:
    channel = f'obis = "0-0:1.0.0"\nunit = "{unit}"\nexponent = {exponent}\nkind = "{kind}"\n{more}\n'
    text = GOOD.replace(
        "[[vectors]]",
        f'[[groups]]\nname = "clock"\nevery_s = 86400\n[[groups.channels]]\n{channel}'
        'modbus = { function = 3, address = 0x0030, type = "u32" }\n[[vectors]]',
    )
    if problem:
        assert any(problem in fault for fault in faults_of(text))
    else:
        clock = parse(text).group("clock")
        assert (clock.every_s, clock.after_freeze, clock.channels[0].limits) == (86_400, False, (0, 2**63 - 1))


def test_a_vector_may_be_a_whole_conversation() -> None:
    exchanges = (
        '[[vectors.exchanges]]\nrequest = "01"\nreply = "02"\n[[vectors.exchanges]]\nrequest = "03"\nreply = "04"\n'
    )
    at = GOOD.index("request =")
    text = GOOD[:at] + GOOD[GOOD.index("expected =") :] + exchanges
    (vector,) = parse(text).vectors
    assert vector.exchanges == ((b"\x01", b"\x02"), (b"\x03", b"\x04"))
    assert (vector.request, vector.reply) == (b"\x01", b"\x02")
    assert any("'request' is missing" in fault for fault in faults_of(text.replace('request = "03"\n', "")))


def test_rtu_over_tcp_is_the_rtu_link_without_a_line() -> None:
    profile = parse(GOOD)
    link = profile.link(Protocol.MODBUS_RTU_OVER_TCP)
    assert (link.serial, link.options, link.reply_ms_max) == (None, profile.link(Protocol.MODBUS_RTU).options, 300)


def test_a_seven_bit_line_is_stated() -> None:
    link = parse(GOOD.replace("stop_bits = 1", "stop_bits = 1\ndata_bits = 7")).link(Protocol.MODBUS_RTU)
    assert link.serial is not None
    assert link.serial.data_bits == 7


@pytest.mark.parametrize("evidence", list(Evidence))
def test_evidence_is_told_in_both_languages(evidence: Evidence) -> None:
    assert parse(GOOD.replace('"documents"', f'"{evidence}"')).evidence is evidence
    assert {evidence.told("zh"), evidence.told("en")} not in ({""}, {evidence.value})


def test_a_file_that_is_no_toml_or_not_there_is_a_fault_too(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="not TOML"):
        TomlSource.parse("a = = 1", "x.toml")
    with pytest.raises(DocumentError, match="cannot be read"):
        read_profile(tmp_path / "none.toml")
    path = tmp_path / "model.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert read_profile(path) == parse(GOOD)
