"""The site model: dated answers, and a document whose hash names the version."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metering.errors import MeteringError
from metering.identity import GatewayId, IdentifierInvalid, MeterId, NodeId, PortId
from metering.interval import Interval
from provisioning.document import DocumentMismatch
from provisioning.site import (
    ACCURACY_CLASSES,
    ALWAYS,
    Names,
    NodeKind,
    NotInSite,
    Parity,
    SerialPort,
    Site,
    SiteInvalid,
    Span,
    TcpPort,
)
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
ONE = datetime(2026, 7, 1, 13, tzinfo=UTC)
TWO = datetime(2026, 7, 1, 14, tzinfo=UTC)


@pytest.fixture(scope="module")
def park() -> Site:
    """The example park."""
    return read_site(PARK)


@pytest.mark.parametrize(
    ("span", "inside"),
    [
        (ALWAYS, [True, True, True]),
        (Span(ONE, None), [False, True, True]),
        (Span(None, ONE), [True, False, False]),
        (Span(ONE, TWO), [False, True, False]),
    ],
)
def test_a_span_holds_its_start_and_not_its_end(span: Span, inside: list[bool]) -> None:
    assert [instant in span for instant in (NOON, ONE, TWO)] == inside


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        (ALWAYS, ALWAYS, True),
        (Span(NOON, ONE), Span(ONE, TWO), False),
        (Span(NOON, TWO), Span(ONE, None), True),
        (Span(None, NOON), Span(NOON, None), False),
        (Span(None, ONE), Span(NOON, None), True),
        (ALWAYS, Span(NOON, ONE), True),
    ],
)
def test_spans_that_touch_do_not_overlap(first: Span, second: Span, overlap: bool) -> None:
    assert first.overlaps(second) is overlap
    assert second.overlaps(first) is overlap


def test_the_part_of_an_interval_within_a_span() -> None:
    day = Interval(NOON, TWO)
    assert ALWAYS.within(day) == day
    assert Span(ONE, None).within(day) == Interval(ONE, TWO)
    assert Span(None, ONE).within(day) == Interval(NOON, ONE)
    assert Span(TWO, None).within(day) is None
    assert Span(None, NOON).within(day) is None


def test_a_span_without_zone_or_with_its_ends_exchanged_is_refused() -> None:
    with pytest.raises(SiteInvalid, match="time zone"):
        Span(datetime(2026, 7, 1), None)
    with pytest.raises(SiteInvalid, match="not after"):
        Span(ONE, ONE)


def test_names_come_in_both_languages() -> None:
    names = Names("总表", "Main meter")
    assert [names.of("zh"), names.of("en")] == ["总表", "Main meter"]


def test_the_document_is_plain_json_and_gives_an_equal_site(park: Site) -> None:
    again = Site.from_document(json.loads(json.dumps(park.to_document(), sort_keys=True)))
    assert again == park
    assert again.to_document() == park.to_document()


def test_the_hash_is_stable(park: Site) -> None:
    """It names site versions in runs. If this fails, the document form has changed: say so in the changelog."""
    site = Site.from_document(
        {
            "id": "yard",
            "names": {"zh": "院", "en": "Yard"},
            "calendar": {"zone": "Asia/Shanghai"},
            "currency": "CNY",
            "nodes": [
                {
                    "id": "main",
                    "kind": "main",
                    "placements": [],
                    "names": {"zh": "总", "en": "Main"},
                    "accuracy_class": "1",
                }
            ],
            "meters": [],
            "exchanges": [],
            "units": [],
            "parties": [],
            "leases": [],
            "gateways": [],
            "ports": [],
        }
    )
    assert site.hash.hex() == "b8bf50c92fa9a000e3c1cdfb645847b8f20e3fe25f089887aefcc891d296b59c"
    assert len(park.hash) == 32


def test_any_change_gives_another_hash(park: Site) -> None:
    first = park.units[0]
    larger = replace(park, units=(replace(first, area_cm2=first.area_cm2 + 1), *park.units[1:]))
    assert larger.hash != park.hash


def test_the_order_of_parts_changes_nothing(park: Site) -> None:
    turned = replace(park, nodes=park.nodes[::-1], meters=park.meters[::-1], exchanges=park.exchanges[::-1])
    assert turned == park
    assert turned.hash == park.hash


def test_a_document_of_another_form_is_refused(park: Site) -> None:
    document = park.to_document()
    document["nodes"][0]["kind"] = "trunk"
    with pytest.raises(DocumentMismatch, match=r"nodes\.0\.kind"):
        Site.from_document(document)


def test_the_meter_of_a_node_is_asked_for_at_an_instant(park: Site) -> None:
    exchanged = park.exchanges[0]
    old, new = park.meters_at(exchanged.node)
    assert (old.id, new.id) == (exchanged.old, exchanged.new)
    assert exchanged.at not in old.span
    assert exchanged.at in new.span


def test_a_meter_is_bound_to_its_gateway_only_while_it_is_fitted(park: Site) -> None:
    at = park.exchanges[0].at
    assert park.gateway_of(MeterId("m-u-a102-2"), at) == "gw-a"
    assert park.gateway_of(MeterId("m-u-a102"), at) is None
    assert park.gateway_of(MeterId("m-main"), at) == "gw-b"
    assert park.gateway_of(MeterId("m-unknown"), at) is None


def test_what_is_not_in_the_site_is_said_so(park: Site) -> None:
    for find in (park.node, park.meter, park.unit, park.party, park.port, park.gateway):
        with pytest.raises(NotInSite, match="has no 'nothing'"):
            find("nothing")
    with pytest.raises(NotInSite, match="no owner"):
        _ = replace(park, parties=()).owner


def test_parts_are_found_by_id(park: Site) -> None:
    assert park.node(NodeId("lift")).kind is NodeKind.END
    assert park.meter(MeterId("m-bldg-b")).multiplier == 20
    assert park.unit(park.units[0].id) is park.units[0]
    assert park.party(park.parties[0].id) is park.parties[0]
    assert park.gateway(GatewayId("gw-a")).names.en == "Gateway of building A"
    assert park.port(PortId("line-a")) == park.ports_of(GatewayId("gw-a"))[0]


def test_an_accuracy_class_says_its_error(park: Site) -> None:
    assert park.node(NodeId("main")).accuracy_ppm == 5_000
    assert replace(park.node(NodeId("lift")), accuracy_class="B").accuracy_ppm == 10_000
    assert all(replace(park.nodes[0], accuracy_class=each).accuracy_ppm > 0 for each in ACCURACY_CLASSES)


def test_parts_that_contradict_themselves_cannot_be_built(park: Site) -> None:
    for build in (
        lambda: replace(park.nodes[0], accuracy_class="9"),
        lambda: replace(park.nodes[0], id=NodeId("A/b")),
        lambda: replace(park.meters[0], ct=0),
        lambda: replace(park.meters[0], pt=-1),
        lambda: replace(park.units[0], area_cm2=0),
    ):
        with pytest.raises((SiteInvalid, IdentifierInvalid)):
            build()


def test_a_port_may_be_elsewhere_on_this_machine() -> None:
    line = SerialPort(PortId("a"), GatewayId("g"), "/dev/ttyS0", 9600, Parity.EVEN, 1, 60)
    assert line.at("/tmp/pty").device == "/tmp/pty"
    endpoint = TcpPort(PortId("b"), GatewayId("g"), "10.0.0.7", 502, 60)
    assert (endpoint.at("127.0.0.1:1502").host, endpoint.at("127.0.0.1:1502").port) == ("127.0.0.1", 1502)
    for place in ("127.0.0.1", ":502", "host:http"):
        with pytest.raises(MeteringError, match="host:port"):
            endpoint.at(place)
