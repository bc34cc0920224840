"""What a commissioning report says, before anyone draws it: proven from the order and the sealed acts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from metering.envelope import Verifier, digest_of
from metering.errors import MeteringError
from metering.identity import GatewayId, MeterId
from provisioning.grant import Grant, open_grant
from provisioning.installation import (
    Binding,
    Decommission,
    Exchange,
    Finding,
    InstallationEvent,
    RatioChange,
    Severity,
)
from provisioning.installation_checks import Survey, check_installation
from provisioning.installation_events import open_events
from provisioning.keys import fingerprint, raw_verifier
from provisioning.order_file import ExpectedMeter, OpenedOrder, open_order_file
from provisioning.report.evidence import Evidence
from provisioning.site import Meter, Site, SiteInvalid
from provisioning.site_changes import changed


class ReportImpossible(MeteringError):
    """A report cannot be made of what is there; the text says the mend."""


@dataclass(frozen=True, slots=True)
class BoundMeter:
    """A meter that hangs there now: the act that put it there, what was planned, and the meter before it, if any."""

    event: InstallationEvent
    binding: Binding
    expected: ExpectedMeter | None
    replaced: MeterId | None

    @property
    def meter(self) -> Meter:
        """The meter."""
        return self.binding.meter

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """What is wrong or doubtful and nobody has given a reason for."""
        return tuple(one for one in self.binding.findings if one.severity is not Severity.NOTE and one.accepted is None)


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation as far as its acts go.

    site         after all acts
    events       all acts in order, each with the SHA-256 of its sealed form
    missing      meters that are expected and were not bound
    checks       what the site checks find in these acts, besides what is told with the bindings; worst first
    unfitting    acts that the site does not allow, with the reason
    fingerprint  of the gateway's signing key; `centre_fingerprint` of the key that signed the order
    granted      whether the centre has answered that it took this key
    """

    site: Site
    gateway: GatewayId
    epoch: int
    order: OpenedOrder
    events: tuple[tuple[bytes, InstallationEvent], ...]
    bound: tuple[BoundMeter, ...]
    missing: tuple[ExpectedMeter, ...]
    checks: tuple[Finding, ...]
    unfitting: tuple[tuple[InstallationEvent, str], ...]
    fingerprint: str
    centre_fingerprint: str
    bundle_digest: bytes | None
    granted: Grant | None

    @property
    def findings(self) -> tuple[tuple[MeterId, Finding], ...]:
        """Every finding that stands, with its meter."""
        return tuple((one.meter.id, finding) for one in self.bound for finding in one.binding.findings)

    @property
    def wrong(self) -> int:
        """How much is wrong: findings with and without a reason, and acts that the site does not allow."""
        standing = (*(finding for _, finding in self.findings), *self.checks)
        return sum(one.severity is Severity.WRONG for one in standing) + len(self.unfitting)

    @property
    def finished_at(self) -> datetime:
        """When the last act was done."""
        return self.events[-1][1].at


def prove(evidence: Evidence, anchor: Verifier | None = None) -> Installation:
    """Open all that a report rests on: order, acts and grant, each signed by whom it must be.

    anchor   the centre's key that is believed; without it the order proves only that it is one centre's
    Raises EnvelopeMalformed, SignatureInvalid, EventChainBroken or ReportImpossible.
    """
    order = open_order_file(evidence.order, anchor)
    key = raw_verifier(evidence.public_key)
    events = open_events(evidence.events, key, previous=order.voucher.digest)
    if not events:
        raise ReportImpossible("nothing was done yet at this gateway: bind a meter first")
    voucher = order.voucher.voucher
    first = events[0]
    if (first.gateway, first.site) != (voucher.gateway, voucher.site):
        raise ReportImpossible(
            f"the acts are of {first.gateway}, the order is for {voucher.gateway}: take its own order"
        )
    granted = None if evidence.grant is None else open_grant(evidence.grant, order.voucher.centre)
    if granted is not None and (granted.gateway, granted.epoch, granted.key_id) != (
        first.gateway,
        first.epoch,
        key.key_id,
    ):
        raise ReportImpossible(f"the grant is for another key or epoch than that of {first.gateway}: leave it out")
    site, unfitting = _site_after(order, events)
    bound = _bound(order, events)
    planned = {one.meter.id for one in bound} | {one.replaced for one in bound}
    nodes = {one.meter.node for one in bound}
    survey = Survey.of_plan(order.plan, at=events[-1].at, bindings=[one.binding for one in bound])
    told = {(finding.code, finding.subject) for one in bound for finding in one.binding.findings}
    return Installation(
        site=site,
        gateway=first.gateway,
        epoch=first.epoch,
        order=order,
        events=tuple(zip(map(digest_of, evidence.events), events, strict=True)),
        bound=bound,
        missing=tuple(one for one in order.plan.expected if one.meter not in planned and one.node not in nodes),
        checks=tuple(one for one in check_installation(survey) if (one.code, one.subject) not in told),
        unfitting=unfitting,
        fingerprint=fingerprint(evidence.public_key),
        centre_fingerprint=order.voucher.fingerprint,
        bundle_digest=evidence.bundle_digest,
        granted=granted,
    )


def _site_after(
    order: OpenedOrder, events: Sequence[InstallationEvent]
) -> tuple[Site, tuple[tuple[InstallationEvent, str], ...]]:
    """Take the steps that the centre will take; a step that the site does not allow is told, and the rest goes on."""
    site, planned = order.plan.site, set(order.plan.planned)
    unfitting = []
    for event in events:
        try:
            site = changed(site, event, planned=planned)
        except SiteInvalid as error:
            unfitting.append((event, str(error)))
        if event.binding is not None:
            planned.discard(event.binding.meter.id)
    return site, tuple(unfitting)


def _bound(order: OpenedOrder, events: Sequence[InstallationEvent]) -> tuple[BoundMeter, ...]:
    """Give the meters that hang there after the last act, in the order they were bound."""
    expected = {one.node: one for one in order.plan.expected}
    standing: dict[MeterId, BoundMeter] = {}
    for event in events:
        match event.body:
            case Decommission(meter=gone):
                standing.pop(gone, None)
            case Exchange(old=old):
                standing.pop(old, None)
            case RatioChange() as change if change.meter in standing:
                standing[change.new] = standing.pop(change.meter)
        if event.binding is not None:
            meter = event.binding.meter
            replaced = event.body.old if isinstance(event.body, Exchange) else None
            standing.pop(meter.id, None)
            standing[meter.id] = BoundMeter(event, event.binding, expected.get(meter.node), replaced)
    return tuple(standing.values())
