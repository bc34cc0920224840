"""A meter list is read as it stands; what is not plain is told with row, column and mend, and nothing is written."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_profiles.profile import Protocol
from metering.errors import DocumentError
from provisioning.meter_list import Choices, MeterList, read_meter_list, read_unfinished, site_findings, write_meters
from provisioning.meter_list.findings import _words, finding_codes
from provisioning.site import Site
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"
HEAD = "serial,model,protocol,port,bus address,node,unit,CT,PT\n"
GOOD = "NEW-0001,eastron/sdm630,Modbus TCP,tcp-b,33,u-b101,,1,1\n"


@pytest.fixture(scope="module")
def park() -> Site:
    """Give the park with two nodes that have no meter."""
    site = read_site(PARK)
    return replace(site, meters=tuple(one for one in site.meters if one.node not in ("u-b101", "u-b102")))


def listed(tmp_path: Path, site: Site, text: str | bytes, **choices: object) -> MeterList:
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_meter_list(path, site, Choices(**choices))  # type: ignore[arg-type]


def told(found: MeterList, code: str) -> list[str]:
    return [one.line("en") for one in found.findings if one.code == code]


def test_a_plain_row_is_a_meter(tmp_path: Path, park: Site) -> None:
    found = listed(tmp_path, park, HEAD + GOOD)
    (one,) = found.meters
    assert found.is_ready
    assert (one.row, one.meter.id, one.meter.serial, one.meter.profile) == (2, "m-u-b101", "NEW-0001", "eastron/sdm630")
    assert (one.meter.protocol, one.meter.port, one.meter.address) == (Protocol.MODBUS_TCP, "tcp-b", "33")
    assert (one.meter.node, one.meter.ct, one.meter.pt, one.start) == ("u-b101", 1, 1, None)


def test_chinese_headings_below_a_title_mean_the_same(tmp_path: Path, park: Site) -> None:
    text = "示范园台账,,,,,,,\n出厂编号,规格型号,通讯规约,端口,通信地址,计量点名称,CT变比,PT变比\n"
    text += "NEW-0001,eastron/sdm630,modbus-tcp,tcp-b,33,B101 室,200/5A,1\n"
    found = listed(tmp_path, park, text.encode("gb18030"))
    assert found.is_ready
    assert (found.meters[0].meter.node, found.meters[0].meter.ct) == ("u-b101", 40)
    assert told(found, "encoding") == ["the file was read as gb18030"]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_marks_and_delimiters_of_spreadsheets_are_read(tmp_path: Path, park: Site, mark: str, delimiter: str) -> None:
    found = listed(tmp_path, park, (HEAD + GOOD).replace(",", delimiter).encode(mark))
    assert len(found.meters) == 1


@pytest.mark.parametrize(
    ("column", "text", "code", "place", "mend"),
    [
        ("serial", "", "empty", "A2", "fill it in"),
        ("serial", "2.02305E+11", "number-cut", "A2", "from the plate"),
        ("model", "SDM630", "model-said", "B2", "--model 'SDM630=eastron/sdm630'"),
        ("model", "XQ-7", "model-unknown", "B2", "profile list"),
        ("protocol", "Modbus", "protocol-unknown", "C2", "modbus-rtu, modbus-tcp"),
        ("protocol", "", "protocol-empty", "C2", "write which"),
        ("port", "tcp-c", "name-unknown", "D2", "tcp-b"),
        ("bus address", "", "empty", "E2", "fill it in"),
        ("node", "u-b11", "name-unknown", "F2", "u-b101"),
        ("node", "", "empty", "F2", "fill it in"),
        ("unit", "a101", "unit-elsewhere", "G2", "another tenant"),
        ("unit", "no such room", "name-unknown", "G2", "known"),
        ("CT", "0", "not-integer", "H2", "200/5"),
        ("CT", "400/150", "ratio-uneven", "H2", "plate"),
        ("CT", "40.5", "not-integer", "H2", "200/5"),
        ("CT", "200A/5V", "not-integer", "H2", "200/5"),
        ("CT", "200/0", "not-integer", "H2", "200/5"),
        ("CT", "", "empty", "H2", "fill it in"),
        ("PT", "10kV/100", "not-integer", "I2", "200/5"),
        ("serial", "A\x07B", "cell-error", "A2", "mend"),
    ],
)
def test_each_mistake_is_told_at_its_cell(
    tmp_path: Path, park: Site, column: str, text: str, code: str, place: str, mend: str
) -> None:
    cells = GOOD.strip().split(",")
    cells[HEAD.strip().split(",").index(column)] = text
    found = listed(tmp_path, park, HEAD + ",".join(cells) + "\n")
    assert not found.is_ready
    assert found.meters == ()
    (line,) = told(found, code)
    assert line.startswith(f"{place}: ")
    assert mend in line


@pytest.mark.parametrize(
    ("text", "ratio"), [("40", 40), ("200/5", 40), ("200:5 A", 40), ("600 A/5 A", 120), ("10kV/100V", 100)]
)
def test_ratios_are_read_as_plates_show_them(tmp_path: Path, park: Site, text: str, ratio: int) -> None:
    found = listed(tmp_path, park, HEAD + GOOD.replace(",1,1\n", f",1,{text}\n"))
    assert found.meters[0].meter.pt == ratio


def test_a_person_names_the_profile_of_a_model_once(tmp_path: Path, park: Site) -> None:
    text = HEAD + GOOD.replace("eastron/sdm630", "SDM630")
    found = listed(tmp_path, park, text, models={"SDM630": "eastron/sdm630"})
    assert found.meters[0].meter.profile == "eastron/sdm630"


def test_the_only_protocol_of_a_model_is_no_guess(tmp_path: Path, park: Site) -> None:
    row = "NEW-0001,dlt645/three-phase,,line-a,202301010001,u-b101,,1,1\n"
    found = listed(tmp_path, park, HEAD + row)
    assert found.meters[0].meter.protocol is Protocol.DLT645_2007
    assert told(found, "protocol-only")


def test_a_vague_heading_waits_for_a_person(tmp_path: Path, park: Site) -> None:
    text = (HEAD + GOOD).replace("serial", "表号", 1)
    found = listed(tmp_path, park, text)
    assert "--column '表号=serial'" in told(found, "heading-vague")[0]
    assert "there is no column for serial" in told(found, "column-missing")[0]
    assert listed(tmp_path, park, text, columns={"表号": "serial"}).is_ready


def test_two_columns_of_one_meaning_wait_for_a_person(tmp_path: Path, park: Site) -> None:
    text = HEAD.replace("\n", ",出厂编号\n") + GOOD.replace("\n", ",OTHER\n")
    found = listed(tmp_path, park, text)
    assert told(found, "column-twice")[0].startswith("J1: ")
    assert listed(tmp_path, park, text, columns={"出厂编号": "-"}).is_ready


def test_columns_that_mean_nothing_here_are_told(tmp_path: Path, park: Site) -> None:
    found = listed(tmp_path, park, HEAD.replace("\n", ",备注\n") + GOOD.replace("\n", ",x\n"))
    assert told(found, "column-unread") == ["J1: column '备注' is not read"]
    assert found.is_ready


def test_a_multiplier_alone_says_nothing_of_ct_and_pt_unless_it_is_one(tmp_path: Path, park: Site) -> None:
    head = HEAD.replace("CT,PT", "倍率")
    assert told(listed(tmp_path, park, head + GOOD.replace(",1,1\n", ",40\n")), "multiplier-alone")
    assert listed(tmp_path, park, head + GOOD.replace(",1,1\n", ",1\n")).is_ready


def test_a_multiplier_that_contradicts_ct_and_pt_is_told(tmp_path: Path, park: Site) -> None:
    text = HEAD.replace("PT", "PT,倍率") + GOOD.replace(",1,1\n", ",40,1,80\n")
    assert "is not CT x PT = 40" in told(listed(tmp_path, park, text), "multiplier-differs")[0]


def test_a_unit_names_its_node(tmp_path: Path, park: Site) -> None:
    found = listed(tmp_path, park, HEAD + GOOD.replace("u-b101,", ",Unit B102"))
    assert (found.meters[0].meter.node, found.meters[0].unit) == ("u-b102", "b102")


def test_a_gateway_that_does_not_own_the_port_is_told(tmp_path: Path, park: Site) -> None:
    text = HEAD.replace("port", "port,gateway") + GOOD.replace("tcp-b", "tcp-b,gw-a")
    assert "belongs to gateway gw-b, not gw-a" in told(listed(tmp_path, park, text), "port-elsewhere")[0]


def test_the_same_serial_or_address_in_two_rows_is_told(tmp_path: Path, park: Site) -> None:
    text = HEAD + GOOD + GOOD.replace("u-b101", "u-b102")
    lines = told(listed(tmp_path, park, text), "listed-twice")
    assert [line.partition(":")[0] for line in lines] == ["A3", "E3"]


def test_a_meter_of_the_site_is_passed_over_if_it_is_the_same(tmp_path: Path, park: Site) -> None:
    same = "LY7120450311,dlt645/three-phase,DL/T 645-2007,line-a,202304500311,u-a101,,1,1\n"
    found = listed(tmp_path, park, HEAD + same)
    assert (found.is_ready, found.known, found.meters) == (True, 1, ())


def test_a_meter_of_the_site_that_is_told_otherwise_is_no_import(tmp_path: Path, park: Site) -> None:
    moved = "LY7120450311,dlt645/three-phase,DL/T 645-2007,line-a,202304500311,u-a201,,40,1\n"
    (line,) = told(listed(tmp_path, park, HEAD + moved), "differs")
    assert "node u-a101 / u-a201; ct 1 / 40" in line
    assert "exchange" in line


@pytest.mark.parametrize("text", ["2026-10-01 08:00", "2026/10/1 8:00", "2026年10月1日 08:00"])
def test_times_are_local_times_of_the_site(tmp_path: Path, park: Site, text: str) -> None:
    found = listed(tmp_path, park, HEAD.replace("PT", "PT,安装日期") + GOOD.replace(",1,1\n", f",1,1,{text}\n"))
    assert found.meters[0].meter.span.start == datetime(2026, 10, 1, tzinfo=UTC)


def test_a_day_that_may_be_a_month_is_not_taken(tmp_path: Path, park: Site) -> None:
    found = listed(tmp_path, park, HEAD.replace("PT", "PT,from") + GOOD.replace(",1,1\n", ",1,1,03/04/2026\n"))
    assert told(found, "moment")


PLACED = HEAD.replace("PT", "PT,经度,纬度,安装位置")


def test_coordinates_are_read_only_when_their_system_is_said(tmp_path: Path, park: Site) -> None:
    text = PLACED + GOOD.replace(",1,1\n", ",1,1,121.4737021,31.2304167,三层弱电井\n")
    unsaid = listed(tmp_path, park, text)
    assert told(unsaid, "coordinates-vague")
    assert [one.meter.place for one in unsaid.meters] == [None]
    found = listed(tmp_path, park, text, coordinates="wgs84")
    place = found.meters[0].meter.place
    assert place is not None
    assert (place.lat_e7, place.lon_e7, place.note) == (312304167, 1214737021, "三层弱电井")


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ("31.2,121.4,x", "coordinate"),
        ("121°28'E,31.2,x", "coordinate"),
        ("121.4,,x", "half-a-place"),
        (",31.2,x", "half-a-place"),
    ],
)
def test_coordinates_that_are_swapped_or_halved_are_told(tmp_path: Path, park: Site, cells: str, code: str) -> None:
    text = PLACED + GOOD.replace(",1,1\n", f",1,1,{cells}\n")
    assert told(listed(tmp_path, park, text, coordinates="wgs84"), code)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", '"a\n', "\x00\x01", "serial\n1\n"])
def test_a_file_without_a_list_is_an_error_with_a_mend(tmp_path: Path, park: Site, text: str) -> None:
    with pytest.raises(DocumentError, match=r"list\.csv:1: .+ \(.+\)"):
        listed(tmp_path, park, text)


def test_every_text_exists_in_both_languages() -> None:
    for code in finding_codes():
        words = _words()["findings"][code]
        assert {"zh", "en", "severity"} <= words.keys() <= {"zh", "en", "severity", "mend_zh", "mend_en"}, code
        assert ("mend_zh" in words) == ("mend_en" in words), code
        assert ("mend_zh" in words) == (words["severity"] != "note"), code


@pytest.fixture
def site_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "park"
    shutil.copytree(PARK, directory)
    return directory


def test_what_the_site_does_not_allow_is_told_at_its_row(tmp_path: Path, park: Site, site_dir: Path) -> None:
    found = listed(tmp_path, park, HEAD + GOOD)
    assert found.is_ready
    (one,) = site_findings(site_dir, found.meters, None)
    assert one.row == 2
    assert "m-u-b101" in one.told.en  # the node's meter of today, and the id, stand in the way


def test_meters_are_written_only_into_a_site_that_stays_right(tmp_path: Path, park: Site, site_dir: Path) -> None:
    before = (site_dir / "gateways.toml").read_bytes()
    found = listed(tmp_path, park, HEAD + GOOD)
    with pytest.raises(DocumentError):
        write_meters(site_dir, found.meters)
    assert (site_dir / "gateways.toml").read_bytes() == before
    assert sorted(path.name for path in site_dir.iterdir()) == sorted(path.name for path in PARK.iterdir())


def test_meters_that_are_written_read_back_the_same(tmp_path: Path, park: Site, site_dir: Path) -> None:
    path = site_dir / "site.toml"
    node = '\n[[nodes]]\nid = "u-b302"\nkind = "end"\nparent = "bldg-b"\nnames = "B302"\naccuracy_class = "1"\n'
    path.write_text(path.read_text(encoding="utf-8") + node, encoding="utf-8")
    text = HEAD.replace("PT", "PT,from,经度,纬度,安装位置") + GOOD.replace("u-b101", "u-b302")
    text = text.replace(",1,1\n", ',1,1,2026-10-01 08:00,121.4737021,-31.23,"3F ""riser"" B"\n')
    with pytest.raises(DocumentError, match="node u-b302 has no meter"):
        read_site(site_dir)
    site = read_unfinished(site_dir)
    found = listed(tmp_path, site, text, coordinates="wgs84")
    assert site_findings(site_dir, found.meters, None) == []
    write_meters(site_dir, found.meters)
    written = read_site(site_dir)
    assert written.meter(found.meters[0].meter.id) == found.meters[0].meter
    assert len(written.meters) == len(site.meters) + 1
    again = listed(tmp_path, written, text, coordinates="wgs84")
    assert (again.is_ready, again.known, again.meters) == (True, 1, ())


def test_a_plan_says_what_is_to_be_found_without_the_bus(tmp_path: Path, park: Site) -> None:
    text = "表计序列号,型号,房号,CT变比\nNEW-0001,eastron/sdm630,Unit B101,200/5\nNEW-0002,,Unit B102,\n"
    found = listed(tmp_path, park, text, is_plan=True)
    assert found.is_ready
    one, other = found.expected
    assert (one.meter, one.node, one.unit, one.serial) == ("m-u-b101", "u-b101", "b101", "NEW-0001")
    assert (one.profile, one.ct, one.pt) == ("eastron/sdm630", 40, None)
    assert (other.serial, other.profile, other.ct) == ("NEW-0002", None, None)
    assert found.meters == ()


def test_a_plan_expects_one_meter_at_a_node(tmp_path: Path, park: Site) -> None:
    text = "serial,node\nA-1,u-b101\nA-2,u-b101\n"
    found = listed(tmp_path, park, text, is_plan=True)
    assert [line.partition(":")[0] for line in told(found, "listed-twice")] == ["B3"]
    assert len(found.expected) == 1
    assert not found.is_ready


def test_fields_are_called_in_chinese_where_chinese_is_read(tmp_path: Path, park: Site) -> None:
    found = listed(tmp_path, park, HEAD + GOOD.replace("NEW-0001", ""))
    (line,) = (one.line("zh") for one in found.findings if one.code == "empty")
    assert line == "A2: 表号 为空 (填写)"


def test_a_node_that_has_a_meter_takes_no_second_one(tmp_path: Path) -> None:
    found = listed(tmp_path, read_site(PARK), HEAD + GOOD)
    (line,) = told(found, "node-taken")
    assert line.startswith("F2: node u-b101 has meter m-u-b101 (serial ES63025110101) already")
    assert found.meters == ()


def test_a_row_that_stands_twice_is_taken_once(tmp_path: Path, park: Site) -> None:
    found = listed(tmp_path, park, HEAD + GOOD + GOOD.replace("u-b101", "u-b102"))
    assert [one.row for one in found.meters] == [2]
    assert not found.is_ready
