"""The facts and rules that a stored run came from, and those that another version of its site would have given it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from allocation_engine.facts import Facts
from allocation_engine.inputs import CountedBefore
from allocation_engine.rules import Rules
from allocation_engine.rules_file import rules_from_document
from device_profiles.catalogue import Catalogue
from ingest.metering_points import metering_points
from ingest.period_inputs import period_inputs, site_names
from ingest.store.database import Connection
from ingest.store.run_slots import with_slots
from ingest.store.runs import StoredRun
from ingest.store.settled import settled_points
from ingest.store.sites import site_version
from metering.errors import BooksError
from metering.identity import PartyId, PoolId, UnitId
from provisioning.site import Site


class FactsForgotten(BooksError):
    """A run is from before its energy was kept with it, so it cannot be computed again."""


def facts_of_run(connection: Connection, catalogue: Catalogue, stored: StoredRun) -> Facts:
    """Give what a run was computed from, without its evidence, whatever was read since; raises FactsForgotten."""
    head = stored.head
    version = site_version(connection, head.site, head.site_version)
    bare = period_inputs(version.site, head.period, metering_points(version.site, catalogue), (), ())
    inputs = with_slots(connection, head.run, bare)
    if inputs is None:
        raise FactsForgotten(f"run {head.run[:16]} was computed by an older version that did not keep its energy")
    counted = tuple(_counted(row) for row in stored.document.get("counted_before", ()))
    names = site_names(version.site)
    return Facts(replace(inputs, counted_before=counted), rules_from_document(version.rules, names), names)


def facts_of_site(
    connection: Connection, catalogue: Catalogue, site: Site, rules: Rules, period: str, like: Facts | None = None
) -> Facts:
    """Give the facts of a period as a site and its rules have them.

    like   facts whose energy is taken where both have the node, so that only site and rules differ
    """
    days = site.calendar.days(site.calendar.period(period))
    settled = settled_points(connection, site.id, days[0], days[-1])
    facts = Facts(period_inputs(site, period, metering_points(site, catalogue), settled, ()), rules, site_names(site))
    return facts if like is None else facts.with_readings_of(like)


def _counted(row: list[Any]) -> CountedBefore:
    pool, unit, party, since, amount = row
    unit_id = None if unit is None else UnitId(unit)
    party_id = None if party is None else PartyId(party)
    return CountedBefore(PoolId(pool), unit_id, party_id, date.fromisoformat(since), amount)
