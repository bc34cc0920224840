"""What a journal's acts amount to: one frozen worksheet, made by folding act after act (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from edge_agent.installation.acts import (
    Accepted,
    Act,
    Begun,
    Checked,
    Claimed,
    Closed,
    Configured,
    Delivered,
    Drafted,
    Dropped,
    Granted,
    Scanned,
    Signed,
)
from edge_agent.installation.scan_text import scan_of
from edge_agent.installation.view import Who
from edge_agent.scanning.result import ScanResult
from metering.envelope import digest_of
from metering.identity import GatewayId, MeterId, PortId
from provisioning.grant import Grant, open_grant
from provisioning.installation import (
    Bind,
    Binding,
    Body,
    Exchange,
    Finding,
    InstallationEvent,
    Photo,
    Replace,
    binding_of,
    photos_of,
)
from provisioning.installation_events import parse_event
from provisioning.keys import raw_verifier
from provisioning.order_file import ExpectedMeter, OpenedOrder, open_order_file
from provisioning.site import Meter, Port, Site
from provisioning.site_changes import changed

BUNDLE = "bundle"
"""How the bundle is named among what was delivered; events by their id, photos by their digest."""


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """A sealed event with what it says."""

    octets: bytes
    event: InstallationEvent


@dataclass(frozen=True, slots=True)
class Draft:
    """Something that waits for the seal: who said it, when."""

    body: Body
    who: Who
    at: datetime


@dataclass(frozen=True, slots=True)
class Worksheet:
    """The installation as it stands.

    drafts         by key, in the order they were made
    accepted       reasons by code and subject of the finding
    epoch          in which was signed last; a key that is changed begins another one
    bundle_epoch   in which the bundle was signed
    bundled        how many events the bundle carries
    is_checked     whether everything was looked at since the newest draft
    is_configured  whether the gateway's file says all that was signed and granted
    configured     how many events it says
    """

    order: OpenedOrder | None = None
    order_file: bytes = b""
    claim: str | None = None
    scans: Mapping[PortId, ScanResult] = field(default_factory=dict)
    drafts: Mapping[str, Draft] = field(default_factory=dict)
    closings: Mapping[MeterId, Closed] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    accepted: Mapping[tuple[str, str], str] = field(default_factory=dict)
    epoch: int = 0
    bundle_epoch: int = 0
    sealed_at: datetime | None = None
    bundle: bytes | None = None
    events: tuple[SignedEvent, ...] = ()
    bundled: int = 0
    outranks: int = 0
    is_checked: bool = False
    is_configured: bool = True
    configured: int = 0
    delivered: frozenset[str] = frozenset()
    grant: Grant | None = None
    grant_octets: bytes = b""
    _sites: list[Site] = field(init=False, repr=False, compare=False, default_factory=list)

    @property
    def gateway(self) -> GatewayId:
        """The gateway of the order; there must be one."""
        assert self.order is not None
        return self.order.voucher.voucher.gateway

    @property
    def is_sealed(self) -> bool:
        """Whether the bundle was signed."""
        return self.bundle is not None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bundle; there must be one."""
        assert self.bundle is not None
        return digest_of(self.bundle)

    def bindings(self) -> dict[MeterId, Binding]:
        """Give every binding by meter, signed or drafted; a later one of a meter takes the place of the earlier."""
        bodies = [one.event.body for one in self.events] + [one.body for one in self.drafts.values()]
        return {found.meter.id: found for body in bodies if (found := binding_of(body)) is not None}

    def photos(self) -> dict[bytes, Photo]:
        """Give every photo that a signed event names."""
        return {photo.sha256: photo for one in self.events for photo in photos_of(one.event)}

    def in_bundle(self) -> frozenset[str]:
        """Name what a centre has that took the bundle."""
        return frozenset({BUNDLE, *(one.event.id for one in self.events[: self.bundled])})

    def events_of(self, epoch: int) -> tuple[SignedEvent, ...]:
        """Give the events that were signed in an epoch."""
        return tuple(one for one in self.events if one.event.epoch == epoch)

    def undelivered_events(self) -> tuple[SignedEvent, ...]:
        """Give the events behind the bundle that the centre does not have yet."""
        return tuple(one for one in self.events[self.bundled :] if one.event.id not in self.delivered)

    def undelivered_photos(self) -> dict[bytes, Photo]:
        """Give the photos that the centre does not have yet."""
        return {digest: photo for digest, photo in self.photos().items() if digest.hex() not in self.delivered}

    def signed_bindings(self) -> dict[MeterId, Binding]:
        """Give the bindings that are signed."""
        found = [one.event.binding for one in self.events]
        return {one.meter.id: one for one in found if one is not None}

    def draft_of(self, meter: MeterId) -> Draft | None:
        """Give the draft that binds a meter."""
        draft = self.drafts.get(meter_key(meter))
        return draft if draft is not None and isinstance(draft.body, Bind | Exchange) else None

    def site(self, *more: Body) -> Site:
        """Give the site with everything signed and drafted, and with `more`; raises SiteInvalid."""
        assert self.order is not None
        bodies = [one.event.body for one in self.events] + [one.body for one in self.drafts.values()]
        if not self._sites:
            self._sites.append(self._changed(self.order.plan.site, (), bodies))
        return self._changed(self._sites[0], bodies, more)

    def _changed(self, site: Site, before: Iterable[Body], bodies: Iterable[Body]) -> Site:
        """Give `site`, to which `before` was done already, after `bodies`."""
        assert self.order is not None
        bound = {binding.meter.id for body in before if (binding := binding_of(body)) is not None}
        for body in bodies:
            site = changed(site, self.as_event(body), planned=self.order.plan.planned - bound)
            binding = binding_of(body)
            if binding is not None:
                bound.add(binding.meter.id)
        return site

    def as_event(self, body: Body) -> InstallationEvent:
        """Give a body the frame that `changed` wants; who and when do not matter to it."""
        assert self.order is not None
        voucher, at = self.order.voucher.voucher, self.order.voucher.voucher.not_after
        return InstallationEvent(voucher.site, voucher.gateway, 1, 1, bytes(32), at, "desk", "desk", body)

    def fitted(self) -> Iterator[Meter]:
        """Give the meters that are bound and not gone."""
        bound = self.bindings()
        return (meter for meter in self.site().meters if meter.id in bound and meter.span.end is None)

    @property
    def is_replacing(self) -> bool:
        """Whether this machine takes the place of another, and with it the meters that were bound there."""
        bodies = [one.event.body for one in self.events] + [one.body for one in self.drafts.values()]
        return any(isinstance(body, Replace) for body in bodies)

    def still_expected(self) -> tuple[ExpectedMeter, ...]:
        """Give the planned meters that are to be bound or stand bound: not those that went or were taken over."""
        assert self.order is not None
        gone = {one.id for one in self.site().meters if one.span.end is not None}
        taken_over = self.order.plan.planned - set(self.bindings()) if self.is_replacing else frozenset()
        return tuple(one for one in self.order.plan.expected if one.meter not in gone | taken_over)

    def ports(self) -> tuple[Port, ...]:
        """Give this gateway's ports as they were found."""
        return () if self.order is None else self.site().ports_of(self.gateway)

    def open_findings(self) -> tuple[Finding, ...]:
        """Give what the newest look found, with the bindings' own findings, and nobody accepted."""
        return tuple(one for one in self.all_findings() if one.accepted is None)

    def all_findings(self) -> tuple[Finding, ...]:
        """Give the findings of the newest look and of the drafts, each once, with the reason where it was accepted."""
        drafted = [binding_of(one.body) for one in self.drafts.values()]
        told = [*self.findings, *(one for binding in drafted if binding is not None for one in binding.findings)]
        return tuple(dict.fromkeys(self.with_reason(one) for one in told))

    def with_reason(self, finding: Finding) -> Finding:
        """Give a finding with the reason for which it was accepted, if it was."""
        return replace(finding, accepted=self.accepted.get((finding.code, finding.subject)))


