"""Every mistake a person can make in a site file is told with its file and line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metering.errors import DocumentError, Fault
from provisioning.site import NodeKind, Site
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"

SITE = """\
id = "yard"
names = "Yard"
zone = "Europe/Berlin"
currency = "EUR"

[[nodes]]
id = "main"
kind = "main"
names = { zh = "总表", en = "Main" }
accuracy_class = "0.5S"

[[nodes]]
id = "hall"
kind = "branch"
parent = "main"
names = "Hall"
accuracy_class = "1"

[[nodes]]
id = "shop"
kind = "end"
parent = "hall"
names = "Shop"
accuracy_class = "B"

[[nodes]]
id = "cafe"
kind = "end"
parents = [{ parent = "hall", to = 2026-07-01 }, { parent = "main", from = 2026-07-01 }]
names = "Cafe"
accuracy_class = "B"

[[units]]
id = "unit-1"
building = "hall"
area_m2 = "120.5"
node = "shop"
names = "Unit 1"

[[units]]
id = "unit-2"
building = "hall"
area_m2 = 80
node = "cafe"
names = "Unit 2"
"""
GATEWAYS = """\
[[gateways]]
id = "gw"
names = "Gateway"

[[ports]]
id = "line"
gateway = "gw"
kind = "serial"
device = "/dev/ttyS0"
baud = 9600
parity = "E"
stopbits = 1
tolerance_s = 60

[[ports]]
id = "net"
gateway = "gw"
kind = "modbus-tcp"
host = "10.0.0.7"
port = 502
tolerance_s = 60

[[meters]]
id = "m-main"
serial = "S-1"
profile = "eastron/sdm630"
protocol = "modbus-tcp"
port = "net"
address = "1"
node = "main"
ct = 1
pt = 1

[[meters]]
id = "m-hall"
serial = "S-2"
profile = "acrel/adl400"
protocol = "modbus-rtu"
port = "line"
address = "2"
node = "hall"
ct = 40
pt = 1

[[meters]]
id = "m-shop"
serial = "S-3"
profile = "dlt645/three-phase"
protocol = "dlt645-2007"
port = "line"
address = "000000000003"
node = "shop"
to = 2026-07-21T10:07:00
ct = 1
pt = 1

[[meters]]
id = "m-shop-2"
serial = "S-4"
profile = "dlt645/three-phase"
protocol = "dlt645-2007"
port = "line"
address = "000000000004"
node = "shop"
from = 2026-07-21T10:07:00
ct = 1
pt = 1

[[meters]]
id = "m-cafe"
serial = "S-5"
profile = "chint/dtsu666"
protocol = "modbus-rtu"
port = "line"
address = "5"
node = "cafe"
ct = 1
pt = 1

[[exchanges]]
node = "shop"
old = "m-shop"
new = "m-shop-2"
at = 2026-07-21T10:07:00
final = "18342.67 kWh"
initial = "0.12 kWh"

[[exchanges]]
node = "shop"
old = "m-shop"
new = "m-shop-2"
at = 2026-07-21T10:07:00
final = "3.00 kWh"
initial = "0.00 kWh"
obis = "1-0:2.8.0"
"""
LEASES = """\
[[parties]]
id = "owner"
kind = "owner"
names = "Owner"

[[parties]]
id = "t-1"
kind = "tenant"
names = "Tenant"

[[leases]]
id = "l-1"
party = "t-1"
unit = "unit-1"
from = 2026-01-01
to = 2026-07-17T14:00:00

[[leases]]
id = "l-2"
party = "owner"
unit = "unit-1"
from = "2026-07-17T14:00"

