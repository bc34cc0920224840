"""What arrives of an installation is entered: each event in its chain, its effect in the site, its binding to approve.

An event that is signed and in its place is never lost: one that does not fit the site is kept and held, with the reason
in words, and tried again whenever something else of that site was entered. Everything runs in the caller's transaction,
under the lock of the site.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.errors import ExclusionViolation

from device_profiles.catalogue import Catalogue
from ingest.store import bindings, installation_events
from ingest.store.bindings import BindingState, BoundAct
from ingest.store.database import Connection
from ingest.store.sites import SiteVersion, import_site, lock_site, require_site
from metering.errors import SenderError
from metering.identity import GatewayId, MeterId, NodeId, SiteId, UnitId
from provisioning.installation import (
    NO_VOUCHER,
    Bind,
    Decommission,
    EventKind,
    Exchange,
    InstallationEvent,
    RatioChange,
    Reparent,
)
from provisioning.installation_events import EventChainBroken, event_digest
from provisioning.site import Meter, Site, SiteInvalid
from provisioning.site_changes import changed
from provisioning.site_faults import faults_of_change

UNKNOWN = NodeId("?")
_SAYS = {
    "bindings_one_per_meter": "its meter is bound elsewhere at that time",
    "bindings_one_per_serial": "a meter with this serial is bound elsewhere at that time",
    "bindings_one_per_node": "another meter is bound to its node at that time",
}


class EventForked(SenderError):
    """Another event has this number already: two machines hold one key, or a state folder was put back."""

    reason = "event-forked"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an event. again: it had arrived before. reason: why it is held; "" where it is not."""

    event: str
    kind: EventKind
    state: str
    reason: str
    again: bool


def enter_events(
    connection: Connection,
    events: Sequence[tuple[InstallationEvent, bytes]],
    *,
    catalogue: Catalogue,
    voucher: bytes | None,
    now: datetime,
) -> tuple[Taken, ...]:
    """Enter proven events of one gateway and epoch, in order; raises EventChainBroken, EventForked, SiteUnknown.

    voucher   digest of the voucher of the order by which the gateway was enrolled; None without one
    """
    if not events:
        return ()
    site, gateway, epoch = events[0][0].site, events[0][0].gateway, events[0][0].epoch
    lock_site(connection, site)
    new = [one for one in events if not _is_known(connection, *one)]
    _check_chain(connection, gateway, epoch, new, voucher)
    held = installation_events.held_events(connection, site)
    step = _Step(connection, require_site(connection, site), catalogue, now)
    found = {event.id: step.enter(event, octets) for event, octets in new}
    for event, _ in held:
        step.retry(event)
    step.close()
    return tuple(found.get(event.id) or _known_before(connection, event) for event, _ in events)


def retry_held(connection: Connection, site: SiteId, *, catalogue: Catalogue, now: datetime) -> int:
    """Try the held events of a site again; gives how many fit it now."""
    lock_site(connection, site)
    held = installation_events.held_events(connection, site)
    if not held:
        return 0
    step = _Step(connection, require_site(connection, site), catalogue, now)
    fitting = sum(step.retry(event) for event, _ in held)
    step.close()
    return fitting


def touched(event: InstallationEvent, site: Site) -> tuple[frozenset[MeterId], frozenset[NodeId]]:
    """Give the meters and nodes that an event speaks of."""
    match event.body:
        case Bind(binding=one):
            return frozenset({one.meter.id}), frozenset({one.meter.node})
        case Exchange(old=old, new=one):
            return frozenset({old, one.meter.id}), frozenset({one.meter.node})
        case RatioChange(meter=meter, new=new):
            return frozenset({meter, new}), _nodes_of(site, meter)
        case Decommission(meter=meter):
            return frozenset({meter}), _nodes_of(site, meter)
        case Reparent(node=node, parent=parent):
            return frozenset(), frozenset({node, parent})
    return frozenset(), frozenset()


def bound_act(event: InstallationEvent, site: Site) -> BoundAct | None:
    """Give what an event binds that a second person must approve; None for one that money does not rest on.

    site   as it is after the event, or before it where the event does not fit
    """
    meters = {meter.id: meter for meter in site.meters}
    made = event.binding
    place: tuple[MeterId | None, str | None, NodeId, UnitId | None, datetime]
    if made is not None:
        meter = made.meter
        stands = meters.get(meter.id)
        since = None if stands is None else stands.span.start  # an exchanged meter that is bound anew keeps its time
        place = (meter.id, meter.serial, meter.node, made.unit, made.at if since is None else min(since, made.at))
    elif isinstance(event.body, RatioChange):
        old = meters.get(event.body.meter)
        place = (event.body.new, old.serial if old else UNKNOWN, _node(old), None, event.body.at)
    elif isinstance(event.body, Decommission):
        place = (None, None, _node(meters.get(event.body.meter)), None, event.body.at)
    elif isinstance(event.body, Reparent):
        place = (None, None, event.body.node, None, event.body.at)
    else:
        return None
    meter_id, serial, node, unit, at = place
    return BoundAct(event.id, site.id, event.body.kind, meter_id, serial, node, unit, at, event.by)


