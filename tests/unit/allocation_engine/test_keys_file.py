"""Keys, stages, demand, services and agreements as people write them: every mistake with its file and line."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from allocation_engine.keys import DemandMethod, Driver, Key
from allocation_engine.pools import DemandRule, Fallback, Grain, KeyedRule, Rule
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import read_rules, rules_from_document
from allocation_engine.service_costs import ServiceMethod
from allocation_engine.tables_file import shipped_tables
from metering.errors import DocumentError
from metering.identity import NodeId, PartyId, UnitId

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

[[unit_numbers]]
name = "persons"
unit = "persons"
source = "gate"
file = "persons.csv"
missing = "previous"
review_by = 2027-01-01

[[unit_numbers]]
name = "agreed"
unit = "parts"
source = "annex 1"
values = { a = "2", b = "1", f-1 = "0.1", f-2 = "0.4" }

[[pools]]
id = "heating"
class = "must"
names = { zh = "采暖", en = "Heating" }
rule = "keys"
law = "heizkostenv"
path = ["boiler"]
measure = "import"
units = "all"
grain = "period"
fallback = "owner"
from = 2026-01-01

[[pools.keys]]
part = "0.7"
by = ["energy"]

[[pools.keys]]
part = "0.3"
by = ["area"]

[[pools]]
id = "lift"
class = "negotiated"
agreement = "resolution 4"
agreement_to = 2026-12-31
default = "civil-code-283"
names = { zh = "电梯", en = "Lift" }
rule = "keys"
path = ["lift"]
measure = "import"
units = ["a", "b"]
grain = "day"
from = 2026-01-01

[[pools.stages]]
name = "floor"

[[pools.stages.keys]]
by = ["agreed"]

[pools.stages.groups]
f-1 = ["a"]
f-2 = { units = ["b"], node = "floor-2" }

[[pools.stages]]
name = "lease"

[[pools.stages.keys]]
by = ["area", "load", "persons"]
rated = "agreed"
times = { day = "2", night = "1" }
degree_days = { series = "tmax", above = "26" }

[[pools]]
id = "demand"
class = "must"
names = { zh = "需量", en = "Demand" }
rule = "demand"
method = "average-and-excess"
peak_of = ["main"]
path = ["demand"]
measure = "import"
units = "all"
grain = "period"
from = 2026-01-01

[services]
method = "reciprocal"
order = ["heating", "demand"]
[[services.usage]]
pool = "heating"
by = { demand = "0.2" }
[[services.usage]]
pool = "demand"
by = { heating = "0.1" }
"""

