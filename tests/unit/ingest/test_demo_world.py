"""The loads file of a small site, the registers its meters show, and the time they show them at."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from ingest.demo.loads_file import Play, read_play
from ingest.demo.measured_loads import Gap
from ingest.demo.time_server import PlayedTime
from ingest.demo.world import BEFORE_PLAY, PlayedRegisters
from metering.errors import DocumentError
from metering.identity import GatewayId, MeterId, NodeId, PortId, SiteId
from metering.interval import SLOT, SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, POWER_NET, Obis
from metering.quantity import Shown, Unit
from provisioning.site import (
    ALWAYS,
    Exchange,
    Gateway,
    Meter,
    Names,
    Node,
    NodeKind,
    Placement,
    Site,
    Span,
    TcpPort,
)

SHANGHAI = SiteCalendar("Asia/Shanghai")
JULY = SHANGHAI.month("2026-07")
EXCHANGED_AT = JULY.start + timedelta(days=20, hours=10, minutes=7)
MAIN, SHOP, SOLAR = NodeId("main"), NodeId("shop"), NodeId("solar")
CATALOGUE = Catalogue.shipped()
GW = GatewayId("gw-a")
NAMES = Names("名", "name")

FLAT = "[" + ", ".join(["1000"] * 24) + "]"
LOADS = f"""
[play]
period = "2026-07"
seed = 7
[shapes.flat]
workday = {FLAT}
restday = {FLAT}
[loads.shop]
peak_w = 4000
shape = "flat"
noise_per_mille = 0
[loads.solar]
peak_w = -5000
shape = "flat"
noise_per_mille = 0
[losses.main]
flow_per_mille = 0
standing_w = 400
[registers.m-main]
at_start_kwh = "999.50"
[[offline]]
gateway = "gw-a"
day = 2026-07-09
"""


def meter(name: str, node: NodeId, *, ct: int = 1, span: Span = ALWAYS) -> Meter:
    """A meter of the small site; what does not matter here is the same for all."""
    return Meter(MeterId(name), f"S-{name}", "acrel/adl400", Protocol.MODBUS_TCP, PortId("tcp"), "1", node, span, ct, 1)


@pytest.fixture
def site() -> Site:
    """Main, a shop whose meter is exchanged on the 21st at 10:07, and a solar plant."""

    def node(name: NodeId, kind: NodeKind) -> Node:
        placements = () if name == MAIN else (Placement(MAIN, ALWAYS),)
        return Node(name, kind, placements, NAMES, "1")

    exchange = Exchange(
        node=SHOP,
        old=MeterId("m-shop"),
        new=MeterId("m-shop-2"),
        at=EXCHANGED_AT,
        final=Shown(1_234_567, -2, Unit.KWH),
        initial=Shown(3, 0, Unit.KWH),
        obis=ENERGY_IMPORT,
    )
    return Site(
        id=SiteId("small"),
        names=NAMES,
        calendar=SHANGHAI,
        currency="CNY",
        nodes=(node(MAIN, NodeKind.MAIN), node(SHOP, NodeKind.END), node(SOLAR, NodeKind.GENERATION)),
        meters=(
            meter("m-main", MAIN, ct=20),
            meter("m-shop", SHOP, span=Span(None, EXCHANGED_AT)),
            meter("m-shop-2", SHOP, span=Span(EXCHANGED_AT, None)),
            meter("m-solar", SOLAR),
        ),
        exchanges=(exchange,),
        units=(),
        parties=(),
        leases=(),
        gateways=(Gateway(GW, NAMES),),
        ports=(TcpPort(id=PortId("tcp"), gateway=GW, host="127.0.0.1", port=502, tolerance_s=60),),
    )


ReadLoads = Callable[..., Play]


@pytest.fixture
def read_loads(tmp_path: Path, site: Site) -> ReadLoads:
    """Write a loads file and read it."""

    def read(text: str = LOADS, *, csv: Path | None = None, days: int | None = None) -> Play:
        path = tmp_path / "loads.toml"
        path.write_text(text, encoding="utf-8")
        return read_play(path, site, csv=csv, days=days)

    return read


@pytest.fixture
def registers(read_loads: ReadLoads, site: Site) -> PlayedRegisters:
    """What the meters of the small site show."""
    return PlayedRegisters(read_loads(), site, GW, CATALOGUE)


def at(registers: PlayedRegisters, name: str, instant: datetime, obis: Obis = ENERGY_IMPORT) -> int | None:
    """Ask one register at one instant."""
    assert registers.advance_to(instant)
    return registers.register(MeterId(name), obis)


def test_a_play_covers_the_month_and_the_days_asked_for(read_loads: ReadLoads) -> None:
    play = read_loads(days=2)
    assert play.month == JULY
    assert play.played.start == JULY.start
    assert play.played.slot_count == 2 * 96
    assert play.energies[MAIN].import_wh.shape == (2977,)
    assert read_loads(days=40).played == JULY
    assert [(offline.gateway, offline.span) for offline in play.offline] == [
        (GW, SHANGHAI.day(datetime(2026, 7, 9, tzinfo=UTC).date()))
    ]


def test_import_and_export_count_apart(registers: PlayedRegisters) -> None:
    noon = JULY.start + timedelta(hours=12)
    before = at(registers, "m-solar", JULY.start)
    assert at(registers, "m-solar", noon) == before
    assert at(registers, "m-solar", noon, ENERGY_EXPORT) == 60_000
    assert at(registers, "m-solar", noon, POWER_NET) == -5_000


def test_a_register_starts_where_the_file_says_and_counts_behind_its_transformer(registers: PlayedRegisters) -> None:
    # The main takes 4000 - 5000 + 400 W: it feeds back 600 W, 30 W behind the transformer of ratio 20.
    hour = JULY.start + timedelta(hours=1)
    assert at(registers, "m-main", hour) == 999_500
    assert at(registers, "m-main", hour, ENERGY_EXPORT) == 30
    assert at(registers, "m-main", hour, POWER_NET) == -30


def test_an_exchange_shows_its_declared_final_and_initial_reading(registers: PlayedRegisters) -> None:
    mark = EXCHANGED_AT - timedelta(minutes=7)
    # 4000 W for 7 minutes are 466.7 Wh, for 8 minutes 533.3 Wh.
    assert at(registers, "m-shop", mark) == 12_345_670 - 466
    assert at(registers, "m-shop-2", mark + SLOT) == 3_000 + 534


def test_a_meter_is_off_the_bus_outside_its_span(registers: PlayedRegisters) -> None:
    assert at(registers, "m-shop-2", EXCHANGED_AT - SLOT) is None
    assert at(registers, "m-shop", EXCHANGED_AT) is None


def test_registers_run_straight_between_marks(registers: PlayedRegisters) -> None:
    start = at(registers, "m-shop", JULY.start)
    assert start is not None
    assert at(registers, "m-shop", JULY.start + timedelta(seconds=450)) == start + 500


def test_a_register_nothing_is_known_of_stands_at_zero(registers: PlayedRegisters) -> None:
    assert at(registers, "m-shop", JULY.start, Obis.parse("1-0:3.8.0")) == 0


def test_registers_without_an_entry_start_at_a_number_of_the_seed(read_loads: ReadLoads) -> None:
    first, again = (
        read_loads().anchors[MeterId("m-solar"), ENERGY_IMPORT],
        read_loads().anchors[MeterId("m-solar"), ENERGY_IMPORT],
    )
    other = read_loads(LOADS.replace("seed = 7", "seed = 8")).anchors[MeterId("m-solar"), ENERGY_IMPORT]
    assert first == again
    assert first.register_wh % 10 == 0
    assert first.register_wh != other.register_wh


def test_a_world_that_starts_again_shows_the_same(read_loads: ReadLoads, site: Site) -> None:
    play = read_loads()
    one, other = PlayedRegisters(play, site, GW, CATALOGUE), PlayedRegisters(play, site, GW, CATALOGUE)
    for day in range(12):
        at(one, "m-main", JULY.start + timedelta(days=day))
    instant = JULY.start + timedelta(days=11)
    for name in ("m-main", "m-shop", "m-solar"):
        assert at(one, name, instant) == at(other, name, instant)


CSV_LOADS = """
[play]
seed = 7
[csv]
time = "local_time"
unread = ["shop_kvar"]
[csv.columns.shop_kw]
node = "shop"
direction = "import"
[csv.columns.sun_kw]
node = "solar"
direction = "export"
"""


def write_csv(path: Path, missing: range) -> Path:
    """A month of two columns, with a gap in the shop's."""
    rows = [
        f"{SHANGHAI.local(mark):%Y-%m-%d %H:%M},{'' if slot in missing else '4'},1,2.5"
        for slot, mark in enumerate(list(JULY.marks())[:-1])
    ]
    path.write_text("\n".join(["local_time,shop_kw,shop_kvar,sun_kw", *rows]) + "\n", encoding="utf-8")
    return path


