"""What of a run is provisional: the lines that rest on a binding nobody has approved, and the door that stays shut.

A binding counts for money once a second person approved it. Until then the run is computed as if it were right, each
line that rests on it says so, and the run cannot be published. Approving changes no figure: nothing is computed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ingest.store.bindings import Unapproved, approved_spans, bound_since, unapproved
from ingest.store.database import Connection, load_queries
from ingest.store.runs import RunHead
from ingest.store.sites import require_site
from metering.errors import BooksError
from metering.identity import NodeId, SiteId
from metering.interval import Interval, SiteCalendar
from provisioning.site import Meter, Site, Span

UNBOUND = "unbound"
"""State of a meter without any approved binding at a site that requires one."""
TOLD_MAX = 5
Line = Mapping[str, Any]


class RunProvisional(BooksError):
    """A run rests on bindings that nobody has approved, so it cannot be published."""


def provisional_of(connection: Connection, head: RunHead) -> tuple[Unapproved, ...]:
    """Give what a run's period rests on that nobody has approved, as it stands now."""
    zone, required = _terms(connection, head.site, head.site_version)
    period = SiteCalendar(zone).period(head.period)
    found = unapproved(connection, head.site, period)
    if not required:
        return found
    return (*found, *_unbound(connection, require_site(connection, head.site).site, period, found))


def refuse_provisional(connection: Connection, head: RunHead) -> None:
    """Raise RunProvisional if the run rests on anything that nobody has approved, or not on what is bound now."""
    found = provisional_of(connection, head)
    if found:
        told = ", ".join(f"{one.meter or one.node} ({one.state})" for one in found[:TOLD_MAX])
        more = f" and {len(found) - TOLD_MAX} more" if len(found) > TOLD_MAX else ""
        raise RunProvisional(
            f"the run rests on {len(found)} bindings that nobody has approved: {told}{more}; look at them with "
            f"metertree-provision bindings --site {head.site}, and have somebody else than the engineer approve them"
        )
    zone, _ = _terms(connection, head.site, head.site_version)
    newer = bound_since(connection, head.site, head.site_version, SiteCalendar(zone).period(head.period))
    if newer:
        told = ", ".join(newer[:TOLD_MAX])
        raise RunProvisional(
            f"the run was computed before {told} changed what is bound in {head.period}: close the period again, which "
            "makes a new run if that changes anything, and else lets this one stand"
        )


def touched_lines(
    lines: Iterable[Line], pools: Iterable[Mapping[str, Any]], found: Sequence[Unapproved]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Give the place of each line that rests on something unapproved, with the nodes it is about."""
    nodes = {str(one.node) for one in found}
    if not nodes:
        return
    of_pool = {pool["id"]: pool for pool in pools}
    for place, line in enumerate(lines):
        rests_on = _nodes_of(line, of_pool.get(line["pool"], {}))
        touched = nodes if rests_on is None else nodes & rests_on
        if touched:
            yield place, tuple(sorted(touched))


def document(one: Unapproved) -> dict[str, Any]:
    """Give it as the API tells it."""
    return {
        "binding": one.binding,
        "kind": one.kind,
        "meter": one.meter,
        "node": one.node,
        "unit": one.unit,
        "state": one.state,
        "begins_at": None if one.begins_at is None else one.begins_at.isoformat(),
        "ends_at": None if one.ends_at is None else one.ends_at.isoformat(),
        "done_by": one.done_by,
    }


def _nodes_of(line: Line, pool: Mapping[str, Any]) -> frozenset[str] | None:
    """Give the nodes a line rests on; None where that may be any: shares by energy, losses, supply charges."""
    trace = line["trace"]
    if "nodes" in trace:
        return frozenset((*trace["nodes"], *trace.get("deduct", ())))
    path = (*pool.get("path", ()), *pool.get("deduct", ()))
    if not path or trace.get("keys") or pool.get("service") or pool.get("charge") or "weight" not in trace:
        return None
    return frozenset(path)


def _unbound(connection: Connection, site: Site, period: Interval, found: Sequence[Unapproved]) -> Iterator[Unapproved]:
    """Give the meters that count in a period without an approved binding, of a site that requires one."""
    approved = approved_spans(connection, site.id)
    told = {one.meter for one in found}
    for meter in site.meters:
        counts = meter.span.within(period)
        if counts is None or meter.id in told:
            continue
        if not any(_covers(span, counts, meter) for span in approved.get(meter.id, ())):
            yield Unapproved(None, UNBOUND, meter.id, NodeId(meter.node), None, UNBOUND, counts.start, counts.end, None)


def _covers(approved: Span, counts: Interval, meter: Meter) -> bool:
    """Say whether an approval speaks for a meter that is to count in a span: it begins where the meter does."""
    confirmed = meter.span.start is None or approved.start is None or approved.start >= meter.span.start
    return confirmed and (approved.end is None or approved.end >= counts.end or approved.end == meter.span.end)


def _terms(connection: Connection, site: SiteId, version: int) -> tuple[str, bool]:
    row = connection.execute(load_queries("bindings")["site_terms"], {"site": site, "version": version}).fetchone()
    assert row is not None, "a run names a version of its site"
    return str(row[0]), bool(row[1])
