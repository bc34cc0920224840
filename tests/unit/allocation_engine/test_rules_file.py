"""Tariff and pools as people write them: what is read, and every mistake with its file and line."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from allocation_engine.formula.syntax import LENGTH_MAX
from allocation_engine.pools import (
    AreaRule,
    DirectRule,
    Fallback,
    Grain,
    Measure,
    OwnUseRule,
    PassThroughRule,
    PoolClass,
)
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import read_rules, rules_from_document
from metering.errors import DocumentError
from metering.identity import NodeId, PartyId, UnitId

PARK = Path(__file__).parents[3] / "examples" / "park"

TARIFF = """\
format = 1
currency = "CNY"

[[versions]]
id = "v-1"
from = 2026-01-01

[versions.rates]
day = "0.9"
night = "0.3"

[[versions.seasons]]
months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
day = ["07:00-22:00"]
night = ["22:00-07:00"]
"""

POOLS = """\
format = 1

[[series]]
name = "tmax"
unit = "C"
file = "weather.csv"
column = "tmax_c"
source = "station"
missing_day = "refuse"

[[pools]]
id = "lift"
class = "must"
names = { zh = "电梯", en = "Lift" }
rule = "area"
path = ["lift"]
measure = "import"
units = "all"
grain = "period"
from = 2026-01-01

[[pools]]
id = "lobby"
class = "negotiated"
agreement = "resolution 4"
names = { zh = "大堂", en = "Lobby" }
rule = "formula"
reading = "pass-through"
formula = "main_delta * (floor_area / total_area) * (tmax - 26) / 10"
clamp = ["0", "1"]
residual = "owner"
path = ["lobby"]
measure = "import"
grain = "day"
from = 2026-01-01

[pools.floors]
f-1 = ["a"]
f-2 = ["b"]

[[pools]]
id = "lab"
class = "exclusive"
names = { zh = "实验室", en = "Lab" }
rule = "direct"
path = ["lab"]
unit = "a"
measure = "import"
from = 2026-01-01
"""

WEATHER = "# made up\nday,tmax_c\n2026-07-01,31.5\n2026-07-02,24\n"

NAMES = SiteNames(
    nodes=frozenset(NodeId(node) for node in ("main", "lift", "lobby", "lab", "u-a", "u-b")),
    units={UnitId("a"): NodeId("u-a"), UnitId("b"): NodeId("u-b")},
    parties=frozenset({PartyId("owner"), PartyId("t-1")}),
    owner=PartyId("owner"),
    currency="CNY",
)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the three files, with replacements in one of them."""

    def write_files(*replacements: tuple[str, str], file: str = "pools.toml", weather: str = WEATHER) -> Path:
        texts = {"tariff.toml": TARIFF, "pools.toml": POOLS}
        for old, new in replacements:
            assert old in texts[file], old
            texts[file] = texts[file].replace(old, new, 1)
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / "weather.csv").write_text(weather, encoding="utf-8")
        return tmp_path

    return write_files


def faults(directory: Path) -> list[str]:
    """The faults, as `file:line: problem (mend)`."""
    with pytest.raises(DocumentError) as caught:
        read_rules(directory, NAMES)
    return [str(fault).removeprefix(f"{directory}/") for fault in caught.value.faults]


def only_fault(directory: Path) -> str:
    """The one fault there must be."""
    found = faults(directory)
    assert len(found) == 1, found
    return found[0]


def test_pools_are_read_with_their_rules(write: Write) -> None:
    lift, lobby, lab = read_rules(write(), NAMES).pools
    assert (lift.pool_class, lift.path, lift.measure) == (PoolClass.MUST, ("lift",), Measure.IMPORT)
    assert lift.rule == AreaRule(("a", "b"), Grain.PERIOD, None)
    assert isinstance(lobby.rule, PassThroughRule)
    assert (lobby.rule.floors, lobby.rule.passed_on_max) == ((("f-1", ("a",)), ("f-2", ("b",))), Fraction(1))
    assert (lobby.rule.residual, lobby.agreement) == ("owner", "resolution 4")
    assert lab.rule == DirectRule(UnitId("a"))


