"""Reads `tariff.toml`, `pools.toml` and any `invoices.toml` of a site; every mistake is shown with file and line.

Files and stored documents go through the same reader, so that a stored version means exactly what its files meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

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
from allocation_engine.unit_numbers import UnitNumbers
from allocation_engine.unit_numbers_file import NumberText, read_numbers, read_unit_numbers
from metering.errors import DocumentError, Fault
from metering.toml_source import TomlSource

TARIFF_FILE = "tariff.toml"
POOLS_FILE = "pools.toml"
INVOICES_FILE = "invoices.toml"
FORMAT = 1


def read_rules(directory: Path, names: SiteNames) -> Rules:
    """Read the rules of a site; raises DocumentError with every fault that was found."""
    faults: list[Fault] = []
    sources = [_source(directory / name, faults) for name in (TARIFF_FILE, POOLS_FILE)]
    days: dict[str, list[DayText]] = {}
    numbers: dict[str, list[NumberText]] = {}
    tables = sources[1].content.get("series")
    for table in tables if isinstance(tables, list) else []:
        try:
            days[str(table["name"])] = read_days(directory / str(table["file"]), str(table["column"]))
        except DocumentError as error:
            faults.extend(error.faults)
        except (KeyError, TypeError):
            continue  # the reader of the table says what is missing
    given = sources[1].content.get("unit_numbers")
    for table in given if isinstance(given, list) else []:
        if isinstance(table, dict) and "file" in table:
            try:
                numbers[str(table.get("name"))] = read_numbers(directory / str(table["file"]))
            except DocumentError as error:
                faults.extend(error.faults)
    invoices = directory / INVOICES_FILE
    billed = _source(invoices, faults) if invoices.exists() else None
    return _rules(sources[0], sources[1], billed, days, numbers, names, Tables(directory, {}, faults))


def rules_from_document(document: Mapping[str, Any], names: SiteNames) -> Rules:
    """Read a stored version (`Rules.document`); raises DocumentError."""
    tariff, pools = (TomlSource(f"stored {name}", document[name], {}) for name in ("tariff", "pools"))
    days = {name: [(str(day), str(text)) for day, text in rows] for name, rows in document["series"].items()}
    numbers = {name: [(a, b, c) for a, b, c in rows] for name, rows in document.get("unit_numbers", {}).items()}
    billed = TomlSource("stored invoices", document["invoices"], {}) if "invoices" in document else None
    return _rules(tariff, pools, billed, days, numbers, names, Tables(None, document.get("tables", {}), []))


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
) -> Rules:
    faults = tables.faults
    if faults:
        raise DocumentError(tuple(faults))
    roots = [_root(source, faults) for source in (tariff, pools)]
    invoices = None if billed is None else _root(billed, faults)
    prices = read_prices(roots[0], invoices, names, tables)
    series = _series(roots[1], days)
    sources = KeySources(
        numbers=_numbers(roots[1], numbers, names, group_ids(pools.content)),
        series={one.name: one for one in series},
        bands={one.id: frozenset(band for v in one.versions for band, _ in v.rates) for one in prices.tariffs},
        tables=tables,
    )
    found = read_pools(roots[1], names, sources, prices)
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
    return Rules(prices, found, series, document, services, loss)


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
    root: RuleTable, rows: Mapping[str, list[NumberText]], names: SiteNames, groups: frozenset[str]
) -> dict[str, UnitNumbers]:
    if not root.has("unit_numbers"):
        return {}
    known = groups | frozenset(map(str, names.units))
    numbers: dict[str, UnitNumbers] = {}
    for table in root.tables("unit_numbers"):
        one = read_unit_numbers(table, rows.get(str(table.raw("name")), []), known)
        if one.name in numbers or one.name in set(Driver):
            table.fault("name", f"{one.name!r} is taken", "give each table a name of its own, no driver's")
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
