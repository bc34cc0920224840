"""From drafts to signed events, and at the first seal to the bundle; the octets go into the journal in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from edge_agent.installation.acts import Signed
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import Draft, Worksheet
from metering.identity import GatewayId, SiteId
from provisioning.enrolment import Claim, Survey, seal_bundle
from provisioning.installation import Bind, Binding, Body, Exchange, InstallationEvent, Replace
from provisioning.installation_events import event_digest, seal_event
from provisioning.signers import SigningKey


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

    epoch     for the first seal; later ones stay in theirs
    csr       request for the certificate of the TLS key, DER
    outranks  number of the newest settings that the centre ordered
    """
    assert sheet.order is not None
    voucher = sheet.order.voucher
    frame = _Frame(voucher.voucher.site, voucher.voucher.gateway, sheet.epoch or epoch, signer)
    drafts = {key: _with_reasons(sheet, sheet.drafts[key]) for key in keys}
    events = _events(sheet, frame, drafts)
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
    return Signed(keys, frame.epoch, events, at, outranks, bundle)


def epoch_after(sheet: Worksheet, newest: int) -> int:
    """Give the epoch of a new installation: above every epoch of this machine, and of the one it replaces."""
    replaced = [one.body.old_epoch for one in sheet.drafts.values() if isinstance(one.body, Replace)]
    return max([newest, *replaced]) + 1


def _events(sheet: Worksheet, frame: _Frame, drafts: Mapping[str, Draft]) -> tuple[bytes, ...]:
    assert sheet.order is not None
    number = len(sheet.events)
    previous = event_digest(sheet.events[-1].octets) if sheet.events else sheet.order.voucher.digest
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
        previous = event_digest(sealed[-1])
    return tuple(sealed)


def _with_reasons(sheet: Worksheet, draft: Draft) -> Draft:
    """Have what was found about a binding, and why the engineer went on, signed with it."""
    body: Body = draft.body
    if isinstance(body, Bind):
        body = replace(body, binding=_told(sheet, body.binding))
    elif isinstance(body, Exchange):
        body = replace(body, new=_told(sheet, body.new))
    return replace(draft, body=body)


def _told(sheet: Worksheet, binding: Binding) -> Binding:
    about = {binding.meter.id, binding.meter.node, binding.meter.serial, binding.unit}
    told = dict.fromkeys(sheet.with_reason(one) for one in (*binding.findings, *sheet.findings) if one.subject in about)
    findings = tuple({(one.code, one.subject): one for one in told}.values())
    return replace(binding, findings=findings)
