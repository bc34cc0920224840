"""Stored readings to settled days, again whenever something arrived: incremental, idempotent, safe to kill.

Theory of operation. The intake lists each meter day that got readings, in the transaction that stores them. A pass
takes the list of some nodes, settles every local day whose result those readings can change, writes the days and
strikes the list off, all in one transaction: killed before its commit, it has done nothing. A day's result depends only
on the site and on its `around` readings, never on when or in which order they arrived, so every way of arriving ends in
the same books.

Where a day that a run was computed from becomes another, that is noted for the run in the same transaction.

Read on in `bulk_settlement` for the many that are plain, and in `node_settlement` for the one that is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice

from device_profiles.catalogue import Catalogue
from ingest.bulk_settlement import NodeMeters, Part, Registers, plan_parts, settle_part
from ingest.metering_points import MeteringPoint, metering_points
from ingest.node_settlement import Shelf, around, inputs_hash, settle_node
from ingest.store.database import Connection, Database
from ingest.store.hand_readings import hand_read_meters, yield_to_bus
from ingest.store.ordered_jobs import note_settled_days
from ingest.store.readings import ShownSweep, measured_beyond, registers_between
from ingest.store.run_changes import OpenRuns, noted, open_runs
from ingest.store.settled import (
    UnsettledDay,
    anything_waits,
    forget_unsettled_days,
    put_settled_days,
    settled_hashes_of,
    unsettled_days,
    waiting_meters,
    waiting_spans,
)
from ingest.store.sites import lock_site, newest_numbers, newest_version
from metering.identity import MeterId, NodeId, SiteId
from provisioning.site import Site

__all__ = ["Settlement", "Shelf", "around", "inputs_hash", "settle_waiting"]

BATCH_DAYS = 32_768
"""Unsettled days of meters in one transaction: some four seconds, which an import or a close may have to wait."""
METERS_KEPT = 200_000
"""Meters of the sites whose description is kept in memory between passes, some 150 MB."""
READERS = 2
"""Connections that read ahead; with the one that writes, as many as a small database server has use for."""


@dataclass(frozen=True, slots=True)
class SiteWiring:
    """A version of a site, and its metering points as far as they were asked for."""

    site: Site
    version: int
    catalogue: Catalogue
    known: dict[NodeId, NodeMeters] = field(default_factory=dict)

    def nodes(self, wanted: Sequence[NodeId]) -> Mapping[NodeId, NodeMeters]:
        """Give the metering points and meters of nodes; raises ProfileUnknown."""
        unknown = [node for node in wanted if node not in self.known]
        points: dict[NodeId, list[MeteringPoint]] = {node: [] for node in unknown}
        for point in metering_points(self.site, self.catalogue, unknown):
            points[point.node].append(point)
        for node, counted in points.items():
            meters = tuple(meter.id for meter in self.site.meters_at(node))
            self.known[node] = NodeMeters(node, tuple(counted), meters)
        return self.known

    def by_node(self, waiting: Sequence[UnsettledDay]) -> dict[NodeId, list[UnsettledDay]]:
        """Sort unsettled days by the node their meter hangs at."""
        found: dict[NodeId, list[UnsettledDay]] = {}
        for day in waiting:
            found.setdefault(self.site.meter(day.meter).node, []).append(day)
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Settlement:
    """Keeps the settled days of every imported site up to what has arrived."""

    database: Database
    catalogue: Catalogue
    _wirings: dict[SiteId, SiteWiring] = field(default_factory=dict, init=False, repr=False, compare=False)
    _meters: dict[SiteId, tuple[int, frozenset[MeterId]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def settle_pending(self) -> int:
        """Settle whatever waits, in every site; give the number of settled days that changed."""
        return sum(self.settle_site(site) for site in self.waiting_sites())

    def waiting_sites(self) -> tuple[SiteId, ...]:
        """Give the sites in which something waits."""
        with self.database.transaction() as connection:
            if not anything_waits(connection):
                return ()
            waiting = waiting_meters(connection)
            newest = newest_numbers(connection)
            for site, version in newest.items():
                if self._meters.get(site, (0, None))[0] != version:
                    wiring = self._wiring(connection, site, version)
                    self._meters[site] = version, frozenset(meter.id for meter in wiring.site.meters)
        return tuple(site for site in newest if not waiting.isdisjoint(self._meters[site][1]))

    def settle_site(self, site: SiteId, stop: Callable[[], bool] = lambda: False) -> int:
        """Settle whatever waits in one site, some nodes a transaction; give the number of days that changed.

        stop   is asked between transactions whether to leave the rest for another pass
        """
        with self.database.transaction() as connection:
            wiring = self._newest(connection, site) if anything_waits(connection) else None
            if wiring is None:
                return 0
            waiting = waiting_spans(connection)
        changed = 0
        for nodes in _batches(wiring.site, {meter: days for meter, days, _, _ in waiting}):
            if stop():
                break
            changed += self._settle_nodes(site, nodes)
        return changed

    def _settle_nodes(self, site: SiteId, nodes: Sequence[NodeId]) -> int:
        with self.database.transaction() as connection:
            lock_site(connection, site)
            wiring = self._newest(connection, site)
            if wiring is None:
                return 0
            meters = [meter.id for node in nodes for meter in wiring.site.meters_at(node)]
            return settle_listed(connection, wiring, unsettled_days(connection, meters), self.database)

    def _newest(self, connection: Connection, site: SiteId) -> SiteWiring | None:
        version = newest_numbers(connection, site).get(site)
        return None if version is None else self._wiring(connection, site, version)

    def _wiring(self, connection: Connection, site: SiteId, version: int) -> SiteWiring:
        """Give a site as it is wired; the last ones asked for are kept."""
        kept = self._wirings.pop(site, None)
        if kept is None or kept.version != version:
            newest = newest_version(connection, site)
            assert newest is not None, "a version is never deleted"
            kept = SiteWiring(newest.site, newest.version, self.catalogue)
        room = METERS_KEPT - len(kept.site.meters)
        for other, wiring in reversed(list(self._wirings.items())):
            room -= len(wiring.site.meters)
            if room < 0:
                self._wirings.pop(other, None)
        self._wirings[site] = kept
        return kept


def settle_waiting(connection: Connection, site: Site, catalogue: Catalogue) -> int:
    """Settle what waits anywhere in a site inside the caller's transaction; give the number of days that changed."""
    waiting = unsettled_days(connection, [meter.id for meter in site.meters])
    return settle_listed(connection, SiteWiring(site, 0, catalogue), waiting, None)


