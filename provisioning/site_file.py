"""A directory of TOML files as a Site: all of it right, or every mistake with its file and line.

    site.toml       the site, its tree of nodes, its lettable units
    gateways.toml   gateways, their ports, the meters on them, meter exchanges
    leases.toml     who pays: parties and their leases

Times in the files are local times of the site. Tariff and pools stand beside them and are read by the allocation
engine. `examples/park` is a commented site to copy.
"""

from __future__ import annotations

from pathlib import Path

from device_profiles.catalogue import Catalogue
from metering.errors import DocumentError, Fault
from provisioning.site import Site
from provisioning.site_checks import site_faults
from provisioning.site_draft import SITE_FILES, SiteDraft, read_draft
from provisioning.wiring_checks import wiring_faults


def read_site(directory: Path, catalogue: Catalogue | None = None) -> Site:
    """Read a site; raises DocumentError with every mistake, in the order of files and lines.

    catalogue   the meter models that may be named; the shipped ones unless given
    """
    draft = read_draft(directory)
    found = [*draft.faults, *site_faults(draft), *wiring_faults(draft, catalogue or Catalogue.shipped())]
    if found:
        raise DocumentError(_in_reading_order(directory, found))
    return site_of(draft)


def _in_reading_order(directory: Path, faults: list[Fault]) -> tuple[Fault, ...]:
    files = [str(directory / name) for name in SITE_FILES]
    return tuple(sorted(dict.fromkeys(faults), key=lambda fault: (files.index(fault.path), fault.line)))


def site_of(draft: SiteDraft) -> Site:
    """Give the well-formed entries of a draft as a site, whether or not they fit together."""
    return Site(
        id=draft.id,
        names=draft.names,
        calendar=draft.calendar,
        currency=draft.currency,
        nodes=draft.nodes.items(),
        meters=draft.meters.items(),
        exchanges=draft.exchanges.items(),
        units=draft.units.items(),
        parties=draft.parties.items(),
        leases=draft.leases.items(),
        gateways=draft.gateways.items(),
        ports=draft.ports.items(),
        bindings=draft.bindings,
    )
