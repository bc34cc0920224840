"""The desk at which installations come in: orders, bundles, events and packages, and the second person's word on them.

Each call is one transaction, recorded in the audit log with who did it. What the gateway signed is believed as far as
its key goes; whether a binding counts for money is decided by a named operator who is not the engineer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from allocation_engine.run_state import SecondPersonNeeded, same_actor
from device_profiles.catalogue import Catalogue
from ingest.audit_log import Entry, Verb
from ingest.binding_review import Review, review
from ingest.caller import Caller, acting
from ingest.installation_books import Taken, enter_events, retry_held
from ingest.store import bindings, gateways, installation_events
from ingest.store.audit import record, touching
from ingest.store.binding_events import tell_decision
from ingest.store.bindings import BindingState, StoredBinding
from ingest.store.database import Connection, Database
from ingest.store.installation_events import OrderLine, StoredEvent
from ingest.store.meter_serials import Told, serials_told
from ingest.store.photos import PhotoMisnamed, PhotoNotPlain, put_photo
from ingest.store.revocations import is_revoked
from ingest.store.sites import lock_site, require_site
from ingest.suspicions import Suspicion, suspicions
from metering.clock import Clock
from metering.envelope import Signer, digest_of
from metering.errors import BooksError, SenderError
from metering.identity import GatewayId, SiteId
from provisioning.enrolment import Bundle, Claim, Enrolled, InstallOrder, Refused, Survey, open_bundle, open_order
from provisioning.grant import Grant, seal_grant
from provisioning.installation import NO_VOUCHER, InstallationEvent
from provisioning.installation_events import event_digest, open_events, parse_event, signer_of
from provisioning.keys import fingerprint
from provisioning.order_file import ExpectedMeter, Plan, open_order_file, plan_of, seal_order_file
from provisioning.package import photos_in, read_package
from provisioning.photo_file import PhotoRefused
from provisioning.voucher import Voucher, seal_voucher

Issue = Callable[[Connection, GatewayId, int, bytes | None], tuple[bytes, ...]]
"""Gives the certificates (DER, its own first) of a gateway's epoch for its request; () without."""


class BindingUnknown(BooksError):
    """There is no binding of this id."""


class DecisionRefused(BooksError):
    """A binding cannot be decided about so."""


class SignerUnknown(SenderError):
    """An event names a key that is not registered, or one that counts no more."""

    reason = "key-unknown"


class SiteForeign(SenderError):
    """An event is of a site for which its gateway was never enrolled."""

    reason = "site-mismatch"


