"""A series as the shapes of a picture: bars or a line, gaps left open, a strip for quality. Pure; drawn by chart.svg.

Coordinates are those of the picture's own box, in which a unit is about a pixel. A line is only drawn between points
with no break between them; what stands alone is a dot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from device_profiles.profile import ChannelKind
from ingest.console.rendering import grouped
from ingest.console.series_events import NodeEvent
from ingest.console.words import Language
from ingest.series.forms import amounts_of, shown_unit
from ingest.series.points import Method
from ingest.series.quality import QUALITIES, PointQuality
from ingest.series.reader import Series
from ingest.series.sums import Per, bounds
from ingest.series_words import quality_word, series_word
from metering.interval import SLOT_S

BARS_MAX = 200
"""More bars than that melt into one another: then a line is drawn."""
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 26, 34
STRIP = 5
Y_TICKS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One amount as a bar, with what is told when somebody points at it."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A span of the time axis: a gap, or a stretch of one quality."""

    x: float
    width: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The picture. The plot lies between (left, top) and (right, bottom)."""

    key: str
    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int
    unit: str
    bars: tuple[Bar, ...]
    line: str
    gaps: tuple[Mark, ...]
    strip: tuple[Mark, ...]
    events: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def draw(
    series: Series,
    language: Language,
    *,
    key: str,
    width: int,
    height: int,
    ticks: int,
    events: Sequence[NodeEvent] = (),
) -> Chart:
    """Draw a series into a box; `ticks` is how many labels the time axis has room for."""
    return _Drawing(series, language, width, height).chart(key, ticks, events)


class _Drawing:
    def __init__(self, series: Series, language: Language, width: int, height: int) -> None:
        self._series = series
        self._language = language
        self._width, self._height = width, height
        self._right, self._bottom = width - RIGHT, height - BOTTOM
        self._unit, self._decimals = shown_unit(series.quantity)
        self._start_s, self._end_s = (int(edge.timestamp()) for edge in (series.span.start, series.span.end))
        points = series.points
        self._starts: list[int] = points.starts.tolist()
        self._amounts = amounts_of(series)
        self._quality: list[int] = points.quality.tolist()
        self._missing: list[int] = points.missing.tolist()
        self._is_gauge = series.quantity.kind is ChannelKind.GAUGE
        self._is_sums = series.method is Method.SUMS
        self._low, self._step, self._high = self._scale()

    def chart(self, key: str, ticks: int, events: Sequence[NodeEvent]) -> Chart:
        """Give all shapes."""
        as_bars = not self._is_gauge and (self._is_sums or len(self._starts) <= BARS_MAX)
        return Chart(
            key=key,
            width=self._width,
            height=self._height,
            left=LEFT,
            top=TOP,
            right=self._right,
            bottom=self._bottom,
            unit=self._unit,
            bars=tuple(self._bars()) if as_bars else (),
            line="" if as_bars else self._line(),
            gaps=tuple(self._gaps()),
            strip=tuple(self._strip()),
            events=tuple(Tick(self._x(one.at.timestamp()), one.told) for one in events),
            x_ticks=tuple(self._x_ticks(ticks)),
            y_ticks=tuple(self._y_ticks()),
        )

    def _scale(self) -> tuple[int, int, int]:
        """Give the lowest tick, the step and the highest tick, in base units."""
        known = [amount for amount in self._amounts if amount is not None] or [0, 1]
        low = min(known) if self._is_gauge else min(0, min(known))
        high = max(max(known), low + 1)
        step = 1
        while True:
            for factor in (1, 2, 5):
                if (high - low) <= step * factor * (Y_TICKS - 1):
                    step *= factor
                    return low // step * step, step, -(-high // step) * step
            step *= 10

    def _x(self, second: float) -> float:
        inside = (second - self._start_s) / (self._end_s - self._start_s)
        return round(LEFT + min(max(inside, 0.0), 1.0) * (self._right - LEFT), 1)

    def _y(self, amount: int) -> float:
        return round(self._bottom - (amount - self._low) / (self._high - self._low) * (self._bottom - TOP), 1)

    def _end_of(self, place: int) -> int:
        """Give where the span of a point ends [s since 1970]."""
        following = self._starts[place + 1] if place + 1 < len(self._starts) else self._end_s
        if self._is_sums:
            return following
        slots = 1 if self._amounts[place] is not None else self._missing[place]
        return min(self._starts[place] + slots * SLOT_S, following)

    def _title(self, place: int, amount: int | None) -> str:
        local = self._series.site.calendar.local(datetime.fromtimestamp(self._starts[place], UTC))
        told = [local.strftime("%Y-%m" if self._series.per is Per.MONTH else "%Y-%m-%d %H:%M")]
        if amount is not None:
            told.append(f"{grouped(amount, self._decimals)} {self._unit}".strip())
        told.append(quality_word(self._quality[place], self._language))
        if self._missing[place]:
            told.append(series_word("slots-missing", self._language).format(count=self._missing[place]))
        return " · ".join(told)

    def _bars(self) -> Iterator[Bar]:
        zero = self._y(max(self._low, 0))
        for place, amount in enumerate(self._amounts):
            if amount is None:
                continue
            x, end = self._x(self._starts[place]), self._x(self._end_of(place))
            room = end - x
            y = self._y(amount)
            tone = "part" if self._missing[place] else QUALITIES[self._quality[place]]
            gap = min(2.0, room * 0.2)
            top, height = min(y, zero), max(abs(zero - y), 0.6 if amount else 0.0)
            yield Bar(round(x + gap / 2, 1), top, round(room - gap, 1), height, tone, self._title(place, amount))

    def _line(self) -> str:
        """Give the path: a new beginning after each break, a dot for what stands alone."""
        middle = 0 if self._is_gauge else SLOT_S // 2
        drawn: list[str] = []
        is_joined = False
        for place, amount in enumerate(self._amounts):
            if amount is None:
                is_joined = False
                continue
            at = f"{self._x(self._starts[place] + middle)} {self._y(amount)}"
            # `h0` makes a dot of a point that nothing follows.
            drawn.append(f"L{at}" if is_joined else f"M{at}h0")
            is_joined = True
        return "".join(drawn)

    def _gaps(self) -> Iterator[Mark]:
        for place, amount in enumerate(self._amounts):
            if amount is None:
                x, end = self._x(self._starts[place]), self._x(self._end_of(place))
                tone = QUALITIES[self._quality[place]]
                yield Mark(x, round(max(end - x, 0.6), 1), tone, self._title(place, None))

    def _strip(self) -> Iterator[Mark]:
        """Give the stretches that are known, but not plainly measured."""
        begun: tuple[int, int] | None = None
        for place, quality in enumerate([*self._quality, int(PointQuality.MEASURED)]):
            marked = PointQuality.MEASURED < quality < PointQuality.MISSING and place < len(self._starts)
            if begun is not None and (not marked or quality != begun[1]):
                x, end = self._x(self._starts[begun[0]]), self._x(self._end_of(place - 1))
                word = quality_word(begun[1], self._language)
                yield Mark(x, round(max(end - x, 2.0), 1), QUALITIES[begun[1]], word)
                begun = None
            if marked and begun is None:
                begun = place, quality

    def _y_ticks(self) -> Iterator[Tick]:
        for amount in range(self._low, self._high + 1, self._step):
            text = grouped(amount, self._decimals)
            short = text.rstrip("0").rstrip(".") if "." in text else text
            yield Tick(self._y(amount), short)

    def _x_ticks(self, most: int) -> Iterator[Tick]:
        calendar, span = self._series.site.calendar, self._series.span
        days = [(calendar.midnight(day), day) for day in calendar.days(span)]
        instants = [(at, day) for at, day in days if at >= span.start]
        if len(days) <= 8:
            hours = [calendar.local(datetime.fromtimestamp(edge, UTC)) for edge in _hours(self._series)]
            for step in (1, 2, 3, 6, 12):
                found = [at for at in hours if at.hour % step == 0 and at.minute == 0]
                if len(found) <= most:
                    for at in found:
                        label = at.strftime("%m-%d" if at.hour == 0 and len(days) > 1 else "%H:%M")
                        yield Tick(self._x(at.timestamp()), label)
                    return
        for step in (1, 2, 5, 10):
            chosen = [(at, day) for at, day in instants if (day.day - 1) % step == 0 and day.day < 31]
            if len(chosen) <= most:
                yield from (Tick(self._x(at.timestamp()), day.strftime("%m-%d")) for at, day in chosen)
                return
        firsts = [(at, day) for at, day in instants if day.day == 1]
        for step in (1, 2, 3, 6, 12, 24):
            chosen = [(at, day) for at, day in firsts if (12 * day.year + day.month - 1) % step == 0]
            if len(chosen) <= most:
                yield from (Tick(self._x(at.timestamp()), day.strftime("%Y-%m")) for at, day in chosen)
                return


def _hours(series: Series) -> list[int]:
    calendar = series.site.calendar
    days = calendar.days(series.span)
    first, last = calendar.day(days[0]), calendar.day(days[-1])
    around = type(series.span)(first.start, last.end)
    start, end = series.span.start.timestamp(), series.span.end.timestamp()
    return [edge for edge in bounds(around, Per.HOUR, calendar).tolist() if start <= edge < end]
