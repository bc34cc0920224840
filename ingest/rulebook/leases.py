"""What can be wrong with leases and units that were changed one by one: a site's file checks, on a site. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from metering.interval import SLOT
from provisioning.site import Lease, Site

_ON_MARK = "set it on a quarter hour"


def lease_faults(site: Site) -> Iterator[tuple[str, str]]:
    """Give each mistake with how to mend it."""
    units, parties = {unit.id for unit in site.units}, {party.id for party in site.parties}
    by_unit: dict[str, list[Lease]] = {}
    for lease in site.leases:
        by_unit.setdefault(lease.unit, []).append(lease)
        if lease.unit not in units:
            yield f"lease {lease.id}: unknown unit {lease.unit!r}", "name a unit of the site"
        if lease.party not in parties:
            yield f"lease {lease.id}: unknown party {lease.party!r}", "name a party of the site"
        for instant in (lease.span.start, lease.span.end):
            if instant is not None and not _is_mark(instant):
                yield f"lease {lease.id} begins or ends between two marks", _ON_MARK
    for unit, leases in sorted(by_unit.items()):
        ordered = sorted(leases, key=lambda lease: (lease.span.start is not None, lease.span.start, lease.id))
        for first, second in pairwise(ordered):
            if first.span.overlaps(second.span):
                yield (
                    f"lease {second.id} overlaps lease {first.id} on unit {unit}",
                    f"end {first.id} where {second.id} begins",
                )


def _is_mark(instant: datetime) -> bool:
    return instant.timestamp() % SLOT.total_seconds() == 0
