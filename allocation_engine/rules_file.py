"""Reads `tariff.toml` and `pools.toml` of a site directory; every mistake is shown with file and line.

Files and stored documents go through the same reader, so that a stored version means exactly what its files meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from allocation_engine.pools_file import read_pools
from allocation_engine.rule_table import RuleTable
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.series import DailySeries
from allocation_engine.series_file import DayText, read_days, read_series
from allocation_engine.tariff_file import read_tariff
from metering.errors import DocumentError, Fault
from metering.toml_source import TomlSource

TARIFF_FILE = "tariff.toml"
POOLS_FILE = "pools.toml"
FORMAT = 1


def read_rules(directory: Path, names: SiteNames) -> Rules:
    """Read the rules of a site; raises DocumentError with every fault that was found."""
    faults: list[Fault] = []
    sources = [_source(directory / name, faults) for name in (TARIFF_FILE, POOLS_FILE)]
    days: dict[str, list[DayText]] = {}
    tables = sources[1].content.get("series")
    for table in tables if isinstance(tables, list) else []:
        try:
            days[str(table["name"])] = read_days(directory / str(table["file"]), str(table["column"]))
        except DocumentError as error:
            faults.extend(error.faults)
        except (KeyError, TypeError):
            continue  # the reader of the table says what is missing
    return _rules(sources[0], sources[1], days, names, faults)


def rules_from_document(document: Mapping[str, Any], names: SiteNames) -> Rules:
    """Read a stored version (`Rules.document`); raises DocumentError."""
    tariff, pools = (TomlSource(f"stored {name}", document[name], {}) for name in ("tariff", "pools"))
    days = {name: [(str(day), str(text)) for day, text in rows] for name, rows in document["series"].items()}
    return _rules(tariff, pools, days, names, [])


def _source(path: Path, faults: list[Fault]) -> TomlSource:
    try:
        return TomlSource.read(path)
    except DocumentError as error:
        faults.extend(error.faults)
        return TomlSource(str(path), {}, {})


def _rules(
    tariff: TomlSource, pools: TomlSource, days: dict[str, list[DayText]], names: SiteNames, faults: list[Fault]
) -> Rules:
    if faults:
        raise DocumentError(tuple(faults))
    roots = [_root(source, faults) for source in (tariff, pools)]
    prices = read_tariff(roots[0], names.currency)
    series = _series(roots[1], days)
    found = read_pools(roots[1], names, {one.name for one in series})
    for root in roots:
        root.close()
    if faults:
        raise DocumentError(tuple(faults))
    document = {"tariff": _plain(tariff.content), "pools": _plain(pools.content), "series": _plain(days)}
    return Rules(prices, found, series, document)


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
