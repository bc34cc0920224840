"""The form of keys in `pools.toml`: keys, stages, demand, the law they are held to, and what holds without agreement.

Whatever could fail to conserve, or could not reach somebody who pays, is refused here with its file and line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from allocation_engine.agreements import AgreementTerms, LegalDefault
from allocation_engine.formula.setting import Sources
from allocation_engine.keys import DegreeDays, DemandMethod, Driver, EstimateLimit, Group, Key, Stage
from allocation_engine.pools import DemandRule, Fallback, Grain, KeyedRule
from allocation_engine.rule_table import RuleTable, nearest
from allocation_engine.rules import SiteNames
from allocation_engine.series import DailySeries
from allocation_engine.tables_file import Tables
from allocation_engine.tariff import MAIN_TARIFF
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from metering.identity import NodeId, UnitId

ONE = Fraction(1)
LEASE = "lease"
"""What the last stage is called where there is only one."""


@dataclass(frozen=True, slots=True)
class KeySources:
    """What keys may speak of by name; `bands` are the names of each tariff's bands, `formulas` what formulas may."""

    numbers: Mapping[str, UnitNumbers]
    series: Mapping[str, DailySeries]
    bands: Mapping[str, frozenset[str]]
    tables: Tables
    formulas: Sources


def group_ids(content: Mapping[str, Any]) -> frozenset[str]:
    """Give the names of all groups in the content of `pools.toml`, before it is read: numbers may be given for them."""
    found: set[str] = set()
    for pool in _dicts(content.get("pools")):
        floors = pool.get("floors")
        found.update(floors if isinstance(floors, dict) else ())
        for stage in _dicts(pool.get("stages")):
            groups = stage.get("groups")
            found.update(groups if isinstance(groups, dict) else ())
    return frozenset(found)


def _dicts(content: Any) -> list[dict[str, Any]]:
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def read_keyed(table: RuleTable, names: SiteNames, sources: KeySources, units: tuple[UnitId, ...]) -> KeyedRule:
    """Read a pool that is divided by keys, in one stage or several."""
    estimates = _estimates(table)
    if table.has("stages"):
        stages = tuple(_stages(table, names, sources, units))
        if table.has("law"):
            table.fault("law", "a law of keys speaks of one stage", "name it in a pool with keys of its own")
    else:
        stages = (Stage(LEASE, _keys(table, names, sources, units, ()), ()),)
        if table.has("law"):
            law = _law(table, sources.tables, stages[0].keys)
            estimates = estimates or law
    if estimates is not None and any(all(key.is_metered for key in stage.keys) for stage in stages):
        table.fault("keys", "too much may be estimated and no key is left then", "add a key that measures nothing")
    return KeyedRule(units, stages, table.choice("grain", Grain), read_fallback(table), estimates)


def read_demand(table: RuleTable, names: SiteNames, sources: KeySources, units: tuple[UnitId, ...]) -> DemandRule:
    """Read a pool that is divided by demand."""
    method = table.choice("method", DemandMethod)
    contracted = None
    if method is DemandMethod.CONTRACTED:
        contracted = sources.numbers.get(table.one_id("contracted", "table of numbers", sources.numbers))
        if contracted is not None:
            _require_numbers(table, "contracted", contracted, units)
    else:
        _require_meters(table, "method", names, units)
    peak_of = table.ids("peak_of", "node", names.nodes) if table.has("peak_of") else ()
    nodes = tuple(NodeId(node) for node in peak_of)
    return DemandRule(units, method, nodes, contracted, table.choice("grain", Grain), read_fallback(table))


def read_terms(table: RuleTable, valid_from: date, tables: Tables) -> AgreementTerms | None:
    """Read how long an agreement holds and what holds without it; None where nothing is said."""
    start, end = (table.optional_day(key) for key in ("agreement_from", "agreement_to"))
    if start is None and end is None and not table.has("default"):
        return None
    if start is not None and end is not None and end <= start:
        table.fault("agreement_to", "the end is not after the start", "it is the first day without the agreement")
    default = _legal_default(table, valid_from, tables) if table.has("default") else None
    if (start is not None or end is not None) and not table.has("default"):
        table.fault(
            "agreement_to" if end else "agreement_from", "nothing holds without it", 'name a clause: default = "..."'
        )
    if (start is not None or end is not None) and not table.has("agreement"):
        table.fault("agreement_to" if end else "agreement_from", "no agreement is named", 'name it: agreement = "..."')
    return AgreementTerms(start, end, default)


def _legal_default(table: RuleTable, valid_from: date, tables: Tables) -> LegalDefault | None:
    root = tables.open(table, "default")
    if root is None:
        return None
    clause = root.names("clause")
    default = LegalDefault(root.identifier("id"), clause, root.text("source"))
    if root.day("from") > valid_from:
        table.fault("default", f"{default.id} holds from {root.day('from')} only", "name the clause that held before")
    root.has("format")
    root.close()
    return default


