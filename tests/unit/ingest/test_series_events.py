"""What happened at a metering point, beside its curve."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ingest.console.series_events import events_of
from ingest.console.words import Language
from metering.identity import MeterId, NodeId
from metering.interval import Interval
from provisioning.site import Span
from tests.doubles.park_books import read_park

JULY = Interval(datetime(2026, 6, 30, 16, tzinfo=UTC), datetime(2026, 7, 31, 16, tzinfo=UTC))
PARK = read_park()[0]


def test_an_exchange_is_told_with_both_serials() -> None:
    old, new = PARK.meters_at(NodeId("u-a102"))
    (event,) = events_of(PARK, NodeId("u-a102"), JULY, (), Language.EN)
    assert event.at == new.span.start
    assert event.told == f"meter {old.serial} exchanged for {new.serial}"


def test_what_lies_outside_of_the_span_is_not_told() -> None:
    august = Interval(JULY.end, JULY.end + timedelta(days=31))
    assert events_of(PARK, NodeId("u-a102"), august, (), Language.EN) == ()


def test_the_same_meter_with_other_transformers_is_a_change_of_ratio() -> None:
    at = datetime(2026, 7, 9, 2, tzinfo=UTC)
    old = PARK.meter(MeterId("m-bldg-b"))
    first = replace(old, span=Span(old.span.start, at))
    second = replace(old, id=MeterId("m-bldg-b-2"), span=Span(at, None), ct=40)
    site = replace(PARK, meters=(*(one for one in PARK.meters if one.id != old.id), first, second))
    told = [one.told for one in events_of(site, NodeId("bldg-b"), JULY, (), Language.EN)]
    assert told == ["ratio changed from 20 to 40"]