def test_a_pool_may_name_fallback_deduction_units_and_dates(write: Write) -> None:
    more = 'units = ["b"]\nfallback = "equal"\ndeduct = ["u-a"]\nto = 2027-01-01\nreview_by = 2026-12-01'
    lift = read_rules(write(('units = "all"', more)), NAMES).pools[0]
    assert lift.rule == AreaRule((UnitId("b"),), Grain.PERIOD, Fallback.EQUAL)
    assert lift.deduct == ("u-a",)
    assert (str(lift.valid_to), str(lift.review_by)) == ("2027-01-01", "2026-12-01")


def test_own_use_takes_the_units_own_meters(write: Write) -> None:
    lab = read_rules(write(('rule = "direct"\npath = ["lab"]\nunit = "a"', 'rule = "own-use"\nunits = "all"')), NAMES)
    assert lab.pools[2].rule == OwnUseRule((UnitId("a"), UnitId("b")))


def test_series_are_exact_numbers_per_day(write: Write) -> None:
    (tmax,) = read_rules(write(), NAMES).series
    assert [(str(day), number) for day, number in tmax.days] == [("2026-07-01", Fraction(63, 2)), ("2026-07-02", 24)]
    assert (tmax.unit, tmax.source) == ("C", "station")


def test_a_stored_version_means_what_its_files_meant(write: Write) -> None:
    rules = read_rules(write(), NAMES)
    stored = rules_from_document(json.loads(json.dumps(rules.document)), NAMES)
    assert (stored.tariff, stored.pools, stored.series) == (rules.tariff, rules.pools, rules.series)
    assert stored.hash == rules.hash


def test_layout_and_remarks_do_not_change_the_version(write: Write) -> None:
    plain = read_rules(write(), NAMES).hash
    assert read_rules(write(('grain = "period"', 'grain = "period"   # once a month')), NAMES).hash == plain
    assert read_rules(write(weather=WEATHER.replace("# made up\n", "")), NAMES).hash == plain