PERSONS = "# counted\nday,unit,number\n2026-01-01,a,3\n2026-01-01,b,4\n2026-07-01,b,5\n"
WEATHER = "day,tmax_c\n2026-07-01,31.5\n"
NAMES = SiteNames(
    nodes=frozenset(NodeId(node) for node in ("main", "boiler", "lift", "demand", "floor-2", "u-a", "u-b", "h-a")),
    units={UnitId("a"): NodeId("u-a"), UnitId("b"): NodeId("u-b")},
    parties=frozenset({PartyId("owner"), PartyId("t-1")}),
    owner=PartyId("owner"),
    currency="CNY",
)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes all files, with replacements in pools.toml."""

    def write_files(*replacements: tuple[str, str], persons: str = PERSONS) -> Path:
        pools = POOLS
        for old, new in replacements:
            assert old in pools, old
            pools = pools.replace(old, new, 1)
        texts = {"tariff.toml": TARIFF, "pools.toml": pools, "weather.csv": WEATHER, "persons.csv": persons}
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write_files


def faults(directory: Path, names: SiteNames = NAMES) -> list[str]:
    """The faults, as `file:line: problem (mend)`."""
    with pytest.raises(DocumentError) as caught:
        read_rules(directory, names)
    return [str(fault).removeprefix(f"{directory}/") for fault in caught.value.faults]


def line_of(text: str, number: int = 0) -> int:
    """The line of pools.toml on which `text` stands for the `number`th time."""
    return [place for place, line in enumerate(POOLS.splitlines(), 1) if text in line][number]


def rule_of(rules: Rules, pool: str) -> Rule:
    """The rule of a pool."""
    return next(one.rule for one in rules.pools if one.id == pool)


def test_keys_are_read_with_their_parts_and_drivers(write: Write) -> None:
    rule = rule_of(read_rules(write(), NAMES), "heating")
    assert isinstance(rule, KeyedRule)
    assert (rule.units, rule.grain, rule.fallback) == (("a", "b"), Grain.PERIOD, Fallback.OWNER)
    (stage,) = rule.stages
    assert [(key.part, key.drivers) for key in stage.keys] == [
        (Fraction(7, 10), (Driver.ENERGY,)),
        (Fraction(3, 10), (Driver.AREA,)),
    ]
    assert stage.groups == ()


def test_a_law_brings_its_limit_of_estimates_with_its_clause(write: Write) -> None:
    rule = rule_of(read_rules(write(), NAMES), "heating")
    assert isinstance(rule, KeyedRule)
    assert rule.estimates is not None
    assert (rule.estimates.area_max, rule.estimates.slots_max) == (Fraction(1, 4), 0)
    assert rule.estimates.source == "HeizkostenV section 9a (2)"


def test_stages_are_read_from_the_outermost_to_the_lease(write: Write) -> None:
    rule = rule_of(read_rules(write(), NAMES), "lift")
    assert isinstance(rule, KeyedRule)
    floor, lease = rule.stages
    assert [(group.id, group.units, group.node) for group in floor.groups] == [
        ("f-1", ("a",), None),
        ("f-2", ("b",), "floor-2"),
    ]
    assert floor.keys[0].drivers == (Driver.EQUAL,)
    assert [numbers.name for numbers in floor.keys[0].numbers] == ["agreed"]
    assert (lease.name, lease.groups) == ("lease", ())


def test_a_key_is_a_product_of_all_it_names(write: Write) -> None:
    rule = rule_of(read_rules(write(), NAMES), "lift")
    assert isinstance(rule, KeyedRule)
    (key,) = rule.stages[1].keys
    assert key.drivers == (Driver.AREA, Driver.LOAD)
    assert key.rated is not None
    assert key.rated.name == "agreed"
    assert key.times == (("day", 2), ("night", 1))
    assert key.degree_days is not None
    assert (key.degree_days.base, key.degree_days.is_above) == (26, True)
    assert key.text == "area x load x persons x times x degree-days of tmax"
    assert key.measures
    assert key.is_metered
    assert key.is_daily


def test_demand_is_read_with_its_method_and_its_peak(write: Write) -> None:
    rule = rule_of(read_rules(write(), NAMES), "demand")
    assert isinstance(rule, DemandRule)
    assert (rule.method, rule.peak_of, rule.contracted) == (DemandMethod.AVERAGE_AND_EXCESS, ("main",), None)


def test_an_agreement_is_read_with_its_end_and_what_follows(write: Write) -> None:
    (pool,) = [one for one in read_rules(write(), NAMES).pools if one.id == "lift"]
    assert pool.terms is not None
    assert pool.terms.default is not None
    assert str(pool.terms.valid_to) == "2026-12-31"
    assert pool.terms.default.id == "civil-code-283"
    assert "专有部分面积" in dict(pool.terms.default.clause)["zh"]
    assert "Article 283" in pool.terms.default.source


def test_services_are_read_with_their_order_and_usage(write: Write) -> None:
    services = read_rules(write(), NAMES).services
    assert services is not None
    assert (services.method, services.order) == (ServiceMethod.RECIPROCAL, ("heating", "demand"))
    assert services.usage == {"heating": {"demand": Fraction(1, 5)}, "demand": {"heating": Fraction(1, 10)}}


def test_stored_rules_mean_what_their_files_meant(write: Write) -> None:
    read = read_rules(write(), NAMES)
    stored = rules_from_document(json.loads(json.dumps(read.document)), NAMES)
    assert stored.hash == read.hash
    assert stored.document == read.document
    assert set(read.document["tables"]) == {"heizkostenv", "civil-code-283"}
    assert read.document["unit_numbers"]["persons"][2] == ["2026-07-01", "b", "5"]
    rule = rule_of(stored, "lift")
    assert isinstance(rule, KeyedRule)
    assert rule.stages[1].keys[0].numbers[0].days["b"][1][1] == 5


def test_other_numbers_of_a_file_are_other_rules(write: Write) -> None:
    first = read_rules(write(), NAMES).hash
    assert read_rules(write(persons=PERSONS.replace("b,5", "b,6")), NAMES).hash != first


@pytest.mark.parametrize("part", ["0.50", "0.6", "0.70"])
def test_the_law_of_heating_costs_allows_half_to_seventy_percent(write: Write, part: str) -> None:
    rest = {"0.50": "0.50", "0.6": "0.4", "0.70": "0.30"}[part]
    assert read_rules(write(('part = "0.7"', f'part = "{part}"'), ('part = "0.3"', f'part = "{rest}"')), NAMES)


@pytest.mark.parametrize(("part", "rest"), [("0.49", "0.51"), ("0.71", "0.29")])
def test_the_law_of_heating_costs_refuses_other_parts_with_its_source(write: Write, part: str, rest: str) -> None:
    (fault,) = faults(write(('part = "0.7"', f'part = "{part}"'), ('part = "0.3"', f'part = "{rest}"')))
    assert fault.startswith(f"pools.toml:{line_of('law =')}: {Fraction(part)} of the cost goes by what is metered")
    assert "section 7 (1)" in fault


def test_old_oil_heated_buildings_are_held_to_exactly_seventy_percent(write: Write) -> None:
    seventy = ('law = "heizkostenv"', 'law = "heizkostenv-70"')
    assert read_rules(write(seventy), NAMES)
    (fault,) = faults(write(seventy, ('part = "0.7"', 'part = "0.6"'), ('part = "0.3"', 'part = "0.4"')))
    assert "3/5 of the cost goes by what is metered" in fault
    assert "sentence 2" in fault


def test_the_tables_of_law_are_shipped() -> None:
    assert {"heizkostenv", "heizkostenv-70", "civil-code-283"} <= set(shipped_tables())


MISTAKES: list[tuple[str, str, str, str]] = [
    # what stands there, what is written instead, where the fault points, what it says
    ('part = "0.7"', 'part = "0.6"', 'part = "0.3"', "the parts add up to 9/10, not to 1"),
    ('part = "0.7"', 'part = "0"', 'part = "0.7"', "a part is above 0 and at most 1"),
    ('part = "0.7"', 'part = "1.7"', 'part = "0.7"', "a part is above 0 and at most 1"),
    ('by = ["energy"]', 'by = ["energi"]', 'by = ["energy"]', "did you mean 'energy'?"),
    ('by = ["energy"]', 'by = ["energy", "load"]', 'by = ["energy"]', "energy and load both count the meter"),
    ('by = ["energy"]', "by = []", 'by = ["energy"]', "at least one"),
    ('by = ["energy"]', 'by = ["energy"]\nmeters = { a = "nowhere" }', "", "unknown node 'nowhere'"),
    ('by = ["energy"]', 'by = ["energy"]\nmeters = { c = "h-a" }', "", "unknown unit 'c'"),
    ('by = ["area"]', 'by = ["equal"]', "law =", "a fixed key goes by equal"),
    ('law = "heizkostenv"', 'law = "heizkostenx"', "law =", "there is no table 'heizkostenx'"),
    ("from = 2026-01-01\n\n[[pools.keys]]", "from = 2008-01-01\n\n[[pools.keys]]", "law =", "holds from 2009-01-01"),
    ('grain = "period"\nfallback', 'grain = "day"\nfallback', 'grain = "period"', "divides whole periods"),
    ('rated = "agreed"\n', "", "", "rated is missing"),
    ('rated = "agreed"', 'rated = "power"', 'rated = "agreed"', "unknown table of numbers 'power'"),
    ('times = { day = "2", night = "1" }', 'times = { day = "2" }', "times =", "no coefficient for band 'night'"),
    ('times = { day = "2", night', 'times = { dey = "2", night', "times =", "has no band 'dey'"),
    ('{ day = "2", night = "1" }', '{ day = "0", night = "0" }', "times =", "one of them above 0"),
    ('{ day = "2", night = "1" }', '{ day = "-1", night = "1" }', "times =", "coefficients are 0 or more"),
    ("times = {", 'times_of = "water"\ntimes = {', "times =", "unknown tariff 'water'"),
    ('series = "tmax"', 'series = "tmin"', "degree_days =", "unknown series 'tmin'"),
    (', above = "26"', "", "degree_days =", "either above or below"),
    (', above = "26"', ', above = "26", below = "5"', "degree_days =", "either above or below"),
    ('f-1 = ["a"]', 'f-1 = ["a", "b"]', "[pools.stages.groups]", "b lies in two groups of stage floor"),
    ('f-1 = ["a"]\n', "", "[pools.stages.groups]", "a lies in no group of stage floor: nothing would reach it"),
    ('units = ["a", "b"]', 'units = ["a"]', "[pools.stages.groups]", "b is not one of the pool's units"),
    ('node = "floor-2"', 'node = "floor-3"', "f-2 = {", "unknown node 'floor-3'"),
    ('values = { a = "2", b = "1", f-1 = "0.1", f-2', 'values = { a = "2", b = "1", f-2', "", "no number for f-1"),
    ('values = { a = "2"', 'values = { a = "-2"', "values =", "a is negative"),
    ('values = { a = "2"', 'values = { z = "2"', "values =", "'z' is no unit or group"),
    ('file = "persons.csv"', 'file = "nobody.csv"', "", "cannot be read"),
    ('file = "persons.csv"\n', "", "", "needs either values or a file"),
    ('name = "agreed"', 'name = "persons"', "", "'persons' is taken"),
    ('name = "agreed"', 'name = "area"', "", "'area' is taken"),
    ('missing = "previous"', 'missing = "guess"', "missing =", "missing is 'guess'"),
    ('method = "average-and-excess"', 'method = "loudest"', "method =", "method is 'loudest'"),
    ('method = "average-and-excess"', 'method = "contracted"', "", "contracted is missing"),
    ('peak_of = ["main"]', 'peak_of = ["mane"]', "peak_of", "did you mean 'main'?"),
    ('default = "civil-code-283"\n', "", "agreement_to", "nothing holds without it"),
    ('agreement = "resolution 4"\n', "", "", "no agreement is named"),
    ("agreement_to = 2026-12-31", "agreement_from = 2027-01-01\nagreement_to = 2026-12-31", "", "not after the start"),
    ('default = "civil-code-283"', 'default = "common-sense"', "default =", "there is no table 'common-sense'"),
    ('order = ["heating", "demand"]', 'order = ["heating"]', "order =", "does not name each service once"),
    ('order = ["heating", "demand"]', 'order = ["heating", "heating"]', "order =", "list each service once"),
    ('by = { demand = "0.2" }', 'by = { demand = "1.2" }', "", "a part is above 0 and at most 1"),
    ('by = { demand = "0.2" }', 'by = { heating = "0.2" }', "", "heating uses itself"),
    ('by = { demand = "0.2" }', 'by = { roof = "0.2" }', "", "unknown pool 'roof'"),
    ('pool = "demand"\n', 'pool = "heating"\n', "", "the users of heating are named twice"),
    ('method = "reciprocal"', 'method = "guess"', "", "method is 'guess'"),
]


@pytest.mark.parametrize(("old", "new", "place", "told"), MISTAKES)
def test_a_mistake_is_shown_with_its_line(write: Write, old: str, new: str, place: str, told: str) -> None:
    found = faults(write((old, new)))
    fitting = [fault for fault in found if told in fault]
    assert fitting, found
    if place:
        assert any(fault.startswith(f"pools.toml:{line_of(place)}:") for fault in fitting), found


def test_a_cycle_that_reaches_nobody_is_refused_before_anything_is_solved(write: Write) -> None:
    whole = ('by = { demand = "0.2" }', 'by = { demand = "1" }'), ('by = { heating = "0.1" }', 'by = { heating = "1" }')
    (fault,) = faults(write(*whole))
    assert fault.startswith(f"pools.toml:{line_of('pool = ')}: by the reciprocal method the cost of heating reaches")


def test_step_down_refuses_a_last_service_without_users_of_its_own(write: Write) -> None:
    changes = ('method = "reciprocal"', 'method = "step-down"'), ('by = { heating = "0.1" }', 'by = { heating = "1" }')
    (fault,) = faults(write(*changes))
    assert fault.startswith(f"pools.toml:{line_of('pool = ', 1)}: by the step-down method the cost of demand reaches")


def test_a_service_divided_by_day_is_refused(write: Write) -> None:
    changes = (
        ('order = ["heating", "demand"]', 'order = ["heating", "lift"]'),
        ('by = { demand = "0.2" }', 'by = { lift = "0.2" }'),
        ('pool = "demand"', 'pool = "lift"'),
    )
    (fault,) = faults(write(*changes))
    assert fault.startswith(f"pools.toml:{line_of('order =')}: lift cannot be a service")


def test_a_key_that_counts_energy_refuses_units_without_a_meter(write: Write) -> None:
    bare = SiteNames(NAMES.nodes, {**NAMES.units, UnitId("b"): None}, NAMES.parties, NAMES.owner, "CNY")
    found = faults(write(), bare)
    assert [fault for fault in found if fault.startswith(f"pools.toml:{line_of('by = [')}: b has no meter of its own")]
    assert [fault for fault in found if fault.startswith(f"pools.toml:{line_of('method =')}: b has no meter")]


def test_meters_may_be_named_for_a_key_alone(write: Write) -> None:
    rules = read_rules(write(('by = ["energy"]', 'by = ["energy"]\nmeters = { a = "h-a" }')), NAMES)
    rule = rule_of(rules, "heating")
    assert isinstance(rule, KeyedRule)
    assert rule.stages[0].keys[0].meters == (("a", "h-a"),)


def test_a_negotiated_pool_needs_an_agreement_or_a_clause(write: Write) -> None:
    bare = ('agreement = "resolution 4"\nagreement_to = 2026-12-31\ndefault = "civil-code-283"\n', "")
    (fault,) = faults(write(bare))
    assert "a negotiated pool rests on an agreement" in fault
    assert "default" in fault


def test_a_clause_that_did_not_hold_yet_is_refused(write: Write) -> None:
    early = ('grain = "day"\nfrom = 2026-01-01', 'grain = "day"\nfrom = 2020-01-01')
    (fault,) = faults(write(early))
    assert "civil-code-283 holds from 2021-01-01 only" in fault


def test_a_limit_of_estimates_needs_a_key_that_measures_nothing(write: Write) -> None:
    limit = 'estimates = { area_max = "0.25", source = "annex" }\nfrom = 2026-01-01\n\n[[pools.stages]]'
    (fault,) = faults(write(("from = 2026-01-01\n\n[[pools.stages]]", limit)))
    assert "no key is left then" in fault


def test_a_limit_of_estimates_is_a_part(write: Write) -> None:
    limit = 'estimates = { area_max = "1", source = "annex" }\nlaw = "heizkostenv"'
    (fault,) = faults(write(('law = "heizkostenv"', limit)))
    assert "limits are parts from 0 to below 1" in fault


def test_a_law_of_one_stage_is_refused_for_several(write: Write) -> None:
    (fault,) = faults(write(('units = ["a", "b"]', 'units = ["a", "b"]\nlaw = "heizkostenv"')))
    assert "a law of keys speaks of one stage" in fault


def test_the_last_stage_divides_between_occupants(write: Write) -> None:
    last = ('name = "lease"\n', 'name = "lease"\ngroups = { f-1 = ["a"], f-2 = ["b"] }\n')
    assert any("the last stage divides between occupants" in fault for fault in faults(write(last)))


def test_a_group_may_not_lie_in_two_groups_of_the_stage_before(write: Write) -> None:
    inner = '\n[[pools.stages]]\nname = "wing"\nkeys = [{ by = ["area"] }]\ngroups = { w = ["a", "b"] }\n'
    found = faults(write(('\n[[pools.stages]]\nname = "lease"', f'{inner}\n[[pools.stages]]\nname = "lease"')))
    assert any("w lies in more than one group of the stage before" in fault for fault in found)


PERSON_MISTAKES = [
    ("day,unit,number", "day,unit,count", 1, "the columns are"),
    ("2026-01-01,a,3", "2026-13-01,a,3", 3, "is no day"),
    ("2026-01-01,a,3", "2026-01-01,a,-3", 3, "is no number from 0 on"),
    ("2026-01-01,a,3", "2026-01-01,a", 3, "is no number from 0 on"),
    ("2026-07-01,b,5", "2026-01-01,b,5", 5, "does not come after"),
]


@pytest.mark.parametrize(("old", "new", "line", "told"), PERSON_MISTAKES)
def test_a_mistake_in_a_file_of_numbers_is_shown_with_its_line(
    write: Write, old: str, new: str, line: int, told: str
) -> None:
    (fault,) = faults(write(persons=PERSONS.replace(old, new, 1)))
    assert fault.startswith(f"persons.csv:{line}: ")
    assert told in fault


@pytest.mark.parametrize("wrong", ["12.5", '""', '["persons.csv"]'])
def test_a_file_of_numbers_that_is_no_text_is_the_only_mistake(write: Write, wrong: str) -> None:
    (fault,) = faults(write(('file = "persons.csv"', f"file = {wrong}")))
    assert "file must be a text" in fault


def test_an_unknown_unit_in_a_file_of_numbers_is_shown(write: Write) -> None:
    assert any("'c' is no unit or group" in fault for fault in faults(write(persons=f"{PERSONS}2026-01-01,c,1\n")))


@pytest.mark.parametrize("written", ['"yes"', "1"])
def test_a_flag_is_true_or_false(write: Write, written: str) -> None:
    (fault,) = faults(write(('source = "gate"', f'source = "gate"\nmetered = {written}')))
    assert "write true or false" in fault


def test_numbers_that_are_metered_fall_under_the_law(write: Write) -> None:
    metered = ('source = "gate"', 'source = "gate"\nmetered = true'), ('by = ["energy"]', 'by = ["persons"]')
    rule = rule_of(read_rules(write(*metered), NAMES), "heating")
    assert isinstance(rule, KeyedRule)
    assert rule.stages[0].keys[0].is_metered
    assert not rule.stages[0].keys[0].measures


def test_a_key_of_time_alone_is_in_words() -> None:
    assert Key(Fraction(1), (Driver.EQUAL,)).text == "equal"