def test_measured_columns_become_the_loads_of_their_nodes(read_loads: ReadLoads, tmp_path: Path, site: Site) -> None:
    play = read_loads(CSV_LOADS, csv=write_csv(tmp_path / "l.csv", range(4, 6)))
    assert play.period == "2026-07"
    assert play.gaps == {SHOP: (Gap(4, 2),)}
    registers = PlayedRegisters(play, site, GW, CATALOGUE)
    start = at(registers, "m-shop", JULY.start)
    assert start is not None
    shown = [at(registers, "m-shop", JULY.start + mark * SLOT) for mark in range(8)]
    assert shown == [start, *(start + 1000 * n for n in (1, 2, 3, 4)), None, None, start + 7000]
    assert at(registers, "m-solar", JULY.start + SLOT, ENERGY_EXPORT) == 625
    assert at(registers, "m-main", JULY.start + SLOT, POWER_NET) == 1500 // 20


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ('period = "2026-07"', 'period = "July"', 3, "'July' is not a month"),
        ("seed = 7", "seed = '7'", 4, "seed is '7'"),
        ("seed = 7", "", 2, "seed is missing"),
        (f"workday = {FLAT}", "workday = [1, 2]", 6, "not 24 whole numbers"),
        ("[loads.shop]", "[loads.shed]", 8, "the site has no node 'shed'"),
        ("peak_w = 4000", "peak_w = 4000000000", 9, "4000000000 is out of range"),
        (
            'shape = "flat"\nnoise_per_mille = 0\n[loads.s',
            'shape = "round"\nnoise_per_mille = 0\n[loads.s',
            10,
            "shape",
        ),
        ("[losses.main]", "[losses.mian]", 16, "the site has no node 'mian'"),
        ("[registers.m-main]", "[registers.m-mian]", 19, "the site has no meter 'm-mian'"),
        ('"999.50"', '"999.5004"', 20, "'999.5004' is not a register in kWh"),
        ('"999.50"', '"much"', 20, "'much' is not a register in kWh"),
        ('gateway = "gw-a"', 'gateway = "gw-z"', 22, "no gateway 'gw-z'"),
        ("day = 2026-07-09", "day = 9", 23, "9 is no day"),
        ("[losses.main]", "[loses.main]", 16, "'loses' is not known here"),
    ],
)
def test_a_mistake_is_shown_with_its_line(read_loads: ReadLoads, old: str, new: str, line: int, problem: str) -> None:
    assert old in LOADS
    with pytest.raises(DocumentError) as caught:
        read_loads(LOADS.replace(old, new, 1))
    assert (line, True) in {(fault.line, problem in fault.problem) for fault in caught.value.faults}, caught.value


