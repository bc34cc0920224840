"""The forms in which a series goes out: a document for programs, a table for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from device_profiles.profile import ChannelKind
from ingest.console.tables import Cell, Table, number_cell, table, words_cell
from ingest.console.words import Language
from ingest.series.quality import QUALITIES
from ingest.series.reader import Series
from ingest.series.registers import Quantity
from ingest.series_words import quality_word, series_word

EXCEPTIONS_MAX = 500
"""More are told by their number only."""
SHOWN_UNITS = {
    "Wh": ("kWh", 3),
    "varh": ("kvarh", 3),
    "mL": ("m³", 6),
    "kJ": ("GJ", 6),
    "W": ("kW", 3),
    "var": ("kvar", 3),
    "mV": ("V", 3),
    "mA": ("A", 3),
    "mHz": ("Hz", 3),
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
    unit, _ = shown_unit(series.quantity)
    names = [series_word(name, language) for name in ("from-utc", "from-local", "amount", "quality", "missing")]
    names[2] += f" [{unit}]" if unit else ""
    title = f"{series.site.node(series.node).names.of(language)} · {series.quantity.obis}"
    return table("series", title, names, _rows(series, language))


def _rows(series: Series, language: Language) -> Iterator[list[Cell]]:
    points, calendar = series.points, series.site.calendar
    _, decimals = shown_unit(series.quantity)
    columns = (points.starts.tolist(), amounts_of(series), points.quality.tolist(), points.missing.tolist())
    for start, amount, quality, missing in zip(*columns, strict=True):
        instant = datetime.fromtimestamp(start, UTC)
        yield [
            words_cell(instant.strftime("%Y-%m-%d %H:%M")),
            # With its offset: when clocks are set back, an hour comes twice.
            words_cell(calendar.local(instant).isoformat(" ", "minutes")),
            number_cell(amount, decimals),
            words_cell(quality_word(quality, language)),
            number_cell(missing, 0),
        ]
