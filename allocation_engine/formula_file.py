"""The form of formulas in `pools.toml`: rules that are formulas, and the definitions they share.

A formula is text (English or Chinese) or blocks. What cannot be shown to conserve is refused here, with file, line and
character, when it is saved and not when a period is closed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from allocation_engine.formula.blocks import BlocksInvalid
from allocation_engine.formula.faults import FormulaFault, FormulaInvalid, Slip
from allocation_engine.formula.proven import DEFINITIONS_MAX, Formula, check_formula, cycle_in, order_of
from allocation_engine.formula.setting import Definition, Reading, Setting, Sources
from allocation_engine.formula.terms import Number, Sentence
from allocation_engine.formula.verdict import Verdict, check_rule_text, read_formula
from allocation_engine.formula.vocabulary import doubled
from allocation_engine.keys_file import KeySources, read_fallback, read_times, read_times_of
from allocation_engine.pools import FormulaRule, Grain, PassThroughRule, Pool, SpreadingRule
from allocation_engine.rule_table import RuleTable
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.tables_file import Tables
from allocation_engine.tariff import MAIN_TARIFF
from metering.errors import Fault
from metering.identity import PartyId, UnitId
from metering.toml_source import TomlSource

Floors = tuple[tuple[str, tuple[UnitId, ...]], ...]
_NOTHING = Sentence(Number(Fraction(0)))


class _BelowZero(StrEnum):
    """What a weight below 0 means."""

    ZERO = "zero"


def read_definitions(root: RuleTable, sources: Sources) -> Sources:
    """Give `sources` with the definitions of `root`; each name may stand for one thing only, and none for itself."""
    tables: dict[str, RuleTable] = {}
    known: dict[str, Definition] = {}
    for table in root.tables("definitions") if root.has("definitions") else ():
        name = table.identifier("name")
        if name in known:
            table.fault("name", f"two definitions are called {name!r}", "give each a name of its own")
        tables[name] = table
        known[name] = Definition(name, table.names("names") if table.has("names") else (), _NOTHING)
        table.has("formula")
    words = replace(sources, definitions=known)
    if len(known) > DEFINITIONS_MAX:
        root.fault("definitions", f"there are {len(known)} definitions, at most {DEFINITIONS_MAX}", "join some")
    read = {name: replace(one, sentence=_sentence(tables[name], words)) for name, one in known.items()}
    cycle = cycle_in(read)
    if cycle is None:
        return replace(sources, definitions=read)
    name, fault = cycle
    tables[name].fault("formula", _told(fault), fault.mend("en"))
    return words


def require_words_used_once(root: RuleTable, sources: Sources, pools: Collection[Pool]) -> None:
    """Keep a mistake for every word that means two things, and every definition that no pool rests on."""
    rules = [pool.rule for pool in pools if isinstance(pool.rule, FormulaRule)]
    for word in doubled(sources.words()) if rules else ():
        root.fault("", f"two things are called {word!r} in formulas", "name one of them otherwise")
    used = {name for rule in rules for name, _ in rule.formula.definitions}
    for place, name in enumerate(sources.definitions):
        if name not in used:
            root.within("definitions", place).fault("name", f"no formula uses {name}", "use it, or take it out")


def read_formula_rule(
    table: RuleTable, names: SiteNames, sources: KeySources, units: tuple[UnitId, ...] | None
) -> FormulaRule:
    """Read a rule that is a formula, in either reading.

    units   of the pool, where it lists them
    """
    setting = _setting(table, names, sources, units)
    formula = _formula(table, setting)
    grain = Grain.DAY if setting.is_daily else Grain.PERIOD
    floors = tuple(setting.floors.items())
    if setting.reading is Reading.SPREADING:
        return SpreadingRule(formula, setting.units, floors, grain, read_fallback(table))
    return PassThroughRule(
        formula=formula,
        floors=floors if formula.speaks_of_floors else tuple((unit, (unit,)) for unit in setting.units),
        grain=grain,
        passed_on_max=_clamp(table),
        residual=PartyId(table.one_id("residual", "party", names.parties)),
    )


def check_rule(content: Mapping[str, Any], rules: Rules, names: SiteNames) -> Verdict:
    """Say what the formula of a pool that is being written means, or what is wrong; `content` is the pool's table."""
    faults: list[Fault] = []
    table = RuleTable(TomlSource("draft", {}, {}), (), content, faults)
    known = rules.formulas
    sources = KeySources(known.numbers, known.series, known.bands, Tables(None, {}, faults), known)
    listed = table.raw("units") if table.has("units") else None
    units = None
    if listed is not None:
        units = tuple(sorted(names.units)) if listed == "all" else tuple(map(UnitId, listed))
    return check_rule_text(content.get("formula", ""), _setting(table, names, sources, units))