def test_another_number_of_the_series_is_another_version(write: Write) -> None:
    assert read_rules(write(weather=WEATHER.replace("24", "25")), NAMES).hash != read_rules(write(), NAMES).hash


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('class = "must"\n', "", "pools.toml:11: class is missing"),
        ('class = "must"', 'class = "most"', "pools.toml:13: class is 'most'"),
        ('path = ["lift"]\n', "", "pools.toml:11: path is missing"),
        ('path = ["lift"]', 'path = ["lft"]', "pools.toml:16: unknown node 'lft' (did you mean 'lift'?)"),
        ('path = ["lift"]', "path = []", "pools.toml:16: path is []"),
        ('path = ["lift"]', 'path = ["lift", "lift"]', "pools.toml:16: path is ['lift', 'lift']"),
        ('units = "all"', 'units = ["a", "c"]', "pools.toml:18: unknown unit 'c'"),
        ('grain = "period"', 'grain = "hour"', "pools.toml:19: grain is 'hour'"),
        ('measure = "import"', 'measure = "export"', "pools.toml:17: measure is 'export'"),
        ("from = 2026-01-01", 'from = "soon"', "pools.toml:20: from is 'soon'"),
        ("from = 2026-01-01", "from = 2026-01-01\nto = 2025-01-01", "pools.toml:21: the end is not after the start"),
        ("from = 2026-01-01", "from = 2026-01-01\nweight = 2", "pools.toml:21: unknown key 'weight'"),
        ('names = { zh = "电梯", en = "Lift" }', 'names = "Lift"', "pools.toml:14: names is 'Lift'"),
        ('id = "lift"', 'id = "Lift"', "pools.toml:12: 'Lift' is not an identifier"),
        ('id = "lift"', 'id = "lobby"', "pools.toml:23: two pools are called 'lobby'"),
        ('class = "must"', 'class = "exclusive"', "pools.toml:15: a pool of class exclusive cannot be split by rule"),
        ('agreement = "resolution 4"\n', "", "pools.toml:22: a negotiated pool rests on an agreement"),
        ("(tmax - 26)", "(tmin - 26)", "pools.toml:29: unknown input 'tmin' at character 43"),
        (
            " * (floor_area / total_area)",
            " * floor_area",
            "pools.toml:29: the result is m2 money but must be money",
        ),
        ("main_delta * (floor_area / total_area) * (tmax - 26) / 10", "1 +", "pools.toml:29: a number or an input was"),
        (
            'clamp = ["0", "1"]',
            'clamp = ["0", "1.4"]',
            "pools.toml:30: clamp is ['0', '1.4']; lines and residual would not",
        ),
        ('clamp = ["0", "1"]', 'clamp = ["-1", "1"]', "pools.toml:30: clamp is ['-1', '1']"),
        ('clamp = ["0", "1"]', "clamp = [0, 1]", "pools.toml:30: clamp is [0, 1]"),
        ('clamp = ["0", "1"]\n', "", "pools.toml:22: clamp is missing"),
        ('residual = "owner"', 'residual = "nobody"', "pools.toml:31: unknown party 'nobody'"),
        ('residual = "owner"\n', "", "pools.toml:22: residual is missing"),
        ('reading = "pass-through"\n', "", "pools.toml:22: reading is missing"),
        ('reading = "pass-through"', 'reading = "either"', "pools.toml:28: reading is 'either'"),
        ('grain = "day"', 'grain = "period"', "pools.toml:34: tmax changes daily"),
        ('f-2 = ["b"]', 'f-2 = ["a"]', "pools.toml:37: each unit must stand on one floor"),
        ('path = ["lobby"]', 'path = ["lift"]', "pools.toml:32: node lift is charged by pool lift too"),
        ('unit = "a"', 'unit = "c"', "pools.toml:47: unknown unit 'c'"),
        ('missing_day = "refuse"', 'missing_day = "guess"', "pools.toml:9: missing_day is 'guess'"),
        ("format = 1", "format = 2", "pools.toml:1: format is 2"),
    ],
)
def test_a_mistake_in_pools_is_shown_where_it_stands(write: Write, old: str, new: str, told: str) -> None:
    assert only_fault(write((old, new))).startswith(told)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('currency = "CNY"', 'currency = "USD"', "tariff.toml:2: the site counts in CNY, the tariff in USD"),
        ('currency = "CNY"', 'currency = "XTS"', "tariff.toml:2: unknown currency 'XTS'"),
        ('day = "0.9"', 'day = "nine"', "tariff.toml:9: 'nine' is not a decimal number"),
        ('day = "0.9"', "day = 0.9", "tariff.toml:9: day must be a text, not 0.9"),
        ('day = "0.9"', 'day = "0.1234567"', "tariff.toml:9: '0.1234567' must be below a million"),
        ('"07:00-22:00"', '"07:00-21:30"', "tariff.toml:12: no band holds at 21:30"),
        ('"07:00-22:00"', '"06:30-22:00"', "tariff.toml:15: 06:30 is in day and in night"),
        ('"22:00-07:00"', '"22:00-07:00", "12:15-13:00"', "tariff.toml:15: '12:15-13:00' are no hours"),
        ('"22:00-07:00"', '"22:00-07:00", "24:00-25:00"', "tariff.toml:15: '24:00-25:00' are no hours"),
        ("8, 9, 10, 11, 12]", "8, 9, 10, 11]", "tariff.toml:4: month 12 is in 0 seasons"),
        ("11, 12]", "11, 12, 12]", "tariff.toml:4: month 12 is in 2 seasons"),
        ("from = 2026-01-01", "from = 2026-01-01\nto = 2026-01-01", "tariff.toml:7: the end is not after the start"),
        ('id = "v-1"\n', "", "tariff.toml:4: id is missing"),
        ("[[versions]]", "[versions]", "tariff.toml:4: versions must be an array of tables"),
        ("format = 1", "format = ", "tariff.toml:1: not TOML"),
    ],
)
def test_a_mistake_in_the_tariff_is_shown_where_it_stands(write: Write, old: str, new: str, told: str) -> None:
    assert any(fault.startswith(told) for fault in faults(write((old, new), file="tariff.toml")))


def test_a_band_without_a_rate_is_shown(write: Write) -> None:
    assert "tariff.toml:14: band 'night' has no rate (known: day)" in faults(
        write(('night = "0.3"\n', ""), file="tariff.toml")
    )


def test_versions_that_overlap_are_shown(write: Write) -> None:
    second = TARIFF[TARIFF.index("[[versions]]") :].replace("v-1", "v-2").replace("2026-01-01", "2026-07-01")
    directory = write()
    (directory / "tariff.toml").write_text(f"{TARIFF}\n{second}", encoding="utf-8")
    assert only_fault(directory).startswith("tariff.toml:19: versions v-1 and v-2 overlap")


