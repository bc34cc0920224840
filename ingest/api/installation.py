"""`/v1/install-orders`, `/v1/enrolments`, `/v1/installation-*`, `/v1/bindings`, `/v1/history`: gateways, their meters.

A bundle, an event and a package prove themselves by signature and claim and need no token. Orders take the admin token
or an operator's; approving and refusing take a named operator who is not the engineer.
"""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import IO, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ingest.api.admission import Admission, Admitted, visitor
from ingest.api.claim_gate import ClaimGate
from ingest.api.problems import Problem, not_found
from ingest.binding_review import Review
from ingest.caller import Caller
from ingest.installation_books import Taken
from ingest.installation_desk import BindingUnknown, InstallationDesk, Ordered, Presented, Terms
from ingest.store.bindings import BindingState, StoredBinding
from ingest.store.installation_events import StoredEvent
from metering.clock import Clock
from metering.identity import GatewayId, SiteId, check_identifier
from provisioning.document import from_document, to_document
from provisioning.enrolment import BUNDLE_OCTETS_MAX, Enrolled, Refused
from provisioning.installation_events import EVENT_OCTETS_MAX
from provisioning.order_file import ExpectedMeter
from provisioning.package import PACKAGE_OCTETS_MAX
from provisioning.site import NotInSite

_REFUSED = {"claim-unknown": HTTPStatus.FORBIDDEN, "gateway-mismatch": HTTPStatus.FORBIDDEN}
IN_MEMORY = 1 << 20
"""A package that is larger goes through a temporary file."""


class OrderRequest(BaseModel):
    """Asks for an install order: leave for one gateway to enrol once until `expires_at`, and its papers.

    expected   meters beside or instead of those of the site: {meter, node, unit, serial, profile, ct, pt, place}
    centre_url, broker   what the voucher says, where the service does not know how it is reached
    """

    model_config = ConfigDict(extra="forbid")

    site: str
    gateway: str
    engineer: str = Field(min_length=1, max_length=200)
    expires_at: AwareDatetime
    expected: list[dict[str, Any]] = Field(default_factory=list, max_length=10_000)
    centre_url: str | None = Field(None, max_length=200)
    broker: str | None = Field(None, max_length=200)