def _setting(table: RuleTable, names: SiteNames, sources: KeySources, units: tuple[UnitId, ...] | None) -> Setting:
    reading = table.choice("reading", Reading)
    grain = table.choice("grain", Grain)
    floors = dict(_floors(table, names, units)) if table.has("floors") or units is None else {}
    spreads = reading is Reading.SPREADING
    times_of = read_times_of(table, sources) if spreads else MAIN_TARIFF
    rated = table.one_id("rated", "table of numbers", sources.numbers) if spreads and table.has("rated") else ""
    chosen = units if units is not None else tuple(unit for one in floors.values() for unit in one)
    if spreads and table.has("below_zero"):
        table.choice("below_zero", _BelowZero)
    return Setting(
        sources=sources.formulas,
        reading=reading,
        units=tuple(sorted(chosen)),
        floors=floors,
        times=read_times(table, sources, times_of) if spreads else (),
        times_of=times_of,
        rated=sources.numbers.get(rated),
        unmetered=tuple(unit for unit in chosen if names.units.get(unit) is None),
        is_daily=grain is Grain.DAY,
        clips=spreads and table.has("below_zero"),
        falls_back=spreads and table.has("fallback"),
    )


def _floors(table: RuleTable, names: SiteNames, units: tuple[UnitId, ...] | None) -> Floors:
    inner = table.table("floors")
    floors = tuple((one, tuple(map(UnitId, inner.ids(one, "unit", names.units)))) for one in sorted(inner.keys))
    listed = [unit for _, one in floors for unit in one]
    if not listed or len(set(listed)) != len(listed):
        table.fault("floors", "each unit must stand on one floor, and at least one floor be named", "list units once")
    for unit in sorted(set(units or ()) - set(listed)):
        table.fault("floors", f"{unit} stands on no floor: nothing would reach it", "put it on one")
    for unit in sorted(set(listed) - set(listed if units is None else units)):
        table.fault("floors", f"{unit} is not one of the pool's units", "add it to units, or take it out here")
    return floors


def _formula(table: RuleTable, setting: Setting) -> Formula:
    sentence, definitions = _sentence(table, setting.sources), setting.sources.definitions
    used = [sentence, *(definitions[name].sentence for name in order_of(sentence.term, definitions))]
    try:
        # What rests on something that cannot be read is not looked at: its own mistakes would be guesses.
        if all(one is not _NOTHING for one in used):
            return check_formula(sentence, setting)
    except FormulaInvalid as invalid:
        _keep(table, invalid)
    return Formula.stand_in(setting)


def _sentence(table: RuleTable, sources: Sources) -> Sentence:
    """Read text or blocks; what they mean is found out where they are used."""
    written = table.raw("formula") if table.holds("formula", dict) else table.text("formula")
    try:
        return read_formula(written, sources.vocabulary) if written else _NOTHING
    except FormulaInvalid as invalid:
        _keep(table, invalid)
    except BlocksInvalid as invalid:
        table.fault("formula", f"{invalid.problem} at {invalid.path or 'the outermost block'}", invalid.mend)
    return _NOTHING


def _keep(table: RuleTable, invalid: FormulaInvalid) -> None:
    for fault in invalid.faults:
        # That a number changes daily is no slip of the formula.
        key = "grain" if fault.slip is Slip.VARIES_BY_DAY else "formula"
        table.fault(key, f"{_told(fault)} of {invalid.text!r}", fault.mend("en"))


def _told(fault: FormulaFault) -> str:
    return f"{fault.problem('en')} at character {fault.position}"


def _clamp(table: RuleTable) -> Fraction:
    """Read `["0", "1"]`: the least and the most part that may be passed on. More than all would not conserve."""
    content = table.raw("clamp")
    try:
        least, most = (Fraction(one) for one in content if isinstance(one, str))
        if least == 0 < most <= 1:
            return most
    except (TypeError, ValueError, ZeroDivisionError):
        pass
    if content is not None:
        mend = 'write clamp = ["0", "1"]: from nothing to at most everything'
        table.fault("clamp", f"clamp is {content!r}; lines and residual would not add up to the cost", mend)
    return Fraction(1)
