"""Reads one series: finds the site and the node, takes settled days or readings, thins or adds up.

Theory of operation. What settlement makes (energy, water, gas, heat) comes from `settled_days`: it knows exchanges,
gaps and ratios, and its sums are those of the bills. Any other quantity, and those too if asked, comes from what meters
showed: slot by slot from readings, by hour, day and month from the first registers of each, which TimescaleDB keeps
ready and plain PostgreSQL works out of the readings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from allocation_engine.intervals import SlotException
from allocation_engine.kernels import Int64Array
from device_profiles.catalogue import Catalogue
from device_profiles.profile import ChannelKind
from ingest.console.words import Language
from ingest.metering_points import register_places
from ingest.series.points import Method, Points, Slots, thin
from ingest.series.quality import PointQuality
from ingest.series.registers import ByMeter, Quantity, advances, gauges, quantities
from ingest.series.sums import Per, add_up, bounds, whole
from ingest.series_words import refusal_words
from ingest.store.aggregates import shown_at_edges
from ingest.store.database import Connection
from ingest.store.series import settled_point, shown_between
from ingest.store.settled import Settled
from ingest.store.sites import require_site, site_ids
from metering.errors import MeteringError
from metering.identity import NodeId, SiteId
from metering.interval import SLOT, SLOT_S, Interval, SiteCalendar
from metering.obis import ENERGY_IMPORT, SETTLED_QUANTITIES, Obis
from provisioning.site import Site

SPAN_DAYS_MAX = 3660
"""Ten years: more slots than that are no chart, and would fill the memory of the service."""
POINTS_MAX = 40_000
"""A year of slots and a little."""
BY_HOUR_DAYS_MAX = 800
"""So far do hours go: two years are 17,520 of them."""


class SeriesRefused(MeteringError):
    """What was asked for is no series; `mend` says what to ask for instead. `is_absent`: the thing does not exist."""

    def __init__(self, why: str, *, is_absent: bool = False, **named: object) -> None:
        self._why, self._named = why, named
        problem, self.mend = self.told(Language.EN)
        super().__init__(problem)
        self.is_absent = is_absent

    def told(self, language: Language) -> tuple[str, str]:
        """Say in one language what is wrong and how to mend it."""
        return refusal_words(self._why, language, self._named)


class Source(StrEnum):
    """From what a series is made."""

    SETTLED = "settled"
    REGISTERS = "registers"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `start` and `end` as local days or as instants with offset, `most` points or fewer.

    source   None: settled days where the quantity is settled, else registers
    """

    node: NodeId
    start: str
    end: str
    site: SiteId | None = None
    obis: Obis = ENERGY_IMPORT
    per: Per = Per.SLOT
    most: int = 1000
    method: Method = Method.EXTREMES
    source: Source | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The answer. Amounts are whole numbers of 10^-decimals of the quantity's base unit.

    span        what was asked for, widened to whole slots, hours, days or months
    slots       how many slots of 15 minutes that is, and `tally` how well they are known
    exceptions  what settlement found not normal
    ready_made  whether sums rest on what TimescaleDB keeps ready: readings that came late show after its next refresh
    """

    site: Site
    node: NodeId
    quantity: Quantity
    per: Per
    method: Method
    source: Source
    span: Interval
    points: Points
    slots: int
    tally: dict[str, int]
    exceptions: tuple[SlotException, ...] = ()
    ready_made: bool = False


class _Asked(NamedTuple):
    connection: Connection
    catalogue: Catalogue
    site: Site
    question: Question
    quantity: Quantity
    span: Interval


def read_series(connection: Connection, catalogue: Catalogue, question: Question) -> Series:
    """Answer one question; raises SeriesRefused, SiteUnknown, ProfileUnknown, QuantityNotExact."""
    site = find_site(connection, question.site)
    quantity = _quantity(catalogue, site, question)
    source = question.source or (Source.SETTLED if quantity.obis in SETTLED_QUANTITIES else Source.REGISTERS)
    if source is Source.SETTLED and quantity.obis not in SETTLED_QUANTITIES:
        raise SeriesRefused("not-settled", obis=quantity.obis)
    if quantity.kind is ChannelKind.GAUGE and question.per is not Per.SLOT:
        raise SeriesRefused("no-sums", obis=quantity.obis)
    span = whole(read_span(question.start, question.end, site.calendar), question.per, site.calendar)
    if question.per is Per.HOUR and span.duration.days > BY_HOUR_DAYS_MAX:
        raise SeriesRefused("too-many-hours", days=span.duration.days, most=BY_HOUR_DAYS_MAX)
    asked = _Asked(connection, catalogue, site, question, quantity, span)
    return _from_settled(asked) if source is Source.SETTLED else _from_registers(asked)


def find_site(connection: Connection, asked: SiteId | None) -> Site:
    """Give the site asked for, or the only one there is; raises SeriesRefused, SiteUnknown."""
    known = site_ids(connection)
    if asked is None and len(known) != 1:
        raise SeriesRefused("which-site", count=len(known))
    return require_site(connection, known[0] if asked is None else asked).site


def node_quantities(catalogue: Catalogue, site: Site, node: NodeId) -> tuple[Quantity, ...]:
    """List what can be asked of a node, settled quantities first; raises SeriesRefused, ProfileUnknown."""
    if node not in {one.id for one in site.nodes}:
        raise SeriesRefused("no-node", is_absent=True, site=site.id, node=node)
    found = quantities(catalogue, site.meters_at(node))
    return tuple(sorted(found, key=lambda one: (one.obis not in SETTLED_QUANTITIES, one.obis)))


def read_span(start: str, end: str, calendar: SiteCalendar) -> Interval:
    """Read both ends, each a local day (its first instant) or an instant with offset; raises SeriesRefused."""
    first, last = _instant(start, "from", calendar), _instant(end, "to", calendar)
    if last <= first:
        raise SeriesRefused("not-after", start=start, end=end)
    span = Interval(first, last)
    if span.duration.days > SPAN_DAYS_MAX:
        raise SeriesRefused("too-long", days=span.duration.days, most=SPAN_DAYS_MAX)
    return span


def _instant(text: str, name: str, calendar: SiteCalendar) -> datetime:
    try:
        if len(text) <= len("2026-07-01"):
            return calendar.midnight(date.fromisoformat(text))
        # A plus that was not escaped in an address arrives as a blank.
        instant = datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+"))
        if instant.tzinfo is None:
            raise SeriesRefused("no-offset", name=name, text=text)
        # Two local times of one zone would be compared by what clocks show.
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SeriesRefused("no-instant", name=name, text=text) from error


def _quantity(catalogue: Catalogue, site: Site, question: Question) -> Quantity:
    known = node_quantities(catalogue, site, question.node)
    for one in known:
        if one.obis == question.obis:
            return one
    names = ", ".join(str(one.obis) for one in known) or "-"
    raise SeriesRefused("no-quantity", is_absent=True, node=question.node, obis=question.obis, known=names)


def _from_settled(asked: _Asked) -> Series:
    days = asked.site.calendar.days(asked.span)
    stored = settled_point(asked.connection, asked.site.id, asked.question.node, asked.quantity.obis, days[0], days[-1])
    slots = settled_slots(asked.site.calendar, asked.span, stored)
    # A gap over several days is told by each of them.
    exceptions = dict.fromkeys(() if stored is None else stored.exceptions)
    told = tuple(one for one in exceptions if one.start < asked.span.end and one.end > asked.span.start)
    return replace(_answer(asked, Source.SETTLED, slots), exceptions=told)


def settled_slots(calendar: SiteCalendar, span: Interval, stored: Settled | None) -> Slots:
    """Lay settled days into the slots of a span; what has no settled day, or a day of another length, is UNSETTLED."""
    days = calendar.days(span)
    start = calendar.midnight(days[0])
    starts = [(calendar.midnight(day) - start) // SLOT for day in days]
    size = (calendar.day(days[-1]).end - start) // SLOT
    lengths = np.diff([*starts, size]).tolist()
    place = {day: (first, first + length) for day, first, length in zip(days, starts, lengths, strict=True)}
    amounts, quality = np.zeros(size, np.int64), np.full(size, PointQuality.UNSETTLED, np.uint8)
    if stored is not None:
        for day in stored.days:
            first, end = place[day]
            quality[first:end] = PointQuality.MEASURED
        for into, blocks in ((amounts, stored.energies()), (quality, stored.qualities())):
            for block, numbers in blocks:
                for day, row in zip(block, numbers, strict=True):
                    first, end = place[day]
                    if row.size == end - first:
                        into[first:end] = row
                    else:
                        quality[first:end] = PointQuality.UNSETTLED
    skipped, count = (span.start - start) // SLOT, span.slot_count
    kept = slice(skipped, skipped + count)
    return Slots(int(span.start.timestamp()), amounts[kept], quality[kept])


def _from_registers(asked: _Asked) -> Series:
    per, span, decimals = asked.question.per, asked.span, asked.quantity.decimals
    if per is Per.SLOT:
        edges = np.arange(int(span.start.timestamp()), int(span.end.timestamp()) + 1, SLOT_S, dtype=np.int64)
        shown = _shown(asked)
        if asked.quantity.kind is ChannelKind.GAUGE:
            slots = Slots(int(edges[0]), *gauges(asked.catalogue, edges[:-1], shown, decimals))
        else:
            slots = Slots(int(edges[0]), *advances(asked.catalogue, edges, shown, decimals))
        return _answer(asked, Source.REGISTERS, slots)
    edges = bounds(span, per, asked.site.calendar)
    shown, ready_made = _shown_at_edges(asked, edges)
    amounts, quality = advances(asked.catalogue, edges, shown, decimals)
    known = quality < PointQuality.MISSING
    lengths = np.diff(edges) // SLOT_S
    points = Points(edges[:-1], amounts, quality, np.where(known, 0, lengths), known)
    tally = Slots(0, np.repeat(amounts, lengths), np.repeat(quality, lengths)).tally()
    made = _series(asked, Source.REGISTERS, points, Method.SUMS, tally)
    return replace(made, ready_made=ready_made)


def _shown(asked: _Asked) -> ByMeter:
    places = register_places(asked.catalogue, asked.quantity.obis)
    return [
        (meter, shown_between(asked.connection, meter.id, places, asked.span.start, asked.span.end))
        for meter in asked.site.meters_at(asked.question.node)
        if meter.span.within(asked.span) is not None
    ]


def _shown_at_edges(asked: _Asked, edges: Int64Array) -> tuple[ByMeter, bool]:
    meters = [one for one in asked.site.meters_at(asked.question.node) if one.span.within(asked.span) is not None]
    places = register_places(asked.catalogue, asked.quantity.obis)
    shown, ready_made = shown_at_edges(
        asked.connection,
        [meter.id for meter in meters],
        places,
        per=str(asked.question.per),
        zone=asked.site.calendar.zone,
        edges=edges,
    )
    return [(meter, shown.get(meter.id, ())) for meter in meters], ready_made


def _answer(asked: _Asked, source: Source, slots: Slots) -> Series:
    question = asked.question
    if question.per is Per.SLOT:
        points, method = thin(slots, min(question.most, POINTS_MAX), question.method)
    else:
        points, method = add_up(slots, bounds(asked.span, question.per, asked.site.calendar)), Method.SUMS
    return _series(asked, source, points, method, slots.tally())


def _series(asked: _Asked, source: Source, points: Points, method: Method, tally: dict[str, int]) -> Series:
    return Series(
        site=asked.site,
        node=asked.question.node,
        quantity=asked.quantity,
        per=asked.question.per,
        method=method,
        source=source,
        span=asked.span,
        points=points,
        slots=asked.span.slot_count,
        tally=tally,
    )
