"""A folder of TOML files as a site with its rules: all of it right, or every mistake of every file at once."""

from __future__ import annotations

from pathlib import Path

from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import read_rules
from device_profiles.catalogue import Catalogue
from ingest.period_inputs import site_names
from metering.errors import DocumentError, Fault
from metering.identity import NodeId, PartyId, UnitId
from provisioning.site import PartyKind, Site
from provisioning.site_draft import read_draft
from provisioning.site_file import read_site


def read_site_folder(directory: Path, catalogue: Catalogue) -> tuple[Site, Rules]:
    """Read a site and its rules; raises DocumentError with the faults of both, the site's first."""
    faults: list[Fault] = []
    site: Site | None = None
    rules: Rules | None = None
    try:
        site = read_site(directory, catalogue)
    except DocumentError as error:
        faults.extend(error.faults)
    try:
        rules = read_rules(directory, _written_names(directory) if site is None else site_names(site))
    except DocumentError as error:
        faults.extend(error.faults)
    if site is None or rules is None:
        raise DocumentError(tuple(dict.fromkeys(faults)))
    return site, rules


def _written_names(directory: Path) -> SiteNames:
    """Give the ids that stand in the files of a faulty site, so that its rules are not blamed for the site's faults."""
    draft = read_draft(directory)
    nodes = {unit.id: unit.node for unit in draft.units.items()}
    owners = [party.id for party in draft.parties.items() if party.kind is PartyKind.OWNER]
    return SiteNames(
        nodes=frozenset(NodeId(node) for node in draft.nodes.written),
        units={UnitId(unit): nodes.get(UnitId(unit)) for unit in draft.units.written},
        parties=frozenset(PartyId(party) for party in draft.parties.written),
        owner=owners[0] if owners else PartyId(""),
        currency=draft.currency,
    )