class _Step:
    """One site going from version to version while events are entered."""

    def __init__(self, connection: Connection, version: SiteVersion, catalogue: Catalogue, now: datetime) -> None:
        self._connection = connection
        self._version = version
        self._site = version.site
        self._catalogue = catalogue
        self._now = now
        self._applied: list[str] = []
        self._expected: dict[GatewayId, frozenset[MeterId]] = {}

    def enter(self, event: InstallationEvent, octets: bytes) -> Taken:
        """Keep a new event and what it does."""
        reason, site = self._after(event)
        number = self._version.version
        try:
            with self._connection.transaction():
                self._add(event, octets, reason, site, number)
        except ExclusionViolation as error:
            reason, site = _clash(error), self._site
            self._add(event, octets, reason, site, number)
        self._site = site
        if not reason:
            self._applied.append(event.id)
        state = installation_events.HELD if reason else installation_events.APPLIED
        return Taken(event.id, event.body.kind, state, reason, False)

    def retry(self, event: InstallationEvent) -> bool:
        """Apply an event that was held, if it fits now."""
        reason, site = self._after(event)
        if reason:
            return False
        act = bound_act(event, site)
        try:
            with self._connection.transaction():
                if act is not None:
                    self._make_way(event, act)
                    bindings.activate(self._connection, act)
                installation_events.apply_held(self._connection, event.id, self._version.version)
        except ExclusionViolation:
            return False
        self._site = site
        self._applied.append(event.id)
        return True

    def close(self) -> None:
        """Make the site's new version, if it is another one."""
        if self._site is self._version.site or not self._applied:
            return
        made, _ = import_site(self._connection, self._site, self._version.rules, imported_at=self._now, by_events=True)
        installation_events.put_version(self._connection, self._applied, made.version)

    def _after(self, event: InstallationEvent) -> tuple[str, Site]:
        """Give why an event does not fit, or "" and the site after it."""
        try:
            site = changed(self._site, event, planned=self._planned(event))
        except SiteInvalid as error:
            return str(error), self._site
        if isinstance(event.body, Bind):
            meter = event.body.binding.meter.id
            came_by = bindings.undecided_origin(self._connection, self._site.id, meter)
            if came_by is not None:  # whoever approved the correction would let the registers of that act count unseen
                mend = "somebody has to approve that first; where it was refused, declare an exchange to another meter"
                return f"meter {meter} came by an exchange or change of ratio, {came_by}: {mend}", self._site
        fault = next(faults_of_change(site, touched(event, site)[0], self._catalogue), None)
        if fault is None:
            return "", site
        untold = "tell it among the readings of both meters, 0 if it never counted"
        return (
            f"{fault.problem}: {untold if isinstance(event.body, Exchange | RatioChange) else fault.mend}",
            self._site,
        )

    def _planned(self, event: InstallationEvent) -> frozenset[MeterId]:
        """Give the meters of this gateway that were expected and never seen, or bound and refused: these yield."""
        if event.binding is None:
            return frozenset()
        refused = bindings.refused_meters(self._connection, self._site.id)
        came = {
            meter.id for meter in self._site.meters if meter.id in refused and refused[meter.id] == meter.span.start
        }
        rest = self._expected_at(event.gateway) - bindings.bound_meters(self._connection, self._site.id)
        return rest - installation_events.read_before(self._connection, rest) | came

    def _expected_at(self, gateway: GatewayId) -> frozenset[MeterId]:
        if gateway not in self._expected:
            self._expected[gateway], _ = installation_events.newest_plan(self._connection, self._site.id, gateway)
        return self._expected[gateway]

    def _add(self, event: InstallationEvent, octets: bytes, reason: str, site: Site, number: int) -> None:
        installation_events.add_event(
            self._connection,
            event,
            octets,
            touched=touched(event, site),
            received_at=self._now,
            reason=reason,
            site_version=number,
        )
        act = bound_act(event, site)
        if not reason:
            self._make_way(event, act)
        if act is not None:
            bindings.add_binding(self._connection, act, BindingState.HELD if reason else BindingState.PENDING)

    def _make_way(self, event: InstallationEvent, act: BoundAct | None) -> None:
        body, site = event.body, event.site
        if isinstance(body, Exchange):
            bindings.end_binding(self._connection, site, body.old, body.new.at)
        elif isinstance(body, RatioChange | Decommission):
            bindings.end_binding(self._connection, site, body.meter, body.at)
        if act is not None:
            bindings.supersede(self._connection, act)


def _is_known(connection: Connection, event: InstallationEvent, octets: bytes) -> bool:
    before = installation_events.known(connection, event.id)
    if before is not None and before[0] != event_digest(octets):
        raise EventForked(
            f"another event {event.id} has arrived before: two machines hold this key, or a state folder was put back; "
            "look at both with metertree-provision history, then revoke the key and order anew"
        )
    return before is not None


def _known_before(connection: Connection, event: InstallationEvent) -> Taken:
    before = installation_events.known(connection, event.id)
    assert before is not None, "an event is new or known"
    return Taken(event.id, event.body.kind, before[1], before[2], True)


def _check_chain(
    connection: Connection,
    gateway: GatewayId,
    epoch: int,
    new: Iterable[tuple[InstallationEvent, bytes]],
    voucher: bytes | None,
) -> None:
    number, previous = installation_events.tail(connection, gateway, epoch) or (0, voucher or NO_VOUCHER)
    for event, octets in new:
        if (event.number, event.previous) != (number + 1, previous):
            mend = f"send all events from number {number + 1} on"
            raise EventChainBroken(f"event {event.id} does not follow number {number}, the newest here: {mend}")
        number, previous = event.number, event_digest(octets)


def _clash(error: ExclusionViolation) -> str:
    told = _SAYS.get(error.diag.constraint_name or "", "something else is bound there at that time")
    return f"{told}: exchange or decommission that one first"


def _nodes_of(site: Site, meter: MeterId) -> frozenset[NodeId]:
    return frozenset(one.node for one in site.meters if one.id == meter)


def _node(meter: Meter | None) -> NodeId:
    """Give the node of a meter; an event about a meter that the site does not have is held."""
    return UNKNOWN if meter is None else meter.node