@dataclass(frozen=True, slots=True)
class Terms:
    """What vouchers say of this centre: where it and its broker are reached, and which roots to believe (DER)."""

    centre_url: str | None = None
    broker: str | None = None
    roots: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Ordered:
    """A new order with the papers that belong to it; `claim` is shown this once."""

    order: InstallOrder
    claim: Claim
    voucher: bytes
    order_file: bytes
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Presented:
    """What became of a bundle: the outcome, the centre's sealed grant, and its events."""

    bundle: Bundle
    outcome: Enrolled | Refused
    grant: bytes | None
    events: tuple[Taken, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a package: of its bundle and events, and of each picture why it was not kept, "" if it was."""

    presented: Presented | None
    events: tuple[Taken, ...]
    photos: tuple[tuple[bytes, str], ...]


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a site, gateway, meter or node: signed events, what people did about them.

    serials     numbers that meters told of themselves, by which an exchange nobody declared is seen
    suspicions  what makes the gateways concerned suspect
    """

    events: tuple[StoredEvent, ...]
    bindings: tuple[StoredBinding, ...]
    acts: tuple[Entry, ...]
    serials: tuple[Told, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()


def no_certificates(connection: Connection, gateway: GatewayId, epoch: int, csr: bytes | None) -> tuple[bytes, ...]:  # noqa: ARG001
    """Issue nothing: this centre has no authority of its own."""
    return ()


@dataclass(frozen=True, slots=True)
class InstallationDesk:
    """Takes in installations. `signer` is the centre's key, `public_key` its raw public half."""

    database: Database
    clock: Clock
    signer: Signer
    public_key: bytes
    catalogue: Catalogue
    terms: Terms = Terms()
    issue: Issue = no_certificates

    def order(
        self,
        caller: Caller,
        *,
        site: SiteId,
        gateway: GatewayId,
        engineer: str,
        expires_at: datetime,
        expected: Iterable[ExpectedMeter],
        terms: Terms,
    ) -> Ordered:
        """Open an install order with its papers; raises SiteUnknown, NotInSite, OrderInvalid, PlanInvalid.

        terms   what this voucher says, where it is not what the desk says
        """
        now, claim = self.clock.now(), Claim.fresh()
        with self.database.transaction() as connection:
            described = require_site(connection, site).site
            plan = plan_of(described, gateway, expected)
            order = open_order(
                site=site, gateway=gateway, engineer=engineer, ordered_at=now, expires_at=expires_at, claim=claim
            )
            voucher = seal_voucher(
                Voucher(
                    order=order.order,
                    site=site,
                    gateway=gateway,
                    owner=described.owner.names,
                    centre_url=self.terms.centre_url or terms.centre_url or "http://localhost",
                    broker=terms.broker or self.terms.broker,
                    centre_public_key=self.public_key,
                    roots=self.terms.roots,
                    not_after=expires_at,
                ),
                self.signer,
            )
            order_file = seal_order_file(voucher, plan, self.signer)
            gateways.add_order(connection, order)
            installation_events.keep_order_file(connection, order.order, order_file, digest_of(voucher), plan.planned)
            after = {"engineer": engineer, "expires_at": expires_at.isoformat(), "expected": len(plan.expected)}
            touches = (f"gateway/{gateway}", f"site/{site}")
            act = caller.act(now, Verb.INSTALL_ORDERED, f"order/{order.order}", after=after, touches=touches)
            record(connection, act)
        return Ordered(order, claim, voucher, order_file, fingerprint(self.public_key))

    def orders(self, site: str | None, gateway: str | None) -> tuple[OrderLine, ...]:
        """List install orders, the newest first."""
        with self.database.transaction() as connection:
            return installation_events.orders(connection, site, gateway)

    def enrol(self, octets: bytes, caller: Callable[[str], Caller]) -> Presented:
        """Decide about a bundle; the same one again gives the same grant. `caller` names who presents it."""
        bundle = open_bundle(octets)
        now, gateway = self.clock.now(), bundle.gateway
        who = caller(f"gateway/{gateway}")
        with self.database.transaction() as connection, acting(who):
            order = gateways.order_of_claim(connection, bundle.claim_hash, bundle.claim_key)
            misfit = None if order is None else self._misfit(connection, bundle, order)
            outcome = misfit or gateways.enrol(connection, bundle, now)
            if isinstance(outcome, Refused):
                return Presented(bundle, outcome, None, ())
            taken = self._enter_survey(connection, bundle, now)
            if outcome.again:
                known = bundle.survey is not None
                grant = installation_events.grant_of(connection, gateway, bundle.epoch) if known else None
                return Presented(bundle, outcome, grant, taken)
            grant = self._granted(connection, bundle, now)
            after = {"epoch": bundle.epoch, "key_id": bundle.key_id.hex(), "events": len(taken)}
            touches = (f"site/{outcome.order.site}", f"order/{outcome.order.order}")
            record(connection, who.act(now, Verb.ENROLLED, f"gateway/{gateway}", after=after, touches=touches))
        return Presented(bundle, outcome, grant, taken)

    def take_events(self, sealed: Sequence[bytes], caller: Callable[[str], Caller]) -> tuple[Taken, ...]:
        """Take later events of one gateway, in order, first the oldest; raises SenderError and its kinds."""
        if not sealed:
            return ()
        now = self.clock.now()
        with self.database.transaction() as connection:
            events = self._proven(connection, sealed)
            first = events[0]
            voucher = self._voucher_of(connection, first)
            with acting(caller(f"gateway/{first.gateway}")):
                taken = self._entered(connection, list(zip(events, sealed, strict=True)), voucher, now)
        return taken

    def take_package(self, stream: IO[bytes], caller: Callable[[str], Caller]) -> Received:
        """Take what a package holds: bundle, events, photos. Each part proves itself; what came before is as it was."""
        package = read_package(stream)
        presented = None if package.bundle is None else self.enrol(package.bundle, caller)
        if presented is not None and isinstance(presented.outcome, Refused):
            return Received(presented, (), ())
        named: dict[bytes, str] = {}
        for octets in package.events:
            binding = parse_event(octets).binding
            named |= {} if binding is None else {photo.sha256: photo.media for photo in binding.photos}
        taken = self.take_events(package.events, caller)
        photos = [(digest, self._keep(digest, picture, named.get(digest))) for digest, picture in photos_in(stream)]
        return Received(presented, taken, tuple(photos))

    def retry(self, site: SiteId) -> int:
        """Try the held events of a site again; gives how many fit it now."""
        with self.database.transaction() as connection:
            return retry_held(connection, site, catalogue=self.catalogue, now=self.clock.now())

    def bindings(
        self, *, site: str | None, state: str | None, meter: str | None = None
    ) -> tuple[tuple[StoredBinding, Review], ...]:
        """List bindings, each with what its approver goes by."""
        with self.database.transaction() as connection:
            found = bindings.bindings(connection, site=site, state=state, meter=meter)
            reviewer = _Reviewer(connection)
            return tuple((one, reviewer.review(one)) for one in found)

    def binding(self, binding: str) -> tuple[StoredBinding, Review]:
        """Give one binding with what its approver goes by; raises BindingUnknown."""
        with self.database.transaction() as connection:
            _site_of(connection, binding)
            stored = _require(connection, binding)
            return stored, _Reviewer(connection).review(stored)

    def approve(self, binding: str, reason: str, caller: Caller) -> tuple[StoredBinding, Review]:
        """Let a binding count for money; raises BindingUnknown, NotInPerson, SecondPersonNeeded, DecisionRefused."""
        return self._decide(binding, BindingState.APPROVED, reason, caller)

    def refuse(self, binding: str, reason: str, caller: Caller) -> tuple[StoredBinding, Review]:
        """Say that a binding is wrong; it stays provisional until it is corrected at the site."""
        return self._decide(binding, BindingState.REFUSED, reason, caller)

    def history(self, *, site: str | None, gateway: str | None, meter: str | None, node: str | None) -> History:
        """Tell everything that is known of a site, gateway, meter or node."""
        with self.database.transaction() as connection:
            events = installation_events.history(connection, site=site, gateway=gateway, meter=meter, node=node)
            ids = {one.event.id for one in events}
            found = [one for one in bindings.bindings(connection, site=site) if one.act.binding in ids]
            subjects = [f"binding/{one}" for one in sorted(ids)]
            subjects += [f"{kind}/{name}" for kind, name in (("site", site), ("gateway", gateway)) if name]
            for kind, name in (("meter", meter), ("node", node)):
                sites = {site} if site else {one.event.site for one in events}
                subjects += [f"{kind}/{one}/{name}" for one in sorted(sites) if name]
            serials = serials_told(connection, site=site, gateway=gateway, meter=meter, node=node)
            suspect = suspicions(connection, {gateway} if gateway else {one.event.gateway for one in events})
            return History(events, tuple(found), tuple(reversed(touching(connection, subjects))), serials, suspect)

    def _keep(self, digest: bytes, picture: bytes, media: str | None) -> str:
        """Keep a picture that an event names; gives why not, or ""."""
        if media is None:
            return "no event names it"
        try:
            with self.database.transaction() as connection:
                put_photo(connection, digest, picture, media, self.clock.now())
        except (PhotoRefused, PhotoNotPlain, PhotoMisnamed) as error:
            return str(error)
        return ""

    def _misfit(self, connection: Connection, bundle: Bundle, order: InstallOrder) -> Refused | None:
        """Refuse a survey that was made with another order's voucher, or for another site."""
        if bundle.survey is None or order.gateway != bundle.gateway:
            return None
        papers = installation_events.order_papers(connection, order.order)
        told = bundle.survey.voucher_digest
        if told is not None and (papers is None or papers[1] != told):
            return Refused("voucher-mismatch", "the voucher is of another order: bring that order's file, or its claim")
        if any(event.site != order.site for event in bundle.events):
            return Refused("site-mismatch", "the installation is of another site than the order: use its own claim")
        return None

    def _granted(self, connection: Connection, bundle: Bundle, now: datetime) -> bytes | None:
        """Answer a bundle that brings a survey; a gateway without one would not know what to do with it."""
        if bundle.survey is None:
            return None
        chain = self.issue(connection, bundle.gateway, bundle.epoch, bundle.survey.csr)
        answer = Grant(bundle.gateway, bundle.epoch, bundle.key_id, bundle.digest, chain, self.public_key, now)
        grant = seal_grant(answer, self.signer)
        installation_events.add_grant(connection, bundle.gateway, bundle.epoch, grant, now)
        return grant

    def _enter_survey(self, connection: Connection, bundle: Bundle, now: datetime) -> tuple[Taken, ...]:
        survey = bundle.survey or Survey(None, None, ())
        pairs = list(zip(bundle.events, survey.events, strict=True))
        return self._entered(connection, pairs, survey.voucher_digest, now)

    def _entered(
        self,
        connection: Connection,
        events: Sequence[tuple[InstallationEvent, bytes]],
        voucher: bytes | None,
        now: datetime,
    ) -> tuple[Taken, ...]:
        taken = enter_events(connection, events, catalogue=self.catalogue, voucher=voucher, now=now)
        for (event, octets), one in zip(events, taken, strict=True):
            if not one.again:
                _record_event(connection, event, octets, one, now)
        return taken

    def _proven(self, connection: Connection, sealed: Sequence[bytes]) -> tuple[InstallationEvent, ...]:
        """Open events by the key they name; raises SignerUnknown and what opening raises."""
        first = parse_event(sealed[0])
        key_id = signer_of(sealed[0])
        known = gateways.keys(connection, {key_id}, ())
        fitting = [key for key in known if (key.owner.gateway, key.owner.epoch) == (first.gateway, first.epoch)]
        is_over = any(key.last_seq is not None for key in fitting)  # it has handed over: it seals nothing new
        if not fitting or is_over or is_revoked(connection, first.gateway, first.epoch):
            mend = "enrol the gateway first, or order it anew"
            raise SignerUnknown(f"no key {key_id.hex()} counts for {first.gateway} in epoch {first.epoch}: {mend}")
        events = open_events(sealed, fitting[0].verifier, previous=first.previous, number=first.number)
        if not installation_events.belongs_to(connection, first.gateway, first.site):
            mend = "order it for that site and enrol it anew"
            raise SiteForeign(f"gateway {first.gateway} was never enrolled for site {first.site}: {mend}")
        return events

    def _voucher_of(self, connection: Connection, first: InstallationEvent) -> bytes | None:
        """Give the voucher that the first event of a chain names, if it is one of an order for this gateway."""
        if first.number > 1 or first.previous == NO_VOUCHER:
            return None
        _, digest = installation_events.newest_plan(connection, first.site, first.gateway)
        return digest if digest == first.previous else None

    def _decide(self, binding: str, to: BindingState, reason: str, caller: Caller) -> tuple[StoredBinding, Review]:
        word = "approving a binding" if to is BindingState.APPROVED else "refusing a binding"
        caller.require_in_person(word)
        now, reason = self.clock.now(), reason.strip()
        with self.database.transaction() as connection:
            # Publishing a run of the site waits, or sees this; so does whatever arrives from there.
            lock_site(connection, _site_of(connection, binding))
            stored = _require(connection, binding)
            # What is typed at the site proves nobody's name, so the engineer who was sent decides nothing either.
            sent = installation_events.sent_to(connection, stored.gateway, stored.received_at)
            for one in (stored.act.done_by, sent):
                if one is not None and same_actor(caller.name) == same_actor(one):
                    raise SecondPersonNeeded(f"{one} was at the site for this; somebody else has to decide about it")
            shown = _Reviewer(connection).review(stored)
            _check_decision(stored, shown, to, reason)
            bindings.decide(connection, binding, to, by=caller.name, at=now, decision=reason)
            verb = Verb.BINDING_APPROVED if to is BindingState.APPROVED else Verb.BINDING_REFUSED
            before, after = {"state": str(stored.state)}, {"state": str(to), "node": stored.act.node}
            act = caller.act(
                now, verb, f"binding/{binding}", before=before, after=after, reason=reason, touches=_touches(stored)
            )
            record(connection, act)
            tell_decision(connection, stored, to, now)
            decided = _require(connection, binding)
            # A correction may have waited for this word.
            retry_held(connection, stored.act.site, catalogue=self.catalogue, now=now)
            return decided, shown


class _Reviewer:
    """Reviews bindings; each gateway's plan is opened once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._plans: dict[tuple[SiteId, GatewayId], Plan | None] = {}

    def review(self, stored: StoredBinding) -> Review:
        """Hold a binding against its plan."""
        site = stored.act.site
        serials = [] if stored.act.serial is None else [stored.act.serial]
        elsewhere = bindings.other_sites(self._connection, site, serials)
        return review(stored, self._plan(site, stored.gateway), elsewhere)

    def _plan(self, site: SiteId, gateway: GatewayId) -> Plan | None:
        if (site, gateway) not in self._plans:
            octets = installation_events.newest_order_file(self._connection, site, gateway)
            self._plans[site, gateway] = None if octets is None else open_order_file(octets, None).plan
        return self._plans[site, gateway]


def _require(connection: Connection, binding: str) -> StoredBinding:
    found = bindings.binding_held(connection, binding)
    assert found is not None, "its site was found, and none is ever deleted"
    return found


def _site_of(connection: Connection, binding: str) -> SiteId:
    site = bindings.site_of(connection, binding)
    if site is None:
        raise BindingUnknown(f"there is no binding {binding}; list them with metertree-provision bindings")
    return site


def _check_decision(stored: StoredBinding, shown: Review, to: BindingState, reason: str) -> None:
    """Raise DecisionRefused where the step or its reason does not do."""
    allowed = {
        BindingState.APPROVED: (BindingState.PENDING, BindingState.REFUSED),
        BindingState.REFUSED: (BindingState.PENDING, BindingState.HELD, BindingState.APPROVED),
    }[to]
    if stored.state not in allowed:
        mend = f"it is held: {stored.held_because}" if stored.state is BindingState.HELD else "look at the newest one"
        raise DecisionRefused(f"binding {stored.act.binding} is {stored.state} and cannot become {to}: {mend}")
    if to is BindingState.REFUSED and not reason:
        raise DecisionRefused(f"say why binding {stored.act.binding} is refused: the engineer goes by it")
    if to is BindingState.APPROVED and shown.needs_reason and not reason:
        told = [one.told.en for one in shown.differences] + [one.told.en for one in shown.findings]
        raise DecisionRefused(f"say why binding {stored.act.binding} is approved all the same: {'; '.join(told[:3])}")


def _record_event(connection: Connection, event: InstallationEvent, octets: bytes, taken: Taken, now: datetime) -> None:
    who = Caller(f"gateway/{event.gateway}", "", event.device)
    after = {"kind": str(event.body.kind), "state": taken.state, "done_by": event.by, "done_at": event.at.isoformat()}
    after["digest"] = event_digest(octets).hex()
    touches = (f"gateway/{event.gateway}", f"site/{event.site}")
    subject = f"event/{event.id}"
    record(connection, who.act(now, Verb.EVENT_TAKEN, subject, after=after, reason=taken.reason, touches=touches))


def _touches(stored: StoredBinding) -> tuple[str, ...]:
    act = stored.act
    found = (f"site/{act.site}", f"gateway/{stored.gateway}", f"node/{act.site}/{act.node}")
    return (*found, f"meter/{act.site}/{act.meter}") if act.meter is not None else found
