"""Reads `tariff.toml`, `pools.toml` and any `invoices.toml` of a site; every mistake is shown with file and line.

Files and stored documents go through the same reader, so that a stored version means exactly what its files meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from allocation_engine.formula.setting import Sources
from allocation_engine.formula_file import read_definitions, require_words_used_once
from allocation_engine.keys import Driver
from allocation_engine.keys_file import KeySources, group_ids
from allocation_engine.loss_file import read_loss
from allocation_engine.pools_file import read_pools
from allocation_engine.prices_file import check_pools, read_prices
from allocation_engine.rule_table import RuleTable
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.series import DailySeries
from allocation_engine.series_file import DayText, read_days, read_series
from allocation_engine.services_file import read_services
from allocation_engine.tables_file import Tables
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from allocation_engine.unit_numbers_file import NumberText, read_numbers, read_unit_numbers
from metering.errors import DocumentError, Fault
from metering.toml_source import TomlSource

TARIFF_FILE = "tariff.toml"
POOLS_FILE = "pools.toml"
INVOICES_FILE = "invoices.toml"
FORMAT = 1
Row = TypeVar("Row")


def read_rules(directory: Path, names: SiteNames) -> Rules:
    """Read the rules of a site; raises DocumentError with every fault that was found."""
    faults: list[Fault] = []
    sources = [_source(directory / name, faults) for name in (TARIFF_FILE, POOLS_FILE)]
    invoices = directory / INVOICES_FILE
    billed = _source(invoices, faults) if invoices.exists() else None
    if faults:
        raise DocumentError(tuple(faults))
    content = sources[1].content
    found = {
        str(one["name"]): _read(faults, read_days, directory / one["file"], one["column"]) for one in _columns(content)
    }
    days = {name: lines or [] for name, lines in found.items()}
    rows = {str(one["name"]): _read(faults, read_numbers, directory / one["file"]) for one in _files(content)}
    numbers = {name: lines for name, lines in rows.items() if lines is not None}
    return _rules(sources[0], sources[1], billed, days, numbers, names, Tables(directory, {}, faults))


def _columns(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give the series whose file and column can be read; of the others the reader of the table says what is wrong."""
    return (one for one in _tables(content, "series") if all(_is_text(one.get(key)) for key in ("file", "column")))


