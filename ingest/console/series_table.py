"""An imported series as a page shows it: a curve, its source, and the days that are missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction
from typing import Any

from allocation_engine.formula.text import decimal_text
from allocation_engine.series import DailySeries
from ingest.console.tables import Cell, Table, number_cell, table, words_cell
from ingest.console.words import Language
from ingest.rulebook_words import rules_words

CURVE_DAYS = 400
"""Newest days of the curve; the file has them all."""
WIDTH, HEIGHT = 1000, 200
GAPS_SHOWN = 10


def series_table(series: Iterable[DailySeries], language: Language) -> Table:
    """Give all series: unit, source, from when to when, how many days are missing within."""
    word = rules_words(language)
    columns = (word[one] for one in ("name", "unit", "source", "first-day", "last-day", "missing-days", "missing-rule"))
    rows = (
        [
            words_cell(dict(one.names).get(language, one.name), one.name),
            words_cell(one.unit),
            words_cell(one.source),
            words_cell(one.days[0][0].isoformat() if one.days else "–"),
            words_cell(one.days[-1][0].isoformat() if one.days else "–"),
            number_cell(len(missing_days(one)), 0),
            words_cell(word[f"missing-{one.missing_day}"]),
        ]
        for one in series
    )
    return table("series", word["tab-series"], columns, rows, wide=frozenset({6}))


def series_content(series: DailySeries, language: Language) -> dict[str, Any]:
    """Give one series: its facts, its curve and its days, newest first."""
    word = rules_words(language)
    gaps = missing_days(series)
    days = [(day.isoformat(), decimal_text(number)) for day, number in series.days]
    cells = ([words_cell(day), Cell(text, text, True)] for day, text in reversed(days))
    return {
        "series": series,
        "curve": curve(series),
        "gaps": gaps[:GAPS_SHOWN],
        "gaps_more": max(0, len(gaps) - GAPS_SHOWN),
        "missing_rule": word[f"missing-{series.missing_day}"],
        "table": table("days", word["days"], (word["day"], series.unit), cells),
    }


def missing_days(series: DailySeries) -> list[str]:
    """Name the days between the first and the last that have no number."""
    known = {day for day, _ in series.days}
    if not known:
        return []
    first, last = series.days[0][0], series.days[-1][0]
    every = (first + timedelta(days=count) for count in range((last - first).days + 1))
    return [day.isoformat() for day in every if day not in known]


def curve(series: DailySeries) -> dict[str, Any] | None:
    """Draw the newest days as a path in a box of 1000 x 200; a line is broken where days are missing."""
    shown = series.days[-CURVE_DAYS:]
    if len(shown) < 2:
        return None
    numbers = [number for _, number in shown]
    low, high = min(numbers), max(numbers)
    span = (high - low) or Fraction(1)
    first, days = shown[0][0], (shown[-1][0] - shown[0][0]).days
    path, before = [], None
    for day, number in shown:
        x = (day - first).days * WIDTH // days
        y = HEIGHT - int((number - low) * HEIGHT / span)
        path.append(f"{'L' if before == day - timedelta(days=1) else 'M'}{x} {y}")
        before = day
    return {
        "path": " ".join(path),
        "low": decimal_text(low),
        "high": decimal_text(high),
        "first": first.isoformat(),
        "last": shown[-1][0].isoformat(),
    }