class DecisionRequest(BaseModel):
    """Says why; needed to refuse, and to approve what has a finding."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=500)


class InstallationRoutes:
    """The handlers, over one desk."""

    def __init__(self, desk: InstallationDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards orders, decisions and what they rest on."""
        router = APIRouter(prefix="/v1", tags=["installation"])
        guard, gate = [Depends(admin)], [Depends(ClaimGate(self._clock))]
        add = router.add_api_route
        add("/install-orders", self.order, methods=["POST"], dependencies=guard, status_code=201)
        add("/install-orders", self.orders, methods=["GET"], dependencies=guard)
        add("/enrolments", self.enrol, methods=["POST"], dependencies=gate, status_code=201)
        add("/installation-events", self.event, methods=["POST"])
        add("/installation-events/retry", self.retry, methods=["POST"], dependencies=guard)
        add("/installation-packages", self.package, methods=["POST"], dependencies=gate)
        add("/bindings", self.bindings, methods=["GET"], dependencies=guard)
        add("/bindings/{binding}/approve", self.approve, methods=["POST"], dependencies=guard)
        add("/bindings/{binding}/refuse", self.refuse, methods=["POST"], dependencies=guard)
        add("/history", self.history, methods=["GET"], dependencies=guard)
        return router

    def order(self, request: OrderRequest, response: Response, caller: Admitted, http: Request) -> dict[str, Any]:
        """Open an install order. Its claim is in this answer and nowhere else; voucher and order file are base64."""
        if request.expires_at <= self._clock.now():
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "expires_at has passed already", "give a later instant")
        site, gateway = SiteId(check_identifier(request.site)), GatewayId(check_identifier(request.gateway))
        try:
            made = self._desk.order(
                caller,
                site=site,
                gateway=gateway,
                engineer=request.engineer,
                expires_at=request.expires_at,
                expected=_expected(request.expected),
                terms=Terms(request.centre_url or str(http.base_url).rstrip("/"), request.broker),
            )
        except NotInSite as error:
            what = f"gateway {gateway} in site {site}"
            raise not_found(what, "add it to gateways.toml and import the site again") from error
        response.headers["Cache-Control"] = "no-store"
        return _order_document(made)

    def orders(self, site: str | None = None, gateway: str | None = None) -> dict[str, Any]:
        """List install orders, the newest first; their claims are known to nobody here."""
        now = self._clock.now()
        return {
            "orders": [
                {
                    "order": one.order,
                    "site": one.site,
                    "gateway": one.gateway,
                    "engineer": one.engineer,
                    "ordered_at": one.ordered_at.isoformat(),
                    "expires_at": one.expires_at.isoformat(),
                    "state": "used" if one.burned_at else "lapsed" if one.expires_at <= now else "open",
                    "used_at": None if one.burned_at is None else one.burned_at.isoformat(),
                }
                for one in self._desk.orders(site, gateway)
            ]
        }

    async def enrol(self, request: Request, response: Response) -> dict[str, Any]:
        """Take a signed enrolment bundle; 201 when its key was registered now, 200 when the same bundle was before."""
        octets = await _body(request, BUNDLE_OCTETS_MAX, "a bundle")
        made = await run_in_threadpool(self._desk.enrol, octets, _visitors(request))
        document = self._presented(made)
        is_repeat = isinstance(made.outcome, Enrolled) and made.outcome.again
        response.status_code = HTTPStatus.OK if is_repeat else HTTPStatus.CREATED
        return document

    async def event(self, request: Request) -> dict[str, Any]:
        """Take one sealed installation event of an enrolled gateway; the same one again changes nothing."""
        octets = await _body(request, EVENT_OCTETS_MAX, "an event")
        (taken,) = await run_in_threadpool(self._desk.take_events, [octets], _visitors(request))
        return _taken(taken)

    async def package(self, request: Request) -> dict[str, Any]:
        """Take a package from a telephone or a stick: bundle, events, photos; the grant is in the answer."""
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as stream:
            octets = 0
            async for chunk in request.stream():
                octets += len(chunk)
                if octets > PACKAGE_OCTETS_MAX:
                    detail = f"a package has at most {PACKAGE_OCTETS_MAX} octets"
                    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, "send it in parts")
                stream.write(chunk)
            stream.seek(0)
            return await run_in_threadpool(self._take_package, stream, _visitors(request))

    def retry(self, site: str) -> dict[str, Any]:
        """Try the held events of a site again, once its files were mended and imported."""
        return {"site": site, "applied": self._desk.retry(SiteId(check_identifier(site)))}

    def bindings(
        self,
        site: str | None = None,
        state: BindingState | None = None,
        meter: str | None = None,
    ) -> dict[str, Any]:
        """List bindings by when they begin, each beside what was expected."""
        found = self._desk.bindings(site=site, state=None if state is None else str(state), meter=meter)
        return {"bindings": [binding_document(*one) for one in found]}

    def approve(self, binding: str, request: DecisionRequest, caller: Admitted) -> dict[str, Any]:
        """Let a binding count for money; takes a named operator who is not the engineer."""
        return self._decided(self._desk.approve, binding, request, caller)

    def refuse(self, binding: str, request: DecisionRequest, caller: Admitted) -> dict[str, Any]:
        """Say that a binding is wrong; what rests on it stays provisional until it is corrected."""
        return self._decided(self._desk.refuse, binding, request, caller)

    def history(
        self, site: str | None = None, gateway: str | None = None, meter: str | None = None, node: str | None = None
    ) -> dict[str, Any]:
        """Tell what was done at a site, gateway, meter or node, and who decided what about it; the oldest first."""
        if not any((site, gateway, meter, node)):
            detail = "the history of what?"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "give site, gateway, meter or node")
        found = self._desk.history(site=site, gateway=gateway, meter=meter, node=node)
        decided = {one.act.binding: one for one in found.bindings}
        return {
            "events": [_event_document(one, decided.get(one.event.id)) for one in found.events],
            "acts": [
                {"at": one.at.isoformat(), "who": one.who, "verb": one.verb, "subject": one.subject, **one.told}
                for one in found.acts
            ],
            "serials": [
                {
                    "at": one.read_at.isoformat(),
                    "gateway": one.gateway,
                    "meter": one.meter,
                    "serial": one.serial,
                    "state": one.state,
                }
                for one in found.serials
            ],
            "suspicions": [one.to_document() for one in found.suspicions],
        }

    def _take_package(self, stream: IO[bytes], visitors: Callable[[str], Caller]) -> dict[str, Any]:
        made = self._desk.take_package(stream, visitors)
        presented = {} if made.presented is None else {"enrolment": self._presented(made.presented)}
        photos = [{"photo": digest.hex(), "kept": not reason, "reason": reason} for digest, reason in made.photos]
        return {**presented, "events": [_taken(one) for one in made.events], "photos": photos}

    def _presented(self, made: Presented) -> dict[str, Any]:
        """Tell what became of a bundle; raises Problem if it was refused."""
        outcome, bundle = made.outcome, made.bundle
        if isinstance(outcome, Refused):
            status = _REFUSED.get(outcome.reason, HTTPStatus.CONFLICT)
            raise Problem(status, f"the enrolment is refused: {outcome.reason}", outcome.mend, reason=outcome.reason)
        granted = {} if made.grant is None else {"grant": b64encode(made.grant).decode()}
        events = {} if bundle.survey is None else {"events": [_taken(one) for one in made.events]}
        return {
            "gateway": bundle.gateway,
            "epoch": bundle.epoch,
            "key_id": bundle.key_id.hex(),
            "centre_public_key": self._desk.public_key.hex(),
            **granted,
            **events,
        }

    def _decided(
        self, decide: Callable[[str, str, Caller], tuple[StoredBinding, Review]], binding: str,
        request: DecisionRequest, caller: Caller,
    ) -> dict[str, Any]:  # fmt: skip
        try:
            return binding_document(*decide(binding, request.reason, caller))
        except BindingUnknown as error:
            raise not_found(f"binding {binding}", "list them: GET /v1/bindings?site=...") from error


