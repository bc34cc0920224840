"""What happened at a metering point that a curve alone does not tell: exchanges, ratios, looks of people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from ingest.console.words import Language
from ingest.series_words import series_word
from ingest.store.hand_readings import HandReading, HandState
from metering.identity import NodeId
from metering.interval import Interval
from provisioning.site import Meter, Site


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One thing that happened at an instant, in words."""

    at: datetime
    told: str


def events_of(
    site: Site, node: NodeId, span: Interval, looks: Iterable[HandReading], language: Language
) -> tuple[NodeEvent, ...]:
    """Give what happened at `node` within `span`, in order; `looks` are readings of people of its meters."""
    found = [*_of_meters(site.meters_at(node), language), *_of_looks(looks, language)]
    return tuple(sorted((one for one in found if span.start <= one.at < span.end), key=lambda one: one.at))


def _of_meters(meters: Iterable[Meter], language: Language) -> Iterator[NodeEvent]:
    fitted = list(meters)
    if fitted and fitted[0].span.start is not None:
        yield NodeEvent(fitted[0].span.start, series_word("event-fitted", language).format(serial=fitted[0].serial))
    for before, after in pairwise(fitted):
        if after.span.start is None:
            continue
        is_same = before.serial == after.serial
        key = "event-ratio" if is_same and before.multiplier != after.multiplier else "event-exchanged"
        told = series_word(key, language).format(
            before=before.multiplier if is_same else before.serial, after=after.multiplier if is_same else after.serial
        )
        yield NodeEvent(after.span.start, told)


def _of_looks(looks: Iterable[HandReading], language: Language) -> Iterator[NodeEvent]:
    for one in looks:
        if one.state in (HandState.COUNTED, HandState.KEPT):
            yield NodeEvent(one.mark, series_word("event-read", language).format(shown=one.shown))