def _keys(
    table: RuleTable,
    names: SiteNames,
    sources: KeySources,
    units: tuple[UnitId, ...],
    groups: tuple[Group, ...],
) -> tuple[Key, ...]:
    keys: list[Key] = []
    for last in table.tables("keys"):
        keys.append(_key(last, names, sources, units, groups))
    whole = sum((key.part for key in keys), Fraction(0))
    if keys and whole != 1:
        last.fault("part", f"the parts add up to {whole}, not to 1", "lines would not add up to the cost")
    return tuple(keys)


def _key(
    table: RuleTable,
    names: SiteNames,
    sources: KeySources,
    units: tuple[UnitId, ...],
    groups: tuple[Group, ...],
) -> Key:
    part = table.number("part") if table.has("part") else ONE
    if not 0 < part <= 1:
        table.fault("part", f"part is {table.text('part')}", "a part is above 0 and at most 1")
    words = table.ids("by", "driver or table of numbers", {*map(str, Driver), *sources.numbers})
    drivers = tuple(Driver(word) for word in words if word in set(Driver)) or (Driver.EQUAL,)
    numbers = tuple(sources.numbers[word] for word in words if word in sources.numbers)
    if Driver.ENERGY in drivers and Driver.LOAD in drivers:
        table.fault("by", "energy and load both count the meter", "name one of them")
    measures = Driver.ENERGY in drivers or Driver.LOAD in drivers
    meters = _meters(table, names) if measures and table.has("meters") else {}
    if measures:
        metered = tuple(unit for group in groups if group.node is None for unit in group.units) if groups else units
        _require_meters(table, "by", names, tuple(unit for unit in metered if unit not in meters))
    subjects = tuple(group.id for group in groups) or units
    for one in numbers:
        _require_numbers(table, "by", one, subjects)
    times_of = read_times_of(table, sources)
    return Key(
        part=part,
        drivers=drivers,
        numbers=numbers,
        rated=_rated(table, sources, subjects, drivers),
        times=read_times(table, sources, times_of),
        times_of=times_of,
        degree_days=_degree_days(table, sources) if table.has("degree_days") else None,
        meters=tuple(sorted(meters.items())),
    )


def _meters(table: RuleTable, names: SiteNames) -> dict[UnitId, NodeId]:
    """Read which node meters each unit for this key, where it is not the unit's own: `{ a101 = "h-a101" }`."""
    meters = table.table("meters")
    for unit in sorted(set(meters.keys) - set(map(str, names.units))):
        meters.fault(unit, f"unknown unit {unit!r}", nearest(unit, names.units))
    return {UnitId(unit): NodeId(meters.one_id(unit, "node", names.nodes)) for unit in meters.keys}


def _rated(
    table: RuleTable, sources: KeySources, subjects: tuple[str, ...], drivers: tuple[Driver, ...]
) -> UnitNumbers | None:
    if Driver.LOAD not in drivers:
        return None
    rated = sources.numbers.get(table.one_id("rated", "table of numbers", sources.numbers))
    if rated is not None:
        _require_numbers(table, "rated", rated, subjects)
    return rated


def read_times_of(table: RuleTable, sources: KeySources) -> str:
    """Read whose bands carry the time coefficients."""
    return table.one_id("times_of", "tariff", sources.bands) if table.has("times_of") else MAIN_TARIFF


def read_times(table: RuleTable, sources: KeySources, times_of: str) -> tuple[tuple[str, Fraction], ...]:
    """Read a coefficient for each band of a tariff; empty where none are given."""
    if not table.has("times"):
        return ()
    times = table.table("times")
    found = {band: times.number(band) for band in times.keys}
    known = sources.bands.get(times_of, frozenset())
    for band in sorted(set(found) - known):
        times.fault(band, f"tariff {times_of} has no band {band!r}", nearest(band, known))
    for band in sorted(known - set(found)):
        table.fault("times", f"no coefficient for band {band!r}", "give each band of the tariff one")
    if any(coefficient < 0 for coefficient in found.values()) or not any(found.values()):
        table.fault("times", "coefficients are 0 or more, and one of them above 0", "mend them")
    return tuple(sorted(found.items()))


def _degree_days(table: RuleTable, sources: KeySources) -> DegreeDays | None:
    days = table.table("degree_days")
    series = sources.series.get(days.one_id("series", "series", sources.series))
    is_above = days.has("above")
    if is_above == days.has("below"):
        days.fault("", "degree-days need either above or below", 'write { series = "tmax", above = "26" }')
        return None
    base = days.number("above" if is_above else "below")
    days.close()
    return None if series is None else DegreeDays(series, base, is_above)