def binding_document(stored: StoredBinding, shown: Review) -> dict[str, Any]:
    """Give a binding with what its approver goes by."""
    act, event = stored.act, stored.event
    return {
        "binding": act.binding,
        "site": act.site,
        "gateway": stored.gateway,
        "kind": str(act.kind),
        "meter": act.meter,
        "serial": act.serial,
        "node": act.node,
        "unit": act.unit,
        "begins_at": act.begins_at.isoformat(),
        "ends_at": None if stored.ends_at is None else stored.ends_at.isoformat(),
        "state": str(stored.state),
        "done_by": act.done_by,
        "done_at": event.at.isoformat(),
        "received_at": stored.received_at.isoformat(),
        "decided_by": stored.decided_by,
        "decided_at": None if stored.decided_at is None else stored.decided_at.isoformat(),
        "decision": stored.decision,
        "held_because": stored.held_because,
        "expected": None if shown.expected is None else to_document(shown.expected),
        "differences": [
            {"code": one.code, "severity": str(one.severity), "expected": one.expected, "found": one.found}
            | {"zh": one.told.zh, "en": one.told.en}
            for one in shown.differences
        ],
        "findings": [to_document(one) for one in shown.findings],
        "needs_reason": shown.needs_reason,
        "event": to_document(event.body),
    }


def _event_document(stored: StoredEvent, binding: StoredBinding | None) -> dict[str, Any]:
    event = stored.event
    return {
        "event": event.id,
        "site": event.site,
        "gateway": event.gateway,
        "kind": str(event.body.kind),
        "done_at": event.at.isoformat(),
        "done_by": event.by,
        "device": event.device,
        "received_at": stored.received_at.isoformat(),
        "state": stored.state,
        "reason": stored.reason,
        "site_version": stored.site_version,
        "binding": None if binding is None else str(binding.state),
        "decided_by": None if binding is None else binding.decided_by,
        "decision": "" if binding is None else binding.decision,
        "body": to_document(event.body),
    }


def _order_document(made: Ordered) -> dict[str, Any]:
    order = made.order
    return {
        "order": order.order,
        "site": order.site,
        "gateway": order.gateway,
        "claim": made.claim.text,
        "expires_at": order.expires_at.isoformat(),
        "fingerprint": made.fingerprint,
        "voucher": b64encode(made.voucher).decode(),
        "order_file": b64encode(made.order_file).decode(),
    }


def _taken(one: Taken) -> dict[str, Any]:
    return {"event": one.event, "kind": str(one.kind), "state": one.state, "reason": one.reason, "again": one.again}


def _expected(documents: Iterable[dict[str, Any]]) -> tuple[ExpectedMeter, ...]:
    return tuple(from_document(ExpectedMeter, one, ("expected", place)) for place, one in enumerate(documents))


def _visitors(request: Request) -> Callable[[str], Caller]:
    """Give who calls, once his name is proven by his signature."""
    return lambda name: visitor(request, name)


async def _body(request: Request, octets_max: int, what: str) -> bytes:
    """Read the body, no further than it can reach."""
    octets = bytearray()
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > octets_max:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{what} has at most {octets_max} octets")
    return bytes(octets)
