"""The fleet read for people and programs: the same facts for the API, the console and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.alert_rules import Alert, Scope, Thresholds
from ingest.alert_watch import certificate_ends
from ingest.alert_words import alert_document
from ingest.fleet import GatewayStanding, standings
from ingest.store.alerts import Wanted, equivocations_of, list_alerts
from ingest.store.certificates import KeptCertificate, KeyFacts, certificates_of, key_facts
from ingest.store.database import Connection, Database
from ingest.store.fleet import ChainGap, GatewayChain, SiteFace, chain_gaps, gateway_chains, quarantine_of, site_faces
from ingest.store.quarantine import Kept
from metering.clock import Clock
from metering.identity import GatewayId, SiteId

SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a gateway: `enrolled`, `opened`, `closed`, `acknowledged`, `equivocation`."""

    at: datetime
    what: str
    alert: Alert | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GatewayFile:
    """All that is known of one gateway: how it stands, what is missing, what happened, what is in quarantine."""

    standing: GatewayStanding
    gaps: tuple[ChainGap, ...]
    alerts: tuple[Alert, ...]
    events: tuple[Event, ...]
    quarantine: tuple[Kept, ...]
    keys: tuple[KeyFacts, ...] = ()
    certificates: tuple[KeptCertificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every gateway as it stands at `now`; `certificates`: when the certificate of each ends, where one is watched."""

    now: datetime
    gateways: tuple[GatewayStanding, ...]
    sites: Mapping[SiteId, SiteFace]
    certificates: Mapping[str, datetime]

    def certificate_days(self, gateway: GatewayId) -> int | None:
        """Whole days until the gateway's certificate ends, below 0 after it; None where none is watched."""
        ends_at = self.certificates.get(gateway)
        return None if ends_at is None else (ends_at - self.now) // timedelta(days=1)


class FleetDesk:
    """Reads the fleet. `certificates`: the folder of watched certificates, those of gateways named after them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        thresholds: Thresholds | None = None,
        certificates: Path | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._thresholds = thresholds or Thresholds()
        self._certificates = certificates

    def read(self) -> Fleet:
        """Give every enrolled gateway, by id."""
        now = self._clock.now()
        with self._database.transaction() as connection:
            chains, sites = gateway_chains(connection), site_faces(connection)
        found = standings(chains, now, self._thresholds)
        return Fleet(now, found, sites, certificate_ends(self._certificates))

    def gateway(self, gateway: GatewayId) -> tuple[Fleet, GatewayFile] | None:
        """Give one gateway with its gaps, events and quarantine; None if it was never enrolled."""
        now = self._clock.now()
        with self._database.transaction() as connection:
            found = standings(gateway_chains(connection, gateway), now, self._thresholds)
            if not found:
                return None
            fleet = Fleet(now, found, site_faces(connection), certificate_ends(self._certificates))
            return fleet, _file_of(connection, found[0])


def standing_document(one: GatewayStanding, fleet: Fleet) -> dict[str, Any]:
    """Give one gateway for programs. Durations in seconds; instants as ISO 8601 in UTC."""
    chain = one.newest
    return {
        "gateway": one.gateway,
        "site": one.site,
        "epoch": chain.epoch,
        "key_id": chain.key_id.hex(),
        "algorithm": chain.algorithm.name.lower(),
        "enrolled_at": chain.enrolled_at.isoformat(),
        "certificate_days": fleet.certificate_days(one.gateway),
        "state": one.state,
        "conditions": [str(each) for each in one.conditions],
        "open_alerts": list(chain.alerts),
        "received_at": _iso(one.received_at),
        "silent_s": int(one.silent_for.total_seconds()),
        "last_mark": _iso(chain.newest_mark),
        "lag_s": None if one.lag is None else int(one.lag.total_seconds()),
        "contiguous_seq": chain.contiguous_seq,
        "highest_seq": chain.highest_seq,
        "gap_open": any(each.gap_open for each in one.chains),
        "gap_since": _iso(one.gap_since),
        "missing": one.missing,
        "waiting": one.waiting,
        "counts_end": one.counts_end,
        "envelopes": chain.envelopes,
        "repeats": chain.repeats,
        "quarantined": chain.refused,
        "quarantined_all_epochs": one.refused,
        "clock": None if chain.clock is None else chain.clock.quality.name.lower(),
        "clock_error_ms": None if chain.clock is None else chain.clock.error_ms,
        "clock_ahead_ms": one.clock_ahead // timedelta(milliseconds=1),
    }


def chain_document(chain: GatewayChain) -> dict[str, Any]:
    """Give one epoch of a gateway for programs."""
    return {
        "epoch": chain.epoch,
        "key_id": chain.key_id.hex(),
        "enrolled_at": chain.enrolled_at.isoformat(),
        "received_at": _iso(chain.received_at),
        "contiguous_seq": chain.contiguous_seq,
        "highest_seq": chain.highest_seq,
        "missing": chain.missing,
        "waiting": chain.waiting,
        "envelopes": chain.envelopes,
        "repeats": chain.repeats,
        "quarantined": chain.refused,
    }


def gateway_document(file: GatewayFile, fleet: Fleet) -> dict[str, Any]:
    """Give all that is known of one gateway for programs."""
    return {
        **standing_document(file.standing, fleet),
        "epochs": [chain_document(one) for one in file.standing.chains],
        "keys": [{"epoch": one.epoch, "level": one.level, "last_seq": one.last_seq} for one in file.keys],
        "certificates": [
            {
                "serial": one.serial,
                "epoch": one.epoch,
                "issued_at": one.issued_at.isoformat(),
                "ends_at": one.ends_at.isoformat(),
                "revoked_at": _iso(one.revoked_at),
            }
            for one in reversed(file.certificates)
        ],
        "gaps": [
            {"epoch": one.epoch, "first_seq": one.first_seq, "last_seq": one.last_seq, "since": one.since.isoformat()}
            for one in file.gaps
        ],
        "alerts": [alert_document(one) for one in file.alerts],
        "events": [_event_document(one) for one in file.events],
        "quarantine": [
            {
                "number": one.number,
                "reason": one.reason,
                "detail": one.detail,
                "epoch": one.epoch,
                "seq": one.seq,
                "times": one.times,
                "last_received_at": one.last_received_at.isoformat(),
                "href": f"/v1/quarantine/{one.number}",
            }
            for one in file.quarantine
        ],
    }


def _event_document(one: Event) -> dict[str, Any]:
    told = {"at": one.at.isoformat(), "what": one.what, "detail": one.detail}
    return told if one.alert is None else told | {"alert": one.alert.alert, "kind": str(one.alert.cause.kind)}


def _file_of(connection: Connection, standing: GatewayStanding) -> GatewayFile:
    gateway = standing.gateway
    alerts = list_alerts(connection, Wanted(scope=Scope.GATEWAY, subject=gateway, most=SHOWN_MAX))
    events = [Event(chain.enrolled_at, "enrolled", detail=str(chain.epoch)) for chain in standing.chains]
    for epoch, seq, raised_at, _ in equivocations_of(connection, gateway, SHOWN_MAX):
        events.append(Event(raised_at, "equivocation", detail=f"{epoch}/{seq}"))
    for alert in alerts:
        events.append(Event(alert.opened_at, "opened", alert))
        if alert.acknowledged_at is not None:
            events.append(Event(alert.acknowledged_at, "acknowledged", alert, f"{alert.acknowledged_by}: {alert.note}"))
        if alert.closed_at is not None:
            events.append(Event(alert.closed_at, "closed", alert))
    newest = sorted(events, key=lambda one: (one.at, one.what), reverse=True)[:SHOWN_MAX]
    kept = quarantine_of(connection, gateway, SHOWN_MAX)
    gaps, keys = chain_gaps(connection, gateway), key_facts(connection, gateway)
    return GatewayFile(standing, gaps, alerts, tuple(newest), kept, keys, certificates_of(connection, gateway))


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