def _stages(table: RuleTable, names: SiteNames, sources: KeySources, units: tuple[UnitId, ...]) -> Iterator[Stage]:
    outer: tuple[Group, ...] = (Group("", units, None),)
    count = len(table.raw("stages")) if isinstance(table.raw("stages"), list) else 0
    for place, one in enumerate(table.tables("stages"), 1):
        name = one.text("name")
        groups: tuple[Group, ...] = ()
        if place < count or one.has("groups"):
            groups = tuple(_groups(one, names))
            _require_nested(one, name, groups, outer, units)
        if place == count and groups:
            one.fault("groups", "the last stage divides between occupants", "add a stage without groups below it")
        yield Stage(name, _keys(one, names, sources, units, groups), groups)
        outer = groups


def _groups(table: RuleTable, names: SiteNames) -> Iterator[Group]:
    groups = table.table("groups")
    for group in groups.keys:
        if isinstance(groups.raw(group), dict):
            inner = groups.table(group)
            node = NodeId(inner.one_id("node", "node", names.nodes)) if inner.has("node") else None
            yield Group(group, tuple(UnitId(one) for one in inner.ids("units", "unit", names.units)), node)
            inner.close()
        else:
            yield Group(group, tuple(UnitId(one) for one in groups.ids(group, "unit", names.units)), None)


def _require_nested(
    table: RuleTable,
    stage: str,
    groups: tuple[Group, ...],
    outer: tuple[Group, ...],
    units: tuple[UnitId, ...],
) -> None:
    listed = [unit for group in groups for unit in group.units]
    for unit in sorted(unit for unit, count in Counter(listed).items() if count > 1):
        table.fault("groups", f"{unit} lies in two groups of stage {stage}", "put each unit into one group")
    for unit in sorted(set(units) - set(listed)):
        table.fault("groups", f"{unit} lies in no group of stage {stage}: nothing would reach it", "put it into one")
    for unit in sorted(set(listed) - set(units)):
        table.fault("groups", f"{unit} is not one of the pool's units", "add it to units, or take it out here")
    lies_in = {unit: other.id for other in outer for unit in other.units}
    for group in groups:
        if len({lies_in.get(unit) for unit in group.units}) > 1:
            table.fault("groups", f"{group.id} lies in more than one group of the stage before", "divide it")


def _law(table: RuleTable, tables: Tables, keys: tuple[Key, ...]) -> EstimateLimit | None:
    """Hold keys to a law of which part goes by what is metered; give its limit of estimates."""
    root = tables.open(table, "law")
    if root is None:
        return None
    name, source = root.identifier("id"), root.text("source")
    least, most = root.number("metered_min"), root.number("metered_max")
    metered = sum((key.part for key in keys if key.is_metered), Fraction(0))
    if not least <= metered <= most:
        allowed = f"{least}" if least == most else f"{least} to {most}"
        table.fault("law", f"{metered} of the cost goes by what is metered", f"{name} allows {allowed} ({source})")
    for key in keys:
        if not key.is_metered and key.drivers != (Driver.AREA,):
            table.fault("law", f"a fixed key goes by {key.text}", f"{name} knows area ({source})")
    if root.day("from") > table.day("from"):
        table.fault("law", f"{name} holds from {root.day('from')} only", "name the law that held before")
    if table.choice("grain", Grain) is not Grain.PERIOD:
        table.fault("grain", f"{name} divides whole periods", 'write grain = "period"')
    limit = EstimateLimit(root.number("estimated_area_max"), Fraction(0), root.text("estimated_source"))
    root.has("format")
    root.close()
    return limit


def _estimates(table: RuleTable) -> EstimateLimit | None:
    if not table.has("estimates"):
        return None
    limits = table.table("estimates")
    area_max = limits.number("area_max")
    slots_max = limits.number("slots_max") if limits.has("slots_max") else Fraction(0)
    if not (0 <= area_max < 1 and 0 <= slots_max < 1):
        limits.fault("area_max", "limits are parts from 0 to below 1", 'write area_max = "0.25"')
    source = limits.text("source")
    limits.close()
    return EstimateLimit(area_max, slots_max, source)


def read_fallback(table: RuleTable) -> Fallback | None:
    """Read who pays where all weights are 0; None where nobody is named."""
    return table.choice("fallback", Fallback) if table.has("fallback") else None


def _require_meters(table: RuleTable, key: str, names: SiteNames, units: tuple[UnitId, ...]) -> None:
    bare = sorted(unit for unit in units if names.units.get(unit) is None)
    if bare:
        table.fault(key, f"{', '.join(bare)} has no meter of its own", "count what is known of each unit, such as area")


def _require_numbers(table: RuleTable, key: str, numbers: UnitNumbers, subjects: tuple[str, ...]) -> None:
    missing = numbers.without(subjects)
    if missing and numbers.missing is not MissingNumber.ZERO:
        mend = 'add them, or say missing = "zero" there'
        table.fault(key, f"{numbers.name} has no number for {', '.join(missing)}", mend)
