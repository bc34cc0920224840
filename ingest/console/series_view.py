"""What the page of one metering point shows, as texts, links and shapes: built from a series. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import quote, urlencode

from allocation_engine.intervals import SlotException
from device_profiles.profile import ChannelKind
from ingest.console.chart import Chart, draw
from ingest.console.rendering import grouped, local_time, percent
from ingest.console.series_events import events_of
from ingest.console.tables import Table
from ingest.console.view import Mark, Tile
from ingest.console.words import Language, words
from ingest.engine_words import engine_word
from ingest.series.forms import amounts_of, is_total, shown_unit, to_table
from ingest.series.points import Method
from ingest.series.quality import QUALITIES, PointQuality
from ingest.series.reader import Series
from ingest.series.registers import Quantity
from ingest.series.sums import Per
from ingest.series_words import obis_word, quality_word, series_words
from ingest.store.hand_readings import HandReading
from metering.identity import NodeId
from metering.obis import SETTLED_QUANTITIES
from provisioning.site import Site

BROAD, SLIM = (1080, 320, 14), (370, 270, 5)
"""Width, height and labels of the time axis, for a screen and for a phone."""
EXCEPTIONS_SHOWN, ROWS_SHOWN, BELOW_SHOWN = 50, 400, 60
_TONES = {"estimated": "warn", "missing": "bad", "held": "bad", "unsettled": "bad"}


@dataclass(frozen=True, slots=True)
class Link:
    """A way to another page."""

    text: str
    href: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Navigation:
    """What is chosen, and the ways on from there."""

    site: Site
    node: NodeId
    language: Language
    obis: str
    first: date
    end: date
    per: Per

    def href(self, **other: object) -> str:
        """Give the address of the same page but for what is named."""
        chosen = {"obis": self.obis, "from": self.first, "to": self.end, "per": self.per, "lang": self.language}
        node = other.pop("node", self.node)
        return f"/series/{quote(self.site.id)}/{quote(str(node))}?{urlencode(chosen | other)}"

    def spans(self, word: Mapping[str, str]) -> Iterator[Link]:
        """Lead to the day, week, month and year in which the span begins; each with the grain that fits it."""
        for kind in ("day", "week", "month", "year"):
            first, end = span_of(kind, self.first)
            is_chosen = (first, end) == (self.first, self.end)
            grain = self.per if is_chosen else fitting(first, end)
            yield Link(word[f"span-{kind}"], self.href(**{"from": first, "to": end, "per": grain}), is_chosen)

    def to_node(self, node: NodeId) -> Link:
        """Lead to another node of the same site."""
        return Link(self.site.node(node).names.of(self.language), self.href(node=node))

    def shifted(self, steps: int) -> str:
        """Lead to the span before (-1) or after (1) of the same kind."""
        for kind in ("month", "year"):
            if span_of(kind, self.first) == (self.first, self.end):
                near = self.end if steps > 0 else self.first - timedelta(days=1)
                first, end = span_of(kind, near)
                return self.href(**{"from": first, "to": end})
        length = steps * (self.end - self.first)
        return self.href(**{"from": self.first + length, "to": self.end + length})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that settlement found not normal."""

    kind: str
    tone: str
    span: str
    amount: str
    reason: str


@dataclass(frozen=True, slots=True)
class SeriesView:
    """What the page shows. Where there is no chart, `problem` says why and `mend` what to do."""

    name: str
    node: str
    obis: str
    zone: str
    first_day: date
    last_day: date
    above: Link | None
    below: tuple[Link, ...]
    quantities: tuple[Link, ...]
    others: tuple[Link, ...]
    spans: tuple[Link, ...]
    grains: tuple[Link, ...]
    earlier: str
    later: str
    problem: str = ""
    mend: str = ""
    quantity: str = ""
    each: str = ""
    span_text: str = ""
    csv: str = ""
    json: str = ""
    tiles: tuple[Tile, ...] = ()
    wide: Chart | None = None
    narrow: Chart | None = None
    legend: tuple[Mark, ...] = ()
    note: str = ""
    table: Table | None = None
    events: tuple[tuple[str, str], ...] = ()
    exceptions: tuple[Finding, ...] = ()
    exceptions_left: str = ""


def span_of(kind: str, day: date) -> tuple[date, date]:
    """Give first day of the day, week, month or year around `day`, and the day after its last."""
    if kind == "day":
        return day, day + timedelta(days=1)
    if kind == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    if kind == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=31)).replace(day=1)
    first = day.replace(month=1, day=1)
    return first, first.replace(year=day.year + 1)


def fitting(first: date, end: date) -> Per:
    """Choose the grain whose bars can be told apart."""
    days = (end - first).days
    return Per.SLOT if days <= 2 else Per.HOUR if days <= 7 else Per.DAY if days <= 93 else Per.MONTH


