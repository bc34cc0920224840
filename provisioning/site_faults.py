"""Whether meters that came into a site by an act fit their models and their ports, as a site's files are checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from device_profiles.catalogue import Catalogue
from metering.errors import Fault
from metering.identity import MeterId
from metering.toml_source import TomlSource
from provisioning.site import Site
from provisioning.site_draft import Entry, SiteDraft, Table
from provisioning.wiring_checks import wiring_faults

T = TypeVar("T")


def faults_of_change(site: Site, meters: Collection[MeterId], catalogue: Catalogue) -> Iterator[Fault]:
    """Give what is wrong with the wiring of `meters` and the exchanges between them; place and line say nothing."""
    exchanges = [one for one in site.exchanges if one.old in meters and one.new in meters]
    source = TomlSource(f"site {site.id}", {"exchanges": list(exchanges)}, {})
    draft = SiteDraft(
        id=site.id,
        names=site.names,
        calendar=site.calendar,
        currency=site.currency,
        header=Entry("site", source, ()),
        contracts=Entry("contracts", source, ()),
        bindings=site.bindings,
        ports=_table("ports", site.ports, source),
        meters=_table("meters", [meter for meter in site.meters if meter.id in meters], source),
        exchanges=_table("exchanges", exchanges, source),
    )
    return wiring_faults(draft, catalogue)


def _table(name: str, items: Sequence[T], source: TomlSource) -> Table[T]:
    return Table(name, [Entry(item, source, ()) for item in items])
