"""Posts a run: its public posting, made from what is stored of the run and sealed by the centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from allocation_engine.posting import CROWD_MIN, posting_of, seal_posting
from allocation_engine.posting_check import pack_posting
from allocation_engine.publication import Publication, publication_from
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run_state import RunState
from ingest.period_inputs import site_names
from ingest.store.database import Connection
from ingest.store.run_log import publication_of
from ingest.store.runs import StoredRun
from ingest.store.sites import site_version
from metering.envelope import Signer
from metering.identity import NodeId
from metering.interval import SLOT, Interval, SiteCalendar
from provisioning.site import Site


@dataclass(frozen=True, slots=True)
class PostedRun:
    """A posting with what a page about it needs: the site in the run's version, the run's state and publication."""

    content: dict[str, Any]
    site: Site
    state: RunState
    publication: bytes | None

    @property
    def published(self) -> Publication | None:
        """What makes the posting final, as the centre's own store has it."""
        return None if self.publication is None else publication_from(self.publication)

    def to_file(self, signer: Signer) -> bytes:
        """Seal it and give the file; the same run gives the same octets with a deterministic signer (Ed25519)."""
        return pack_posting(self.content, seal_posting(self.content, signer), self.publication)


def post_run(connection: Connection, stored: StoredRun) -> PostedRun:
    """Make the posting of a stored run."""
    version = site_version(connection, stored.head.site, stored.head.site_version)
    rules = rules_from_document(version.rules, site_names(version.site))
    nodes = crowded_nodes(version.site, SiteCalendar(stored.document["zone"]).period(stored.head.period))
    content = posting_of(stored.document, rules, version.site.owner.id, nodes)
    return PostedRun(content, version.site, stored.head.state, publication_of(connection, stored.head.run))


def crowded_nodes(site: Site, period: Interval) -> list[NodeId]:
    """Give the nodes whose balance tells nothing of one tenant, in order of the tree, as it was when the period ended.

    Where one branch has too few tenants below it, only the top nodes are left: the others would tell it by difference.
    """
    last = period.end - SLOT
    parents = {node.id: node.parent_at(last) for node in site.nodes}
    tenants: dict[NodeId, set[str]] = {node: set() for node in parents}
    homes = {unit.id: unit.node for unit in site.units}
    for lease in site.leases:
        node: NodeId | None = homes[lease.unit]
        while node is not None and lease.span.within(period) is not None:
            tenants[node].add(lease.party)
            node = parents[node]
    tops = [node for node, parent in parents.items() if parent is None]
    branches = [node for node in parents if node not in tops and node in set(parents.values())]
    return tops if any(0 < len(tenants[node]) < CROWD_MIN for node in branches) else [*tops, *branches]