def settle_listed(
    connection: Connection, wiring: SiteWiring, waiting: Sequence[UnsettledDay], beside: Database | None
) -> int:
    """Settle unsettled days inside the caller's transaction and strike them off; give the number of days that changed.

    beside   lends a second connection to read with, where that may see all that `connection` sees
    """
    if not waiting:
        return 0
    site, listed = wiring.site, wiring.by_node(waiting)
    yield_to_bus(connection, {day.meter for day in waiting})
    nodes = wiring.nodes(list(listed))
    runs = open_runs(connection, site.id, site.calendar)
    # What people read is told as such, which only the way reading by reading can.
    meters = [meter for node in listed for meter in nodes[node].meters]
    odd = {site.meter(meter).node for meter in hand_read_meters(connection, meters)}
    changed = 0
    parts = list(plan_parts(site.calendar, listed, nodes))
    for part, columns in _read_ahead(connection, parts, beside):
        registers = Registers(part)
        registers.odd |= odd
        registers.lay(wiring.catalogue, columns)
        odd |= _set_aside(connection, registers)
        changed += _settle_part(connection, site, registers, runs)
    for node in sorted(odd):
        changed += settle_node(connection, site, wiring.catalogue, node, listed[node], runs)
    forget_unsettled_days(connection, waiting)
    if changed:
        note_settled_days(connection, site.id, [day.day for day in waiting])
    return changed


def _settle_part(connection: Connection, site: Site, registers: Registers, runs: OpenRuns) -> int:
    days, nodes = registers.part.days.days, [node.node for node in registers.part.nodes]
    rows, replaced = settle_part(site, registers, settled_hashes_of(connection, site.id, nodes, days[0], days[-1]))
    if rows.keys:
        with noted(connection, site.id, runs, rows.keys):
            put_settled_days(connection, rows, replaced)
    return len(rows.keys)


def _set_aside(connection: Connection, registers: Registers) -> set[NodeId]:
    """Find the nodes of a part that have to be settled one by one: what is not plain, or reaches beyond these days."""
    early, late = registers.open_ends()
    open_ended = early | late
    asked = [meter for node in registers.part.nodes if node.node in open_ended for meter in node.meters]
    if asked:
        whole = registers.part.days.whole
        before, after = measured_beyond(connection, asked, whole.start, whole.end)
        for node in registers.part.nodes:
            reaches_back = node.node in early and not before.isdisjoint(node.meters)
            if reaches_back or (node.node in late and not after.isdisjoint(node.meters)):
                registers.odd.add(node.node)
    return registers.odd


def _read_ahead(
    connection: Connection, parts: Sequence[Part], beside: Database | None
) -> Iterator[tuple[Part, tuple[ShownSweep, ...]]]:
    """Give each part with what its meters showed; while one is worked on, the next are read over other connections."""
    with ExitStack() as stack:
        lent = [] if beside is None else [stack.enter_context(beside.spare()) for _ in parts[1 : READERS + 1]]
        others = [one for one in lent if one is not None]
        if not others:
            for part in parts:
                yield part, _read(connection, part)
            return
        threads = [stack.enter_context(ThreadPoolExecutor(1, "settlement-reading")) for _ in others]
        answers: deque[Future[tuple[ShownSweep, ...]]] = deque()
        ahead = zip(cycle(zip(threads, others, strict=True)), parts, strict=False)
        answers.extend(thread.submit(_read, other, part) for (thread, other), part in islice(ahead, len(others)))
        for part in parts:
            columns = answers.popleft().result()
            answers.extend(thread.submit(_read, other, one) for (thread, other), one in islice(ahead, 1))
            yield part, columns


def _read(connection: Connection, part: Part) -> tuple[ShownSweep, ...]:
    whole = part.days.whole
    return registers_between(connection, part.meters, whole.start, whole.end)


def _batches(site: Site, waiting: Mapping[MeterId, int]) -> Iterator[list[NodeId]]:
    """Deal the nodes of meters that wait, each so many days, into transactions."""
    of_node: dict[NodeId, int] = {}
    for meter in site.meters:
        if meter.id in waiting:
            of_node[meter.node] = of_node.get(meter.node, 0) + waiting[meter.id]
    batch: list[NodeId] = []
    days = 0
    for node, unsettled in sorted(of_node.items()):
        batch.append(node)
        days += unsettled
        if days >= BATCH_DAYS:
            yield batch
            batch, days = [], 0
    if batch:
        yield batch