@pytest.mark.parametrize(
    ("weather", "told"),
    [
        ("day,rain\n", "weather.csv:1: no columns day and tmax_c"),
        ("", "weather.csv:1: no columns day and tmax_c"),
        ("day,tmax_c\n2026-07-32,30\n", "weather.csv:2: '2026-07-32' is no day"),
        ("day,tmax_c\n2026-07-01,warm\n", "weather.csv:2: 'warm' is no number"),
        ("day,tmax_c\n2026-07-01\n", "weather.csv:2: '' is no number"),
        ("day,tmax_c\n2026-07-02,30\n2026-07-02,31\n", "weather.csv:3: 2026-07-02 does not come after 2026-07-02"),
    ],
)
def test_a_mistake_in_a_series_is_shown_where_it_stands(write: Write, weather: str, told: str) -> None:
    assert only_fault(write(weather=weather)).startswith(told)


@pytest.mark.parametrize(("key", "written"), [("file", '"weather.csv"'), ("column", '"tmax_c"')])
@pytest.mark.parametrize("wrong", ["12.5", "7", "true", '["a"]', '""'])
def test_a_file_or_column_that_is_no_text_is_shown_where_it_stands(
    write: Write, key: str, written: str, wrong: str
) -> None:
    line = 6 if key == "file" else 7
    told = only_fault(write((f"{key} = {written}", f"{key} = {wrong}")))
    assert told.startswith(f"pools.toml:{line}: {key} must be a text")


@pytest.mark.parametrize("wrong", ["12.5", "7", "false"])
def test_the_file_of_unit_numbers_that_is_no_text_is_shown_where_it_stands(write: Write, wrong: str) -> None:
    numbers = f'[[unit_numbers]]\nname = "heads"\nunit = "persons"\nsource = "list"\nfile = {wrong}\n\n[[series]]'
    told = only_fault(write(("[[series]]", numbers)))
    assert told.startswith("pools.toml:7: file must be a text")


def test_a_faulty_series_does_not_hide_the_mistakes_of_the_rules(write: Write) -> None:
    found = faults(write(('class = "must"', 'class = "most"'), weather="day,tmax_c\n2026-07-01,warm\n"))
    assert [fault.partition(" ")[0] for fault in found] == ["weather.csv:2:", "pools.toml:13:"]


def test_all_mistakes_of_all_files_are_shown_at_once(write: Write) -> None:
    directory = write(
        ('class = "must"', 'class = "most"'), ("(tmax - 26)", "(tmin - 26)"), ('unit = "a"', 'unit = "c"')
    )
    (directory / "tariff.toml").write_text(TARIFF.replace('day = "0.9"', 'day = "nine"'), encoding="utf-8")
    assert [fault.partition(" ")[0] for fault in faults(directory)] == [
        "tariff.toml:9:",
        "pools.toml:13:",
        "pools.toml:29:",
        "pools.toml:47:",
    ]


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    assert [fault.partition(":")[0] for fault in faults(tmp_path)] == ["tariff.toml", "pools.toml"]


def test_a_formula_of_any_length_cannot_blow_up_the_reader(write: Write) -> None:
    assert f"at most {LENGTH_MAX} characters" in only_fault(write(("(tmax - 26)", "(tmax" + " + 1" * 500 + ")")))


def park_rules() -> Rules:
    """The rules of the example park, which a user copies."""
    nodes = ["lift", "fire-pump", "lobby-ac", "lab-purifier"]
    units = {
        UnitId(one): NodeId(f"u-{one}")
        for one in ["a101", "a102", "a201", "a202", "a301", "b101", "b102", "b201", "b202", "b301"]
    }
    owner = PartyId("owner")
    names = SiteNames(frozenset([*map(NodeId, nodes), *units.values()]), dict(units), frozenset({owner}), owner, "CNY")
    return read_rules(PARK, names)


def test_the_example_park_has_one_pool_of_each_class_beside_own_use() -> None:
    classes = {pool.id: pool.pool_class for pool in park_rules().pools}
    assert classes == {
        "own-use": PoolClass.EXCLUSIVE,
        "lift-and-fire-pump": PoolClass.MUST,
        "lobby-ac": PoolClass.NEGOTIATED,
        "lab-purifier": PoolClass.EXCLUSIVE,
    }


def test_the_example_weather_has_days_in_every_part_of_the_clamp() -> None:
    (tmax,) = park_rules().series
    temperatures = [number for _, number in tmax.days]
    assert len(temperatures) == 31
    assert min(temperatures) < 26
    assert 26 in temperatures
    assert any(26 < one < 36 for one in temperatures)
    assert max(temperatures) > 36
