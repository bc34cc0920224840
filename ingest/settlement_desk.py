"""Answers for people about settlement: what waits, and how one settled day came about. Settles nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from allocation_engine.evidence import PointReading
from device_profiles.catalogue import Catalogue
from ingest.metering_points import metering_points
from ingest.node_settlement import Shelf, around, inputs_hash
from ingest.store.database import Connection
from ingest.store.run_changes import runs_changed_by
from ingest.store.settled import SettledDay, settled_day, settled_hashes, waiting_spans
from ingest.store.settled_rows import DayKey
from ingest.store.sites import newest_numbers, require_site
from metering.errors import BooksError
from metering.identity import MeterId, NodeId, SiteId


class NodeUnmetered(BooksError):
    """A node does not exist, or no meter ever counted anything there."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in one site: how many days of how many meters, and between which UTC days; `site` None: in none."""

    site: SiteId | None
    meters: int
    days: int
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class DayStory:
    """One day of one quantity: what is settled (None: nothing), and the readings that bear on it now.

    is_current   whether those are the readings that it was settled from
    runs         the runs that were computed from it before it became what it is
    """

    site: SiteId
    key: DayKey
    settled: SettledDay | None
    readings: Sequence[PointReading]
    is_current: bool
    runs: tuple[str, ...]


def list_waiting(connection: Connection) -> tuple[Waiting, ...]:
    """Give what waits, by site."""
    home: dict[MeterId, SiteId] = {}
    spans = waiting_spans(connection)
    for site in newest_numbers(connection) if spans else ():
        home.update((meter.id, site) for meter in require_site(connection, site).site.meters)
    found: dict[SiteId | None, list[tuple[int, date, date]]] = {}
    for meter, days, first, last in spans:
        found.setdefault(home.get(meter), []).append((days, first, last))
    return tuple(
        Waiting(
            site,
            len(of_site),
            sum(one[0] for one in of_site),
            min(one[1] for one in of_site),
            max(one[2] for one in of_site),
        )
        for site, of_site in sorted(found.items(), key=lambda item: item[0] or "")
    )


def explain_day(
    connection: Connection, catalogue: Catalogue, site: SiteId, node: NodeId, day: date
) -> tuple[DayStory, ...]:
    """Tell how a local day of a node came about, quantity by quantity; raises SiteUnknown and NodeUnmetered."""
    version = require_site(connection, site).site
    points = metering_points(version, catalogue, (node,))
    if not points:
        raise NodeUnmetered(f"{site} has no node {node!r} with a meter; metertree site show {site} lists them")
    shelf = Shelf(
        connection,
        catalogue,
        tuple(meter.id for meter in version.meters_at(node)),
        tuple(point.obis for point in points),
    )
    span = version.calendar.day(day)
    registers = shelf.registers(shelf.widen(span))
    known = settled_hashes(connection, site, node, [day])
    stories = []
    for point in points:
        bearing = around(registers[point.obis], span)
        key = DayKey(node, point.obis, day)
        stories.append(
            DayStory(
                site=site,
                key=key,
                settled=settled_day(connection, site, key),
                readings=bearing,
                is_current=known.get((point.obis, day)) == inputs_hash(point, bearing, span),
                runs=runs_changed_by(connection, site, key),
            )
        )
    return tuple(stories)