def _files(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (one for one in _tables(content, "unit_numbers") if _is_text(one.get("file")))


def _is_text(written: Any) -> bool:
    return isinstance(written, str) and written.strip() != ""


def _tables(content: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    tables = content.get(key)
    return (one for one in (tables if isinstance(tables, list) else []) if isinstance(one, dict) and "name" in one)


def _read(faults: list[Fault], read: Callable[..., list[Row]], path: Path, *column: str) -> list[Row] | None:
    """Read a CSV file; None after mistakes, which are kept, and those of the TOML files are still looked for."""
    try:
        return read(path, *column)
    except DocumentError as error:
        faults.extend(error.faults)
        return None


def rules_from_document(document: Mapping[str, Any], names: SiteNames, earlier: Rules | None = None) -> Rules:
    """Read a stored version (`Rules.document`); raises DocumentError.

    earlier   rules that were read for the same ids: tables of numbers that stand there alike are not read again
    """
    tariff, pools = (TomlSource(f"stored {name}", document[name], {}) for name in ("tariff", "pools"))
    days = {name: [(str(day), str(text)) for day, text in rows] for name, rows in document["series"].items()}
    numbers = {name: [(a, b, c) for a, b, c in rows] for name, rows in document.get("unit_numbers", {}).items()}
    billed = TomlSource("stored invoices", document["invoices"], {}) if "invoices" in document else None
    known = {} if earlier is None else _alike(document, earlier)
    return _rules(tariff, pools, billed, days, numbers, names, Tables(None, document.get("tables", {}), []), known)


def _alike(document: Mapping[str, Any], earlier: Rules) -> dict[str, UnitNumbers]:
    """Give the tables of numbers, by name, that mean what they meant in `earlier` rules."""
    sides = document, earlier.document
    if group_ids(document["pools"]) != group_ids(earlier.document["pools"]):
        return {}
    tables = [{str(one.get("name")): one for one in side["pools"].get("unit_numbers", ())} for side in sides]
    rows = [side.get("unit_numbers", {}) for side in sides]
    return {
        name: numbers
        for name, numbers in earlier.formulas.numbers.items()
        if name in tables[0] and all(old.get(name) == new.get(name) for new, old in (tables, rows))
    }


def _source(path: Path, faults: list[Fault]) -> TomlSource:
    try:
        return TomlSource.read(path)
    except DocumentError as error:
        faults.extend(error.faults)
        return TomlSource(str(path), {}, {})


def _rules(
    tariff: TomlSource,
    pools: TomlSource,
    billed: TomlSource | None,
    days: dict[str, list[DayText]],
    numbers: dict[str, list[NumberText]],
    names: SiteNames,
    tables: Tables,
    alike: Mapping[str, UnitNumbers] = MappingProxyType({}),
) -> Rules:
    faults = tables.faults
    roots = [_root(source, faults) for source in (tariff, pools)]
    invoices = None if billed is None else _root(billed, faults)
    prices = read_prices(roots[0], invoices, names, tables)
    series = _series(roots[1], days)
    known = _numbers(roots[1], numbers, names, group_ids(pools.content), alike)
    bands = {one.id: frozenset(band for v in one.versions for band, _ in v.rates) for one in prices.tariffs}
    by_name = {one.name: one for one in series}
    formulas = read_definitions(roots[1], Sources(known, by_name, {}, names.nodes, bands))
    sources = KeySources(known, by_name, bands, tables, formulas)
    found = read_pools(roots[1], names, sources, prices)
    if not faults:
        require_words_used_once(roots[1], formulas, found)
    services = read_services(roots[1], found)
    loss = read_loss(roots[1], names, {pool.id for pool in found})
    check_pools(roots[0], prices, {pool.id for pool in found})
    for root in (*roots, *([] if invoices is None else [invoices])):
        root.close()
    if faults:
        raise DocumentError(tuple(faults))
    document = {"tariff": _plain(tariff.content), "pools": _plain(pools.content), "series": _plain(days)}
    if numbers:
        document["unit_numbers"] = _plain(numbers)
    if billed is not None:
        document["invoices"] = _plain(billed.content)
    if tables.used:
        document["tables"] = {name: _plain(source.content) for name, source in sorted(tables.used.items())}
    return Rules(prices, found, series, document, services, loss, formulas)


def _root(source: TomlSource, faults: list[Fault]) -> RuleTable:
    root = RuleTable(source, (), source.content, faults)
    if root.raw("format") not in (None, FORMAT):
        root.fault("format", f"format is {source.content['format']!r}", f"this version reads format {FORMAT}")
    return root


def _series(root: RuleTable, days: dict[str, list[DayText]]) -> tuple[DailySeries, ...]:
    if not root.has("series"):
        return ()
    series = []
    for table in root.tables("series"):
        table.text("file"), table.text("column")
        series.append(read_series(table, days.get(table.text("name"), [])))
    return tuple(series)


def _numbers(
    root: RuleTable,
    rows: Mapping[str, list[NumberText]],
    names: SiteNames,
    groups: frozenset[str],
    alike: Mapping[str, UnitNumbers],
) -> dict[str, UnitNumbers]:
    if not root.has("unit_numbers"):
        return {}
    known = groups | frozenset(map(str, names.units))
    numbers: dict[str, UnitNumbers] = {}
    for table in root.tables("unit_numbers"):
        name = str(table.raw("name"))
        if name in alike and name not in numbers:
            table.skip()
            numbers[name] = alike[name]
            continue
        one = read_unit_numbers(table, rows.get(name, []), known)
        if one.name in numbers or one.name in set(Driver):
            table.fault("name", f"{one.name!r} is taken", "give each table a name of its own, no driver's")
        if table.has("file") and one.name not in rows:
            one = replace(
                one, missing=MissingNumber.ZERO
            )  # unreadable: nobody is told as well that a number is missing
        numbers[one.name] = one
    return numbers


def _plain(content: Any) -> Any:
    """Give JSON-able content: dates become text, everything else stays as written."""
    match content:
        case dict():
            return {key: _plain(part) for key, part in content.items()}
        case list() | tuple():
            return [_plain(part) for part in content]
        case date():
            return content.isoformat()
        case _:
            return content
