"""From drafts to signed events, and at the first seal to the bundle; the octets go into the journal in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from edge_agent.installation.acts import Signed
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import Draft, Worksheet
from metering.identity import GatewayId, SiteId
from provisioning.enrolment import BUNDLE_OCTETS_MAX, Claim, Survey, seal_bundle
from provisioning.installation import (
    Bind,
    Binding,
    Body,
    Exchange,
    Finding,
    InstallationEvent,
    Replace,
    binding_of,
)
from provisioning.installation_events import EVENT_OCTETS_MAX, event_digest, seal_event
from provisioning.signers import SigningKey

OTHERS_MAX = 40
"""So many findings about other things go with one binding: an event holds 64 KiB, a finding takes half of one."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all events of this gateway have in common."""

    site: SiteId
    gateway: GatewayId
    epoch: int
    signer: SigningKey


def signed(
    sheet: Worksheet,
    at: datetime,
    *,
    keys: tuple[str, ...],
    signer: SigningKey,
    csr: bytes | None,
    epoch: int,
    outranks: int,
) -> Signed:
    """Sign the drafts `keys`, and the bundle if there is none yet; raises DeskRefused without a claim.

    epoch     that the gateway is in, or at the first seal begins
    csr       request for the certificate of the TLS key, DER
    outranks  number of the newest settings that the centre ordered
    """
    assert sheet.order is not None
    voucher = sheet.order.voucher
    frame = _Frame(voucher.voucher.site, voucher.voucher.gateway, epoch, signer)
    events = _events(sheet, frame, _with_findings(sheet, {key: sheet.drafts[key] for key in keys}))
    bundle = None
    if not sheet.is_sealed:
        if sheet.claim is None:
            raise refused("no-claim")
        bundle = seal_bundle(
            voucher.voucher.gateway,
            epoch=frame.epoch,
            claim=Claim.parse(sheet.claim),
            public_key=signer.public_key,
            signer=signer,
            survey=Survey(voucher.digest, csr, events, signer.level),
        )
        if len(bundle) > BUNDLE_OCTETS_MAX:
            raise refused("bundle-too-large", octets=BUNDLE_OCTETS_MAX)
    return Signed(keys, frame.epoch, events, at, outranks, bundle)


def epoch_after(sheet: Worksheet, newest: int) -> int:
    """Give the epoch of a new installation: above every epoch of this machine, and of the one it replaces."""
    replaced = [one.body.old_epoch for one in sheet.drafts.values() if isinstance(one.body, Replace)]
    return max([newest, *replaced]) + 1


def _events(sheet: Worksheet, frame: _Frame, drafts: Mapping[str, Draft]) -> tuple[bytes, ...]:
    assert sheet.order is not None
    before = sheet.events_of(frame.epoch)
    number = len(before)
    previous = event_digest(before[-1].octets) if before else sheet.order.voucher.digest
    sealed: list[bytes] = []
    for draft in drafts.values():
        number += 1
        event = InstallationEvent(
            site=frame.site,
            gateway=frame.gateway,
            epoch=frame.epoch,
            number=number,
            previous=previous,
            at=draft.at,
            by=draft.who.by,
            device=draft.who.device,
            body=draft.body,
        )
        sealed.append(seal_event(event, frame.signer))
        if len(sealed[-1]) > EVENT_OCTETS_MAX:
            raise refused("event-too-large", subject=event.id, octets=EVENT_OCTETS_MAX)
        previous = event_digest(sealed[-1])
    return tuple(sealed)


def _with_findings(sheet: Worksheet, drafts: Mapping[str, Draft]) -> dict[str, Draft]:
    """Have what was found, and why the engineer went on, signed with the bindings it is about.

    What was accepted and is about none of them, such as a meter that is built later, goes with the first ones.
    """
    bindings = {key: found for key, one in drafts.items() if (found := binding_of(one.body)) is not None}
    about = {subject: key for key, one in bindings.items() for subject in _subjects(one)}
    told: dict[str, list[Finding]] = {key: [] for key in bindings}
    others: list[Finding] = []
    for one in sheet.all_findings():
        if one.subject in about:
            told[about[one.subject]].append(one)
        elif one.accepted is not None:
            others.append(one)
    for place, key in enumerate(told):
        told[key] += others[OTHERS_MAX * place : OTHERS_MAX * (place + 1)]
    return {key: _told(one, told.get(key, ())) for key, one in drafts.items()}


def _subjects(binding: Binding) -> tuple[str, ...]:
    meter = binding.meter
    return tuple(one for one in (binding.unit, meter.node, meter.serial, meter.id) if one is not None)


def _told(draft: Draft, findings: Sequence[Finding]) -> Draft:
    found = tuple(findings)
    body: Body = draft.body
    if isinstance(body, Bind):
        body = replace(body, binding=replace(body.binding, findings=found))
    elif isinstance(body, Exchange):
        body = replace(body, new=replace(body.new, findings=found))
    return replace(draft, body=body)