def page_view(ways: Navigation, known: tuple[Quantity, ...]) -> SeriesView:
    """Give the page without its chart."""
    language, site = ways.language, ways.site
    word = series_words(language)
    is_gauge = any(str(one.obis) == ways.obis and one.kind is ChannelKind.GAUGE for one in known)
    grains = [Per.SLOT] if is_gauge else list(Per)
    parent = site.node(ways.node).parent_at(site.calendar.midnight(ways.first))
    instant = site.calendar.midnight(ways.first)
    below = [child.id for child in site.children_at(ways.node, instant)][:BELOW_SHOWN]
    return SeriesView(
        name=site.node(ways.node).names.of(language),
        node=ways.node,
        obis=ways.obis,
        zone=site.calendar.zone,
        first_day=ways.first,
        last_day=ways.end,
        above=None if parent is None else ways.to_node(parent),
        below=tuple(ways.to_node(child) for child in below),
        quantities=tuple(_quantity(one, ways) for one in known if one.obis in SETTLED_QUANTITIES),
        others=tuple(_quantity(one, ways) for one in known if one.obis not in SETTLED_QUANTITIES),
        spans=tuple(ways.spans(word)),
        grains=tuple(Link(word[f"per-{one}"], ways.href(per=one), one is ways.per) for one in grains),
        earlier=ways.shifted(-1),
        later=ways.shifted(1),
        problem="" if known else word["no-meter"],
    )


def _quantity(one: Quantity, ways: Navigation) -> Link:
    return Link(obis_word(str(one.obis), ways.language), ways.href(obis=one.obis), str(one.obis) == ways.obis)


def with_chart(page: SeriesView, series: Series, ways: Navigation, looks: Iterable[HandReading] = ()) -> SeriesView:
    """Add the chart, and all that is told about it; `looks` are readings of people at the node."""
    language, word = ways.language, series_words(ways.language)
    if not series.points.known.any():
        return replace(page, problem=word["nothing"])
    events = events_of(series.site, ways.node, series.span, looks, language)
    wide, narrow = (
        draw(series, language, key=key, width=width, height=height, ticks=ticks, events=events)
        for key, (width, height, ticks) in (("broad", BROAD), ("slim", SLIM))
    )
    calendar, span = series.site.calendar, series.span
    left = len(series.exceptions) - EXCEPTIONS_SHOWN
    return replace(
        page,
        quantity=obis_word(str(series.quantity.obis), language),
        each="" if series.quantity.kind is ChannelKind.GAUGE else word[f"each-{series.per}"],
        span_text=f"{local_time(span.start, calendar)} – {local_time(span.end, calendar)}",
        csv=_file("csv", ways),
        json=_file("json", ways),
        tiles=tuple(_tiles(series, word)),
        wide=wide,
        narrow=narrow,
        legend=tuple(_legend(series, ways)),
        note=word["sums-note" if series.method is Method.SUMS else f"{series.method}-note"],
        table=to_table(series, language) if len(series.points.known) <= ROWS_SHOWN else None,
        events=tuple((local_time(one.at, calendar), one.told) for one in events),
        exceptions=tuple(_exception(one, series, ways) for one in series.exceptions[:EXCEPTIONS_SHOWN]),
        exceptions_left=word["left-off"].format(count=left) if left > 0 else "",
    )


def _file(form: str, ways: Navigation) -> str:
    chosen = {
        "site": ways.site.id,
        "node": ways.node,
        "obis": ways.obis,
        "from": ways.first,
        "to": ways.end,
        "per": ways.per,
        "lang": ways.language,
    }
    return f"/v1/series{'.csv' if form == 'csv' else ''}?{urlencode(chosen)}"


def _tiles(series: Series, word: Mapping[str, str]) -> Iterator[Tile]:
    unit, decimals = shown_unit(series.quantity)
    known = [amount for amount in amounts_of(series) if amount is not None]
    if is_total(series):
        yield Tile(word["total"], f"{grouped(sum(known), decimals)} {unit}")
    for key, amount in (("most", max(known)), ("least", min(known))):
        yield Tile(word[key], f"{grouped(amount, decimals)} {unit}".strip())
    count = sum(series.tally.get(name, 0) for name in QUALITIES[: PointQuality.MISSING])
    yield Tile(word["known"], percent(count, series.slots), word["known-note"].format(count=f"{series.slots:,}"))


def _legend(series: Series, ways: Navigation) -> Iterator[Mark]:
    for number, name in enumerate(QUALITIES):
        if name in series.tally:
            yield Mark(f"{quality_word(number, ways.language)} {series.tally[name]:,}", name)


def _exception(one: SlotException, series: Series, ways: Navigation) -> Finding:
    quality, calendar = one.quality.name.lower(), series.site.calendar
    unit, decimals = shown_unit(series.quantity)
    start, end = (local_time(edge, calendar) for edge in (one.start, one.end))
    return Finding(
        kind=words(ways.language)[f"reason-{one.reason}"],
        tone=_TONES.get(quality, "plain"),
        span=start if start == end else f"{start} – {end[11:] if end[:10] == start[:10] else end}",
        amount="" if one.energy_wh is None else f"{grouped(one.energy_wh, decimals)} {unit}",
        reason=engine_word(one.basis, ways.language),
    )