EMPTY = Worksheet()


def meter_key(meter: MeterId) -> str:
    """Name the draft that binds a meter."""
    return f"meter {meter}"


def after(sheet: Worksheet, act: Act, who: Who, at: datetime) -> Worksheet:
    """Give the worksheet after one more act."""
    match act:
        case Begun():
            anchor = None if act.anchor is None else raw_verifier(act.anchor)
            return replace(sheet, order=open_order_file(act.order_file, anchor), order_file=act.order_file)
        case Claimed():
            return replace(sheet, claim=act.claim)
        case Scanned():
            return replace(sheet, scans={**sheet.scans, act.port: scan_of(act.result)})
        case Drafted():
            before = sheet.drafts.get(act.key)
            new = Draft(act.body, who, at)
            drafts = {**sheet.drafts, act.key: replace(before, body=act.body) if act.amends and before else new}
            return replace(sheet, drafts=drafts, is_checked=False)
        case Dropped():
            drafts = {key: one for key, one in sheet.drafts.items() if key != act.key}
            return replace(sheet, drafts=drafts, is_checked=False)
        case Closed():
            return replace(sheet, closings={**sheet.closings, act.meter: act})
        case Checked():
            return replace(sheet, findings=act.findings, is_checked=True)
        case Accepted():
            return replace(sheet, accepted={**sheet.accepted, (act.code, act.subject): act.reason})
        case Signed():
            return _signed(sheet, act)
        case Configured():
            return replace(sheet, is_configured=True, configured=act.events)
        case Delivered():
            return replace(sheet, delivered=sheet.delivered | set(act.what))
        case Granted():
            return _granted(sheet, act)


def _signed(sheet: Worksheet, act: Signed) -> Worksheet:
    events = tuple(SignedEvent(one, parse_event(one)) for one in act.events)
    return replace(
        sheet,
        drafts={key: one for key, one in sheet.drafts.items() if key not in act.keys},
        events=(*sheet.events, *events),
        epoch=act.epoch,
        bundle=act.bundle or sheet.bundle,
        bundled=sheet.bundled if act.bundle is None else len(events),
        bundle_epoch=sheet.bundle_epoch if act.bundle is None else act.epoch,
        sealed_at=sheet.sealed_at or act.at,
        outranks=act.outranks,
        is_configured=False,
    )


def _granted(sheet: Worksheet, act: Granted) -> Worksheet:
    assert sheet.order is not None
    return replace(
        sheet,
        grant=open_grant(act.grant, sheet.order.voucher.centre),
        grant_octets=act.grant,
        claim=None,
        delivered=sheet.delivered | sheet.in_bundle(),
        is_configured=False,
    )
