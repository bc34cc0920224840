"""SPINE: look at everything an operator must know of -> find causes -> decide -> store. Call it every minute.

`evaluate` is one transaction under one lock, so it may be called by several jobs at once and nothing is told twice. It
reads no clock: the caller says what now is. The rules are in `alert_findings.py`, the decisions in `alert_rules.py`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from ingest import alert_findings as rules
from ingest.alert_findings import Watched
from ingest.alert_rules import REOPENS_WITHIN, Alert, Finding, Thresholds, decide, fold
from ingest.alert_watch import look_at_certificates, look_at_disks
from ingest.fleet import standings
from ingest.store import alerts as store
from ingest.store.alert_events import tell_alerts
from ingest.store.certificates import certificates_ending
from ingest.store.database import Connection
from ingest.store.fleet import gateway_chains
from ingest.store.hand_readings import waiting_readings
from ingest.store.layout import LayoutRefused, Storage, missing_steps
from ingest.store.meter_serials import broken_counters, swapped_meters
from ingest.store.webhooks import failing_endpoints
from provisioning.authority_folder import ISSUING

_log = logging.getLogger(__name__)
SUPERSEDED = re.compile(re.escape(ISSUING) + r"-[0-9]+\.crt")
"""An issuing authority that another took over from: it only lists what it gave, and may end."""
FAILING = timedelta(hours=1)
"""So long nothing reaches an endpoint of webhooks before a person is told: its server may be updated meanwhile."""


@dataclass(frozen=True, slots=True)
class Alerting:
    """What to look at, and when it is too much.

    disks         folders whose disks are watched; certificates: folder with PEM files of certificates and CRLs
    authority     folder of the authority that gives gateways their certificates; None: none does
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    storage: Storage = field(default_factory=Storage)
    disks: tuple[Path, ...] = ()
    certificates: Path | None = None
    authority: Path | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a look came to: alerts opened (anew or again), closed, and open after it."""

    opened: tuple[Alert, ...]
    closed: tuple[Alert, ...]
    is_open: tuple[Alert, ...]


def evaluate(connection: Connection, now: datetime, alerting: Alerting | None = None) -> Evaluated:
    """Look at the fleet, the store and the machine, and bring the alerts up to date."""
    wanted = alerting or Alerting()
    store.lock_alerts(connection)
    known = store.open_alerts(connection)
    found = [
        *_of_gateways(connection, now, wanted.thresholds, known),
        *_of_store(connection, now, wanted),
        *rules.meters_swapped(swapped_meters(connection, now)),
        *rules.counters_broken(broken_counters(connection, now)),
        *rules.readings_wait(waiting_readings(connection)),
        *rules.endpoints_dead(failing_endpoints(connection, now - FAILING)),
        *_of_machine(now, wanted),
        *_of_given_certificates(connection, now, wanted.thresholds),
    ]
    changes = decide(found, known, store.lately_closed(connection, now), now, wanted.thresholds.clear_min)
    store.store_changes(connection, changes, now)
    left = store.open_alerts(connection)
    before = {one.alert for one in known}
    opened = tuple(one for one in left if one.alert not in before)
    tell_alerts(connection, opened, changes.closed, now)
    for one in opened:
        _log.warning("alert.opened alert=%s kind=%s subject=%s", one.alert, one.cause.kind, one.cause.subject)
    for one in changes.closed:
        _log.info("alert.closed alert=%s kind=%s subject=%s", one.alert, one.cause.kind, one.cause.subject)
    return Evaluated(opened, changes.closed, left)


def _of_gateways(
    connection: Connection, now: datetime, thresholds: Thresholds, known: tuple[Alert, ...]
) -> Iterator[Finding]:
    """Find what is wrong with gateways; what many share is told as one, but a clone never."""
    fleet = standings(gateway_chains(connection), now, thresholds)
    found = [
        *rules.silent_gateways(fleet, thresholds, now),
        *rules.open_gaps(fleet, thresholds, now),
        *rules.clocks_off(fleet, thresholds),
    ]
    fresh = {one.cause for one in known if now - one.opened_at <= REOPENS_WITHIN}
    sites = {str(one.gateway): str(one.site) for one in fleet}
    yield from fold(found, sites, {one.cause for one in known}, fresh)
    yield from rules.equivocations(store.clones(connection), sites)
    yield from rules.batches_lost(store.losses(connection), sites)
    yield from rules.claims_misused(store.misuses_counted(connection), sites)


def _of_store(connection: Connection, now: datetime, wanted: Alerting) -> Iterator[Finding]:
    """Find what is wrong with the books."""
    thresholds = wanted.thresholds
    yield from rules.quarantine_growing(store.refusals(connection, now), thresholds)
    half = timedelta(minutes=thresholds.settlement_min) / 2
    yield from rules.settlement_stuck(store.waits_since(connection, now - half), thresholds, now)
    yield from rules.backups_old(*store.backed_up(connection), thresholds, now)
    try:
        steps = [step.what for step in missing_steps(connection, wanted.storage, now)]
        yield from rules.partitions_missing(steps)
    except LayoutRefused as refused:
        yield from rules.partitions_missing((), str(refused))


def _of_machine(now: datetime, wanted: Alerting) -> Iterator[Finding]:
    """Find what is wrong with disks and certificates that are watched."""
    yield from rules.disks_full(look_at_disks(wanted.disks), wanted.thresholds)
    for folder in (wanted.certificates, wanted.authority):
        if folder is not None:
            found = (one for one in look_at_certificates(folder) if not SUPERSEDED.fullmatch(one.name))
            yield from rules.certificates_ending(found, wanted.thresholds, now)


def _of_given_certificates(connection: Connection, now: datetime, thresholds: Thresholds) -> Iterator[Finding]:
    """Find gateways that have not renewed the certificate they got here: from its 30th day on they should have."""
    before = now + timedelta(days=thresholds.certificate_days)
    ending = certificates_ending(connection, before)
    yield from rules.certificates_ending((Watched(one, ends_at=at) for one, at in ending), thresholds, now)