def test_a_csv_that_the_loads_file_does_not_map_is_refused(read_loads: ReadLoads, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"no column of x\.csv is mapped to a node"):
        read_loads(csv=tmp_path / "x.csv")


def test_mapped_columns_without_a_csv_are_refused(read_loads: ReadLoads) -> None:
    with pytest.raises(DocumentError, match="come from a CSV file, and none is given"):
        read_loads(CSV_LOADS)


def test_a_direction_must_be_one_of_two(read_loads: ReadLoads, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="'out' is no direction"):
        read_loads(CSV_LOADS.replace('"export"', '"out"'), csv=tmp_path / "x.csv")


class Answers:
    """Played time that is asked without a socket, and the advances its listener heard of."""

    def __init__(self, registers: PlayedRegisters) -> None:
        self.heard: list[tuple[GatewayId, datetime]] = []
        self.time = PlayedTime({GW: registers}, lambda gateway, instant: self.heard.append((gateway, instant)))

    def to(self, **request: object) -> dict[str, str] | None:
        """Answer one request."""
        return self.time.answer(json.dumps(request).encode())


@pytest.fixture
def answers(registers: PlayedRegisters) -> Answers:
    """Ask for the small site's time."""
    return Answers(registers)


def test_time_stands_before_the_first_mark_until_it_is_advanced(answers: Answers) -> None:
    assert answers.to(gateway="gw-a") == {"now": (JULY.start - BEFORE_PLAY).isoformat()}
    assert answers.heard == []


def test_an_advance_moves_the_meters_and_is_told(answers: Answers, registers: PlayedRegisters) -> None:
    noon = JULY.start + timedelta(hours=12)
    assert answers.to(gateway="gw-a", advance_to=noon.isoformat()) == {"now": noon.isoformat()}
    assert registers.now == noon
    assert answers.heard == [(GW, noon)]


def test_time_stands_still_beyond_the_end_of_the_play(answers: Answers, registers: PlayedRegisters) -> None:
    assert answers.to(gateway="gw-a", advance_to=JULY.end.isoformat()) is not None
    assert answers.to(gateway="gw-a", advance_to=(JULY.end + SLOT).isoformat()) is None
    assert registers.now == JULY.end


def test_time_goes_back_for_a_gateway_that_repeats_a_sweep(answers: Answers, registers: PlayedRegisters) -> None:
    for hours in (5, 4):
        answers.to(gateway="gw-a", advance_to=(JULY.start + timedelta(hours=hours)).isoformat())
    assert registers.now == JULY.start + timedelta(hours=4)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"{}", b'{"gateway": "gw-z"}', b'{"gateway": "gw-a", "advance_to": "2026-07-01T00:00:00"}'],
)
def test_what_is_no_request_is_refused(answers: Answers, line: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        answers.time.answer(line)
