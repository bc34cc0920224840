"""The forms in which a series goes out: a document for programs, a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from device_profiles.profile import ChannelKind
from ingest.console.tables import Table, number_cell, table, words_cell
from ingest.console.words import Language
from ingest.series.quality import QUALITIES, PointQuality
from ingest.series.reader import Series
from ingest.series.registers import Quantity
from ingest.series_words import quality_word, series_word

BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets take Chinese in UTF-8 for another encoding."""
EXCEPTIONS_MAX = 500
"""More are told by their number only."""
SHOWN_UNITS = {
    "Wh": ("kWh", 3),
    "varh": ("kvarh", 3),
    "mL": ("m³", 6),
    "kJ": ("GJ", 6),
    "W": ("kW", 3),
    "var": ("kvar", 3),
    "VA": ("kVA", 3),
    "VAh": ("kVAh", 3),
    "mV": ("V", 3),
    "mA": ("A", 3),
    "mHz": ("Hz", 3),
    "mL/h": ("m³/h", 6),
    "m°C": ("°C", 3),
    "s": ("s", 0),
    "1/1000": ("", 3),
}
"""The unit people read for a base unit, and its decimals: 1 kWh has three."""


def shown_unit(quantity: Quantity) -> tuple[str, int]:
    """Give the unit people read a quantity in, and the decimals of its amounts then."""
    unit, decimals = SHOWN_UNITS[quantity.unit]
    return unit, decimals + quantity.decimals


def to_document(series: Series) -> dict[str, Any]:
    """Give the JSON form: one list a column, whole numbers of 10^exponent of the unit, null at a break.

    A sum of which nothing is missing has 0 there; `amounts` never stand for what is missing.
    """
    points = series.points
    known = [
        amount for amount, is_known in zip(points.amounts.tolist(), points.known.tolist(), strict=True) if is_known
    ]
    return {
        "site": series.site.id,
        "node": series.node,
        "obis": str(series.quantity.obis),
        "kind": str(series.quantity.kind),
        "unit": series.quantity.unit,
        "exponent": -series.quantity.decimals,
        "zone": series.site.calendar.zone,
        "from": series.span.start.isoformat(),
        "to": series.span.end.isoformat(),
        "per": str(series.per),
        "method": str(series.method),
        "source": str(series.source),
        "ready_made": series.ready_made,
        "slots": series.slots,
        "tally": series.tally,
        "total": sum(known) if is_total(series) else None,
        "least": min(known, default=None),
        "most": max(known, default=None),
        "qualities": list(QUALITIES),
        "starts_s": points.starts.tolist(),
        "amounts": amounts_of(series),
        "quality": points.quality.tolist(),
        "missing": points.missing.tolist(),
        "exceptions": [one.to_document() for one in series.exceptions[:EXCEPTIONS_MAX]],
        "exceptions_left_off": max(len(series.exceptions) - EXCEPTIONS_MAX, 0),
    }


def is_total(series: Series) -> bool:
    """Say whether the points add up to the whole: not those of a gauge, and not a choice of slots."""
    return series.quantity.kind is ChannelKind.COUNTER and str(series.method) in ("raw", "sums")


def amounts_of(series: Series) -> list[int | None]:
    """Give the amount of each point [base unit], None at a break."""
    pairs = zip(series.points.amounts.tolist(), series.points.known.tolist(), strict=True)
    return [amount if is_known else None for amount, is_known in pairs]


def to_table(series: Series, language: Language) -> Table:
    """Give the points for people: instants in UTC and in the site's time, amounts in the unit they know, all digits."""
    _, decimals = shown_unit(series.quantity)
    title = f"{series.site.node(series.node).names.of(language)} · {series.quantity.obis}"
    rows = (
        [
            words_cell(utc),
            words_cell(local),
            number_cell(amount, decimals),
            words_cell(quality_word(quality, language)),
            number_cell(missing, 0),
        ]
        for utc, local, amount, quality, missing in _rows(series)
    )
    return table("series", title, _columns(series, language), rows)


def to_csv(series: Series, language: Language) -> bytes:
    """Give the same for spreadsheets (RFC 4180, UTF-8); written straight, for a year has 35,040 rows."""
    _, decimals = shown_unit(series.quantity)
    scale = 10**decimals
    named = [quality_word(quality, language) for quality in PointQuality]
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(_columns(series, language))
    writer.writerows(
        (utc, local, "" if amount is None else _decimal(amount, scale, decimals), named[quality], missing)
        for utc, local, amount, quality, missing in _rows(series)
    )
    return (BYTE_ORDER_MARK + lines.getvalue()).encode()


def _columns(series: Series, language: Language) -> list[str]:
    unit, _ = shown_unit(series.quantity)
    names = [series_word(name, language) for name in ("from-utc", "from-local", "amount", "quality", "missing")]
    names[2] += f" [{unit}]" if unit else ""
    return names


def _rows(series: Series) -> Iterator[tuple[str, str, int | None, int, int]]:
    """Give start in UTC, start in local time with its offset (an hour may come twice), amount, quality, missing."""
    points, zone = series.points, series.site.calendar.tz
    columns = (points.starts.tolist(), amounts_of(series), points.quality.tolist(), points.missing.tolist())
    for start, amount, quality, missing in zip(*columns, strict=True):
        utc = datetime.fromtimestamp(start, UTC).isoformat(" ", "minutes")[:16]
        local = datetime.fromtimestamp(start, zone).isoformat(" ", "minutes")
        yield utc, local, amount, quality, missing


def _decimal(amount: int, scale: int, decimals: int) -> str:
    whole, part = divmod(abs(amount), scale)
    return f"{'-' if amount < 0 else ''}{whole}.{part:0{decimals}d}"