[[leases]]
id = "l-3"
party = "t-1"
unit = "unit-2"
"""
FILES = {"site": SITE, "gateways": GATEWAYS, "leases": LEASES}


def write_site(directory: Path, **texts: str) -> Path:
    """Write the three files, with some of them replaced."""
    for name, text in (FILES | texts).items():
        (directory / f"{name}.toml").write_text(text, encoding="utf-8")
    return directory


def faults_of(directory: Path) -> tuple[Fault, ...]:
    """Read a wrong site and give what it says."""
    with pytest.raises(DocumentError) as caught:
        read_site(directory)
    return caught.value.faults


def line_of(text: str, marker: str) -> int:
    """Line of `marker`, which must stand in `text` once."""
    assert text.count(marker) == 1, marker
    return text[: text.index(marker)].count("\n") + 1


# What is wrong; file, text whose first occurrence is replaced, replacement; what is said, marker of the named line.
CASES = [
    # the header
    ("id missing", "site", 'id = "yard"\n', "", "id is missing", "names = \"Yard\""),
    ("id malformed", "site", '"yard"', '"The Yard"', "is not an identifier", "The Yard"),
    ("zone missing", "site", 'zone = "Europe/Berlin"\n', "", "zone is missing", 'id = "yard"'),
    ("zone unknown", "site", "Europe/Berlin", "Europe/Bonn", "unknown time zone", "Europe/Bonn"),
    ("currency in small letters", "site", "EUR", "eur", "currency is 'eur'", '"eur"'),
    ("unknown key", "site", "currency =", "curency =", "unknown key 'curency'.*did you mean 'currency'", "curency"),
    ("no TOML", "site", 'kind = "main"', "kind = main", "not TOML", "kind = main"),
    ("text as number", "site", '"Yard"', "7", "names is 7", "names = 7"),
    ("names with a third language", "site", 'en = "Main" }', 'en = "Main", fr = "x" }', "names is", 'fr = "x"'),
    ("empty text", "gateways", '"S-1"', '" "', "serial must be a text", 'serial = " "'),
    ("array instead of tables", "leases", LEASES, "parties = 3\n", "parties must be an array", "parties = 3"),
    ("entry that is no table", "leases", LEASES, "parties = [3]\n", "must be a table", "parties = [3]"),
    # nodes
    ("node kind unknown", "site", '"branch"', '"trunk"', "kind is 'trunk'.*main, branch, end", '"trunk"'),
    ("accuracy class unknown", "site", '"1"', '"9"', "accuracy_class is '9'", 'accuracy_class = "9"'),
    ("id twice", "site", 'id = "cafe"', 'id = "shop" # again', "'shop' stands already in line 19", "# again"),
    ("parent unknown", "site", 'parent = "main"\n', 'parent = "mian"\n', "'mian' is not among.*'main'", "mian"),
    ("parent missing", "site", 'parent = "main"\n', "", "node hall has no parent", '[[nodes]]\nid = "hall"'),
    ("main with a parent", "site", 'kind = "main"', 'kind = "main"\nparent = "hall"',
     "main node main has a parent", 'parent = "hall"'),
    ("parent below an end node", "site", "{ parent = \"main\", from", '{ parent = "shop", from',
     "parent shop is of kind end", "parents ="),
    ("parent and parents", "site", "parents =", 'parent = "hall"\nparents =', "there are `parent` and `parents`",
     'parent = "hall"\nparents'),
    ("unknown key in parents", "site", "from = 2026-07-01 }", "since = 2026-07-01 }", "unknown key 'since'", "parents"),
    ("parents with a gap", "site", "from = 2026-07-01 }", "from = 2026-07-02 }", "do not follow one", "parents ="),
    ("parents that overlap", "site", "to = 2026-07-01 }", "to = 2026-07-03 }", "do not follow one", "parents ="),
    ("parent change between marks", "site", "to = 2026-07-01 }, { parent = \"main\", from = 2026-07-01 }",
     "to = 2026-07-01T00:07:00 }, { parent = \"main\", from = 2026-07-01T00:07:00 }", "between two marks", "parents ="),
    ("node without a meter", "site", "[[units]]\nid = \"unit-1\"",
     '[[nodes]]\nid = "pv"\nkind = "generation"\nparent = "main"\nnames = "PV"\naccuracy_class = "1"\n\n'
     '[[units]]\nid = "unit-1"', "node pv has no meter", '[[nodes]]\nid = "pv"'),
    # units
    ("area missing", "site", 'area_m2 = "120.5"\n', "", "unit unit-1 has no area; lease l-1, l-2 cannot share",
     '[[units]]\nid = "unit-1"'),
    ("area as a float", "site", '"120.5"', "120.5", "area_m2 is 120.5", "area_m2 = 120.5"),
    ("area of zero", "site", '"120.5"', '"0"', "area_m2 is '0'", 'area_m2 = "0"'),
    ("area too fine", "site", '"120.5"', '"120.50001"', "area_m2 is '120.50001'.*4 decimals", "120.50001"),
    ("area in words", "site", '"120.5"', '"large"', "area_m2 is 'large'", '"large"'),
    ("building unknown", "site", 'building = "hall"', 'building = "hull"', "building 'hull' is not among", "hull"),
    ("building that is an end", "site", 'building = "hall"', 'building = "shop"', "building shop is of kind end",
     'building = "shop"'),
    ("unit's node unknown", "site", 'node = "shop"', 'node = "stop"', "node 'stop' is not among", '"stop"'),
    ("two units on a node", "site", 'node = "cafe"', 'node = "shop" # too',
     "unit-1 and unit-2 share node shop", "# too"),
    # ports
    ("port kind unknown", "gateways", '"serial"', '"rs485"', "kind is 'rs485'.*serial, modbus-tcp", "rs485"),
    ("port kind missing", "gateways", 'kind = "serial"\n', "", "kind is missing", '[[ports]]\nid = "line"'),
    ("baud not in use", "gateways", "9600", "9601", "baud is 9601", "9601"),
    ("baud the model lacks", "gateways", "9600", "1200", "acrel/adl400 cannot be set to the 1200 bit/s",
     'port = "line"\naddress = "2"'),
    ("parity unknown", "gateways", '"E"', '"even"', "parity is 'even'", '"even"'),
    ("three stop bits", "gateways", "stopbits = 1", "stopbits = 3", "stopbits is 3", "stopbits = 3"),
    ("tolerance too long", "gateways", "tolerance_s = 60", "tolerance_s = 900", "tolerance_s is 900", "900"),
    ("gateway unknown", "gateways", 'gateway = "gw"', 'gateway = "gv"', "gateway 'gv' is not among", '"gv"'),
    ("device twice", "gateways", "[[meters]]\nid = \"m-main\"",
     '[[ports]]\nid = "twin"\ngateway = "gw"\nkind = "serial"\ndevice = "/dev/ttyS0" # twin\nbaud = 9600\n'
     'parity = "E"\nstopbits = 1\ntolerance_s = 60\n\n[[meters]]\nid = "m-main"',
     "ports line and twin are one", "# twin"),
    ("endpoint twice", "gateways", "[[meters]]\nid = \"m-main\"",
     '[[ports]]\nid = "twin"\ngateway = "gw"\nkind = "modbus-tcp"\nhost = "10.0.0.7" # twin\nport = 502\n'
     'tolerance_s = 60\n\n[[meters]]\nid = "m-main"', "ports net and twin are one", "# twin"),
    # meters
    ("profile unknown", "gateways", "eastron/sdm630", "eastron/sdm360", "unknown profile.*'eastron/sdm630'", "sdm360"),
    ("model that counts nothing", "gateways", "chint/dtsu666", "delixi/dtsu6606",
     "delixi/dtsu6606 counts nothing that is settled, so it cannot bill", "delixi/dtsu6606"),
    ("protocol unknown", "gateways", '"modbus-tcp"\nport = "net"', '"profibus"\nport = "net"', "protocol is 'profibus'",
     "profibus"),
    ("protocol the model lacks", "gateways", 'dlt645-2007"\nport = "line"\naddress = "000000000003"',
     'modbus-rtu"\nport = "line"\naddress = "3"', "dlt645/three-phase does not speak modbus-rtu",
     'protocol = "modbus-rtu"\nport = "line"\naddress = "3"'),
    ("protocol on the wrong port", "gateways", 'port = "net"\naddress', 'port = "line"\naddress',
     "modbus-tcp does not run on port line", 'protocol = "modbus-tcp"'),
    ("port unknown", "gateways", 'port = "net"', 'port = "nut"', "port 'nut' is not among the ports", "nut"),
    ("meter's node unknown", "gateways", 'node = "main"', 'node = "mine"', "node 'mine' is not among", "mine"),
    ("unit id out of range", "gateways", 'address = "2"', 'address = "248"', "'248' is no Modbus unit id", "248"),
    ("unit id in words", "gateways", 'address = "2"', 'address = "two"', "'two' is no Modbus unit id", "two"),
    ("unit id with leading zeros", "gateways", 'address = "2"', 'address = "02"', "'02' has leading zeros", '"02"'),
    ("short DL/T 645 address", "gateways", "000000000003", "3", "'3' is no DL/T 645 address", 'address = "3"'),
    ("DL/T 645 broadcast", "gateways", "000000000003", "999999999999", "is no DL/T 645 address", "999999999999"),
    ("address twice", "gateways", 'address = "5"', 'address = "2" # taken',
     r"address 2 on port line is that of m-hall \(line 34\)", "# taken"),
    ("serial twice", "gateways", '"S-5"', '"S-2" # taken', r"serial S-2 is that of m-hall \(line 34\)", "# taken"),
    ("ct missing", "gateways", "ct = 40\n", "", "ct is missing", '[[meters]]\nid = "m-hall"'),
    ("ct of zero", "gateways", "ct = 40", "ct = 0", "ct is 0", "ct = 0"),
    ("ct as a yes", "gateways", "ct = 40", "ct = true", "ct is True", "ct = true"),
    ("ratio counted twice", "gateways", 'node = "main"\nct = 1', 'node = "main"\nct = 160',
     "count the primary side already; ct x pt is 160", "ct = 160"),
    ("two meters at once", "gateways", 'node = "cafe"', 'node = "hall" # two',
     r"meters m-hall \(line 34\) and m-cafe are at node hall at once", "# two"),
    ("end before start", "gateways", "from = 2026-07-21T10:07:00", "from = 2026-07-21T10:07:00\nto = 2026-07-20",
     "the end is not after the start", "to = 2026-07-20"),
    ("no time", "gateways", "from = 2026-07-21T10:07:00", "from = 7", "from is 7", "from = 7"),
    ("time out of all bounds", "gateways", "from = 2026-07-21T10:07:00", "from = 0001-01-01", "from is", "from = 0001"),
    ("time in words", "gateways", "from = 2026-07-21T10:07:00", 'from = "July"', "from is 'July'", '"July"'),
    ("local time that comes twice", "gateways", 'node = "cafe"', 'node = "cafe"\nfrom = 2025-10-26T02:30:00',
     r"2025-10-26T02:30:00 comes twice .*2025-10-26T00:30:00\+00:00", "from = 2025-10-26"),
    ("local time that does not exist", "gateways", 'node = "cafe"', 'node = "cafe"\nfrom = 2026-03-29T02:30:00',
     "2026-03-29T02:30:00 does not exist", "from = 2026-03-29"),
    # exchanges
    ("exchange of an unknown meter", "gateways", 'old = "m-shop"', 'old = "m-shap"', "'m-shap' is not among", "m-shap"),
    ("exchange at another node", "gateways", 'node = "shop"\nold', 'node = "cafe"\nold',
     "m-shop is at node shop, not at",
     'old = "m-shop"'),
    ("exchange before the old meter ends", "gateways", "at = 2026-07-21T10:07:00", "at = 2026-07-21T10:06:00",
     "m-shop does not end at this instant", "at = 2026-07-21T10:06:00"),
    ("exchange before the new meter starts", "gateways", "at = 2026-07-21T10:07:00", "at = 2026-07-21T10:06:00",
     "m-shop-2 does not start at this instant", "at = 2026-07-21T10:06:00"),
    ("exchange without time", "gateways", "at = 2026-07-21T10:07:00\n", "", "at is missing", "[[exchanges]]"),
    ("exchange not declared", "gateways", GATEWAYS[GATEWAYS.index("[[exchanges]]"):], "",
     "m-shop-2 follows m-shop and no exchange says", "from = 2026-07-21T10:07:00"),
    ("exchange twice", "gateways", "initial = \"0.12 kWh\"\n",
     'initial = "0.12 kWh"\n\n[[exchanges]] # again\nnode = "shop"\nold = "m-shop"\nnew = "m-shop-2"\n'
     'at = 2026-07-21T10:07:00\nfinal = "1 kWh"\ninitial = "2 kWh"\n', "stands already in line 80", "# again"),
    ("reading without unit", "gateways", "18342.67 kWh", "18342.67", "final is '18342.67'", 'final = "18342.67"'),
    ("reading of another quantity", "gateways", "18342.67 kWh", "18342.67 kW", "final is", "18342.67 kW"),
    ("negative reading", "gateways", "18342.67 kWh", "-1 kWh", "final is '-1 kWh'", "-1 kWh"),
    ("reading that is no number", "gateways", "18342.67 kWh", "NaN kWh", "final is 'NaN kWh'", "NaN kWh"),
    ("reading finer than 1 Wh", "gateways", "0.12 kWh", "0.1234 kWh", "not a whole number of Wh", "0.1234 kWh"),
    ("reading in an unknown unit", "gateways", "0.12 kWh", "0.12 miles", "unknown unit 'miles'", "miles"),
    ("reading in words", "gateways", "18342.67 kWh", "many kWh", "final is 'many kWh'", "many kWh"),
    ("reading missing", "gateways", 'final = "18342.67 kWh"\n', "", "final is missing", "[[exchanges]]"),
    ("channel malformed", "gateways", 'initial = "0.12 kWh"', 'initial = "0.12 kWh"\nobis = "1.8.0"',
     "'1.8.0' is not an OBIS code", "obis ="),
    # parties and leases
    ("no owner", "leases", 'kind = "owner"', 'kind = "tenant"', "the site has no owner", '[[parties]]\nid = "owner"'),
    ("two owners", "leases", 'kind = "tenant"', 'kind = "owner" # too', "t-1 is a second owner beside owner", "# too"),
    ("party kind unknown", "leases", '"tenant"', '"guest"', "kind is 'guest'", "guest"),
    ("lease of an unknown unit", "leases", '"unit-2"', '"unit-3"', "unit 'unit-3' is not among the units", "unit-3"),
    ("lease of an unknown party", "leases", 'party = "owner"', 'party = "nobody"', "'nobody' is not among", "nobody"),
    ("leases that overlap", "leases", "to = 2026-07-17T14:00:00", "to = 2026-07-17T14:15:00",
     r"lease l-2 overlaps lease l-1 \(line 11\) on unit unit-1", '[[leases]]\nid = "l-2"'),
    ("lease without end under another", "leases", "to = 2026-07-17T14:00:00\n", "", "lease l-2 overlaps lease l-1",
     '[[leases]]\nid = "l-2"'),
    ("lease that ends between marks", "leases", "to = 2026-07-17T14:00:00", "to = 2026-07-17T13:59:00",
     "lease l-1 begins or ends between two marks", "to = 2026-07-17T13:59"),
    ("lease that begins between marks", "leases", "from = 2026-01-01", "from = 2026-01-01T00:00:01",
     "lease l-1 begins or ends between two marks", "from = 2026-01-01T00:00:01"),
]  # fmt: skip


def test_a_site_without_mistakes_is_read(tmp_path: Path) -> None:
    site = read_site(write_site(tmp_path))
    assert site.unit("unit-1").area_cm2 == 1_205_000
    assert site.unit("unit-2").area_cm2 == 800_000
    assert site.meter("m-hall").multiplier == 40
    assert [meter.id for meter in site.meters_at("shop")] == ["m-shop", "m-shop-2"]
    assert site.owner.id == "owner"


@pytest.mark.parametrize(
    ("name", "old", "new", "said", "marker"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, name: str, old: str, new: str, said: str, marker: str) -> None:
    assert old in FILES[name]
    text = FILES[name].replace(old, new, 1)
    faults = faults_of(write_site(tmp_path, **{name: text}))
    place = f"{tmp_path / name}.toml:{text[: text.index(marker)].count(chr(10)) + 1}: "
    assert any(str(fault).startswith(place) and re.search(said, str(fault)) for fault in faults), [*map(str, faults)]


def test_one_mistake_is_told_once_and_spoils_nothing_else(tmp_path: Path) -> None:
    """A meter with a wrong ratio is still a meter: nobody is told that its node has none, or its exchange is wrong."""
    text = GATEWAYS.replace("ct = 1\npt = 1", "ct = 0\npt = 1")
    faults = faults_of(write_site(tmp_path, gateways=text))
    assert [fault.problem for fault in faults] == ["ct is 0"] * 4


EXPORT_EXCHANGE = GATEWAYS[GATEWAYS.rindex("[[exchanges]]") :]


def test_an_exchange_that_leaves_out_a_counted_register_is_shown(tmp_path: Path) -> None:
    (fault,) = faults_of(write_site(tmp_path, gateways=GATEWAYS.replace(EXPORT_EXCHANGE, "")))
    kept = GATEWAYS.replace(EXPORT_EXCHANGE, "")
    assert fault.line == line_of(kept, "[[exchanges]]")
    assert fault.problem == "both meters count 1-0:2.8.0 and no exchange says what it showed"
    assert 'obis = "1-0:2.8.0"' in fault.mend


def test_an_exchange_that_cannot_be_read_is_not_missed_as_well(tmp_path: Path) -> None:
    faults = faults_of(write_site(tmp_path, gateways=GATEWAYS.replace('final = "3.00 kWh"', 'final = "3.00"')))
    assert [fault.line for fault in faults] == [line_of(GATEWAYS, 'final = "3.00 kWh"')]


def test_all_mistakes_are_told_at_once_in_reading_order(tmp_path: Path) -> None:
    site = SITE.replace("EUR", "euro").replace('"120.5"', '"0"')
    leases = LEASES.replace('"unit-2"', '"unit-9"')
    faults = faults_of(write_site(tmp_path, site=site, leases=leases))
    assert [(Path(fault.path).name, fault.line) for fault in faults] == [
        ("site.toml", 4),
        ("site.toml", line_of(site, 'area_m2 = "0"')),
        ("leases.toml", line_of(leases, "unit-9")),
    ]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    write_site(tmp_path)
    (tmp_path / "leases.toml").unlink()
    assert any("leases.toml:1: cannot be read" in str(fault) for fault in faults_of(tmp_path))


def test_an_empty_site_says_where_to_begin(tmp_path: Path) -> None:
    problems = {fault.problem for fault in faults_of(write_site(tmp_path, site="", gateways="", leases=""))}
    assert {"the site has no nodes", "the site has no owner", "zone is missing", "id is missing"} <= problems


def test_a_site_without_main_meter_is_refused(tmp_path: Path) -> None:
    text = SITE.replace('kind = "main"', 'kind = "branch"\nparent = "hall"')
    assert "no node is of kind main" in {fault.problem for fault in faults_of(write_site(tmp_path, site=text))}


def test_a_circle_in_the_tree_is_told_for_each_node_in_it(tmp_path: Path) -> None:
    text = SITE.replace('kind = "end"\nparents', 'kind = "branch"\nparents').replace(
        'parent = "main"\nnames = "Hall"', 'parent = "cafe"\nnames = "Hall"'
    )
    circles = [fault for fault in faults_of(write_site(tmp_path, site=text)) if "circle" in fault.problem]
    assert [fault.problem for fault in circles] == [
        "the tree runs in a circle: hall -> cafe -> hall",
        "the tree runs in a circle: cafe -> hall -> cafe",
    ]


def test_a_circle_that_lasts_only_a_while_is_found(tmp_path: Path) -> None:
    text = SITE.replace('kind = "end"\nparents', 'kind = "branch"\nparents').replace(
        'parent = "main"\nnames = "Hall"',
        'parents = [{ parent = "main", to = 2026-06-01 }, { parent = "cafe", from = 2026-06-01 }]\nnames = "Hall"',
    )
    circles = [fault for fault in faults_of(write_site(tmp_path, site=text)) if "circle" in fault.problem]
    assert [fault.line for fault in circles] == [
        line_of(text, 'parents = [{ parent = "main"'),
        line_of(text, 'parents = [{ parent = "hall"'),
    ]


def test_an_address_may_be_used_again_once_the_meter_is_gone(tmp_path: Path) -> None:
    text = GATEWAYS.replace("000000000004", "000000000003")
    assert len(read_site(write_site(tmp_path, gateways=text)).meters) == 5


def test_times_are_local_times_of_the_site(tmp_path: Path) -> None:
    site = read_site(write_site(tmp_path))
    leases = {lease.id: lease for lease in site.leases}
    assert leases["l-1"].span.end == datetime(2026, 7, 17, 12, tzinfo=UTC)
    assert leases["l-1"].span.start == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert leases["l-3"].span.start is None


def test_a_time_with_an_offset_tells_which_of_two_hours_is_meant(tmp_path: Path) -> None:
    text = GATEWAYS.replace('node = "cafe"', 'node = "cafe"\nfrom = 2025-10-26T02:30:00+01:00')
    site = read_site(write_site(tmp_path, gateways=text))
    assert site.meter("m-cafe").span.start == datetime(2025, 10, 26, 1, 30, tzinfo=UTC)


def test_the_order_of_entries_and_of_keys_changes_nothing(tmp_path: Path) -> None:
    first = read_site(write_site(tmp_path))
    head, *tables = re.split(r"(?=^\[\[)", GATEWAYS, flags=re.M)
    second = read_site(write_site(tmp_path, gateways=head + "\n".join(reversed(tables))))
    assert second == first
    assert second.hash == first.hash


def test_the_example_park_is_a_site() -> None:
    site = read_site(PARK)
    july = datetime(2026, 7, 10, tzinfo=UTC)
    assert [node.id for node in site.children_at("main", july)] == ["bldg-a", "bldg-b", "common"]
    assert [node.id for node in site.children_at("common", july)] == ["fire-pump", "guard-room", "lift", "lobby-ac"]
    assert sum(node.kind is NodeKind.END for node in site.nodes) == 15
    assert {meter.id for meter in site.meters_of("gw-b")} >= {"m-main", "m-lab-purifier"}
    leased = {lease.unit for lease in site.leases}
    assert {unit.id for unit in site.units} - leased == {"b202"}
    assert site.exchanges[0].at == datetime(2026, 7, 21, 2, 7, tzinfo=UTC)


def test_the_example_park_survives_its_document_form() -> None:
    site = read_site(PARK)
    again = Site.from_document(site.to_document())
    assert again == site
    assert again.hash == site.hash
