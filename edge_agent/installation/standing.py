"""From the worksheet to what faces show of it (pure)."""

from __future__ import annotations

from datetime import datetime

from edge_agent.installation.view import Delivery, DeskState, EventShown, OrderShown, Sealed, Step
from edge_agent.installation.worksheet import BUNDLE, SignedEvent, Worksheet
from provisioning.installation import Exchange, Finding, Reparent, Severity, binding_of
from provisioning.order_file import OpenedOrder


def order_shown(order: OpenedOrder) -> OrderShown:
    """Give an order as people compare it."""
    voucher = order.voucher.voucher
    return OrderShown(
        order=voucher.order,
        site=voucher.site,
        gateway=voucher.gateway,
        owner=voucher.owner,
        centre_url=voucher.centre_url,
        not_after=voucher.not_after,
        fingerprint=order.voucher.fingerprint,
        is_anchored=order.voucher.is_anchored,
    )


def desk_state(
    sheet: Worksheet,
    *,
    key_fingerprint: str | None,
    is_measuring: bool,
    has_agent: bool,
    attempt: tuple[datetime, str | None] | None,
) -> DeskState:
    """Give the desk at this moment."""
    if sheet.order is None:
        return DeskState(Step.ORDER, has_agent=has_agent)
    bindings = sheet.bindings()
    there = [one.id for one in sheet.fitted()]
    open_findings = worst_open(sheet)
    return DeskState(
        step=step_of(sheet),
        order=order_shown(sheet.order),
        key_fingerprint=key_fingerprint,
        has_claim=sheet.claim is not None,
        plan=sheet.order.plan,
        ports=sheet.ports(),
        scans=sheet.scans,
        bindings=tuple(bindings[meter] for meter in there),
        drafts=tuple(sheet.drafts),
        findings=sheet.all_findings(),
        open_findings=open_findings,
        is_checked=sheet.is_checked,
        may_seal=bool(sheet.drafts) and not blocking(sheet),
        sealed=_sealed(sheet),
        events=tuple(_event(sheet, one) for one in sheet.events),
        delivery=_delivery(sheet, attempt),
        is_measuring=is_measuring,
        has_agent=has_agent,
    )


def step_of(sheet: Worksheet) -> Step:
    """Say what is to be done next."""
    if sheet.order is None:
        return Step.ORDER
    if sheet.drafts:
        unbound = {one.meter for one in sheet.still_expected()} - set(sheet.bindings())
        if not sheet.is_sealed and unbound and not sheet.is_checked:
            return Step.BIND
        return Step.SEAL if sheet.is_checked and not blocking(sheet) else Step.CHECK
    if not sheet.is_sealed:
        return Step.BIND if sheet.scans else Step.SCAN
    return Step.DELIVER if waiting(sheet) else Step.DONE


def blocking(sheet: Worksheet) -> tuple[Finding, ...]:
    """Give what stands against sealing: findings of what is wrong that nobody accepted."""
    return tuple(one for one in sheet.open_findings() if one.severity is Severity.WRONG)


def worst_open(sheet: Worksheet) -> tuple[Finding, ...]:
    """Give what is open, the worst first."""
    order = list(Severity)
    return tuple(sorted(sheet.open_findings(), key=lambda one: order.index(one.severity)))


def waiting(sheet: Worksheet) -> int:
    """Count what the centre does not have: the bundle without its answer as one, later events, photos."""
    if not sheet.is_sealed:
        return 0
    return (sheet.grant is None) + len(sheet.undelivered_events()) + len(sheet.undelivered_photos())


def _sealed(sheet: Worksheet) -> Sealed | None:
    if sheet.bundle is None or sheet.sealed_at is None:
        return None
    return Sealed(sheet.digest, sheet.sealed_at, sheet.epoch, len(sheet.events))


def _event(sheet: Worksheet, one: SignedEvent) -> EventShown:
    event, body = one.event, one.event.body
    binding = binding_of(body)
    match body:
        case Exchange():
            subject = f"{body.old} -> {body.new.meter.id}"
        case Reparent():
            subject = body.node
        case _ if binding is not None:
            subject = binding.meter.id
        case _:
            subject = str(
                getattr(body, "meter", None) or getattr(getattr(body, "port", None), "id", "") or event.gateway
            )
    return EventShown(event.number, str(body.kind), event.at, event.by, subject, event.id in sheet.delivered)


def _delivery(sheet: Worksheet, attempt: tuple[datetime, str | None] | None) -> Delivery:
    tried_at, problem = attempt or (None, None)
    return Delivery(
        is_granted=sheet.grant is not None,
        waiting=waiting(sheet),
        tried_at=tried_at,
        problem=problem,
        has_bundle=BUNDLE in sheet.delivered,
    )
