"""The web application: every route, every error a problem document, every answer counted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from fastapi import FastAPI, Request, Response

from ingest.access.policy_file import shipped_policy
from ingest.alerts import Alerting
from ingest.api import problems
from ingest.api.admission import Admission, visitor
from ingest.api.alerts import AlertRoutes
from ingest.api.allocations import AllocationRoutes
from ingest.api.billing_lists import BillingLists
from ingest.api.certificates import CertificateRoutes
from ingest.api.charges import ChargeRoutes
from ingest.api.contract import describe
from ingest.api.desk import DeskRoutes
from ingest.api.disputes import DisputeRoutes
from ingest.api.door import Door, House, Routes
from ingest.api.envelopes import EnvelopeRoutes
from ingest.api.events import EventRoutes
from ingest.api.gateways import GatewayRoutes
from ingest.api.headers import SecurityHeaders
from ingest.api.health import health_router
from ingest.api.idempotency import Idempotency
from ingest.api.installation import InstallationRoutes
from ingest.api.metrics import Metrics
from ingest.api.oauth import OAuthRoutes
from ingest.api.posting import PostingRoutes
from ingest.api.preview import PreviewRoutes
from ingest.api.problem_routes import problem_routes
from ingest.api.rate_limit import RateLimit
from ingest.api.readings import ReadingRoutes
from ingest.api.representation import Representation
from ingest.api.revocations import RevocationRoutes
from ingest.api.runs import RunRoutes
from ingest.api.series import SeriesRoutes
from ingest.api.statements import StatementRoutes
from ingest.api.verify_page import verify_page_router
from ingest.api.viewing import Viewing
from ingest.api.webhooks import WebhookRoutes
from ingest.caller import STRANGER, acting
from ingest.certificates_desk import Centre, CertificateDesk
from ingest.closing import Closing
from ingest.console.about_runs import run_pages
from ingest.console.account_pages import AccountPages
from ingest.console.audit_pages import AuditPages
from ingest.console.client_pages import ClientPages
from ingest.console.composer_page import ComposerPages
from ingest.console.dispute_pages import DisputePages
from ingest.console.draft_pages import DraftPages
from ingest.console.endpoint_pages import EndpointPages
from ingest.console.error_pages import ErrorPages
from ingest.console.fleet_pages import FleetPages
from ingest.console.guard import FormGuard
from ingest.console.inbox_pages import InboxPages
from ingest.console.operator_pages import OperatorPages
from ingest.console.pages import Console
from ingest.console.part_pages import PartPages
from ingest.console.rules_pages import RulesPages
from ingest.console.series_page import SeriesPages
from ingest.console.settings_parts import settings_router
from ingest.console.sign_in_pages import OPEN_FORMS, SessionResolver, SignInPages, refusal
from ingest.console.site_pages import SitePages
from ingest.console.tenant_pages import TenantPages
from ingest.console.visit import ConsoleParts
from ingest.envelope_door import EnvelopeDoor
from ingest.fleet_desk import FleetDesk
from ingest.installation_desk import InstallationDesk, Terms
from ingest.log_lines import put_ids
from ingest.preview_desk import PreviewDesk
from ingest.quarantine_desk import QuarantineDesk
from ingest.readiness import Check
from ingest.reading_desk import ReadingDesk
from ingest.rulebook.desk import RuleDesk
from ingest.sign_in_desk import SignInDesk
from ingest.statement_desk import StatementDesk
from ingest.store.database import Database
from ingest.store.intake_store import PostgresIntakeStore
from ingest.webhooks.desk import EndpointDesk
from ingest.webhooks.guard import Guard
from ingest.webhooks.signing import SecretBox
from metering.clock import Clock
from provisioning.authority_folder import CentreAuthority
from provisioning.photo_reading.reader import installed_reader

REQUEST_HEADER = "Metertree-Request"
"""The number of the call, as it stands in the log."""


@dataclass(frozen=True, slots=True)
class WebParts:
    """What the web application is built from. `centre_key` is the raw public key of this centre.

    alerting   what gateways are judged by on pages; the alerts themselves come from the jobs
    authority  what gateways get certificates from; None: they get none
    terms      what vouchers say of this centre
    guard         where webhooks may go
    open_reads    who calls from this machine and shows nothing may read; for listeners on a loopback address only
    map_tiles     address of a tile server for maps, with {z}, {x} and {y}; empty: none is asked
    check_fields  an answer with a field that the policy does not name is an error; the programs leave the field out
    calls_per_second  how many one client, operator or address may make in the long run; 0: any number
    """

    database: Database
    closing: Closing
    clock: Clock
    centre_key: bytes
    admin_token: str = field(repr=False)
    checks: Mapping[str, Check]
    metrics: Metrics
    on_commit: Callable[[], None] = lambda: None
    alerting: Alerting = field(default_factory=Alerting)
    authority: CentreAuthority | None = None
    terms: Terms = field(default_factory=Terms)
    guard: Guard = field(default_factory=Guard)
    open_reads: bool = True
    map_tiles: str = ""
    check_fields: bool = True
    calls_per_second: int = 0

    @property
    def installation(self) -> InstallationDesk:
        """Where installations come in; without other word, its vouchers name the roots of the authority."""
        roots = () if self.authority is None else self.authority.roots
        return InstallationDesk(
            self.database,
            self.clock,
            self.closing.signer,
            self.centre_key,
            self.closing.settlement.catalogue,
            replace(self.terms, roots=self.terms.roots or roots),
            self.certificates.issue,
        )

    @property
    def endpoints(self) -> EndpointDesk:
        """Where endpoints of webhooks are kept; their secrets are sealed under a key made of the salt key."""
        return EndpointDesk(self.database, SecretBox(self.closing.salt_key), self.guard, self.clock)

    @property
    def certificates(self) -> CertificateDesk:
        """Where gateways get certificates."""
        centre = Centre(self.closing.signer, self.centre_key, self.authority)
        return CertificateDesk(self.database, self.clock, centre)


def create_app(parts: WebParts) -> FastAPI:
    """Build the web application. It has no interactive pages: those would load scripts from elsewhere."""
    app = FastAPI(title="Metertree", version="1", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    problems.install(app)
    sign_ins = SignInDesk(parts.database, parts.clock)
    # Further ways to know who asks are added here, each a Resolver.
    ways = (SessionResolver(sign_ins, Viewing(parts.database, parts.clock)),)
    admin = Admission(parts.admin_token, parts.database, clock=parts.clock, open_reads=parts.open_reads, resolvers=ways)
    routes = Routes(shipped_policy())
    # What stands outermost is added last.
    app.add_middleware(Idempotency, database=parts.database)
    app.add_middleware(FormGuard, open_forms=OPEN_FORMS, refusal=refusal)
    limit = RateLimit(parts.clock, parts.calls_per_second) if parts.calls_per_second else None
    app.add_middleware(Door, house=House(routes.policy, routes, admin, parts.database, parts.check_fields, limit))
    app.add_middleware(ErrorPages)
    app.add_middleware(Representation)
    app.middleware("http")(_counting(parts.metrics))
    app.add_middleware(SecurityHeaders)
    app.include_router(health_router(parts.checks, parts.metrics))
    app.include_router(verify_page_router((parts.centre_key,)))
    app.include_router(OAuthRoutes(parts.database, parts.clock).router())
    app.include_router(RunRoutes(parts.database, parts.closing, parts.metrics).router(admin))
    app.include_router(DeskRoutes(parts.closing.desk).router(admin))
    previews = PreviewDesk(parts.database, parts.closing.desk.catalogue)
    app.include_router(PreviewRoutes(previews).router(admin))
    app.include_router(StatementRoutes(parts.database, parts.closing.settlement.catalogue).router())
    app.include_router(AllocationRoutes(parts.database).router())
    app.include_router(ChargeRoutes(parts.database, parts.clock).router(admin))
    app.include_router(BillingLists(parts.database).router())
    app.include_router(problem_routes())
    app.include_router(EventRoutes(parts.database).router())
    app.include_router(WebhookRoutes(parts.endpoints).router(admin))
    app.include_router(PostingRoutes(parts.database, parts.closing.signer).router())
    fleet = FleetDesk(parts.database, parts.clock, parts.alerting.thresholds, parts.alerting.certificates)
    app.include_router(GatewayRoutes(fleet).router())
    app.include_router(InstallationRoutes(parts.installation, parts.clock).router(admin))
    app.include_router(RevocationRoutes(parts.database, parts.clock).router(admin))
    app.include_router(CertificateRoutes(parts.certificates).router())
    app.include_router(AlertRoutes(parts.database, parts.clock).router(admin))
    app.include_router(_envelope_routes(parts).router(admin))
    app.include_router(ReadingRoutes(_reading_desk(parts)).router(admin))
    app.include_router(SeriesRoutes(parts.database, parts.closing.settlement.catalogue).router())
    statements = StatementDesk(parts.database, parts.clock, parts.closing.salt_key)
    app.include_router(DisputeRoutes(statements).router(admin))
    app.state.console = ConsoleParts(parts.database, may_open=routes.lets_open)
    _add_pages(app, parts, Desks(sign_ins, previews, fleet, statements))
    routes.learn(app)
    contract = cache(lambda: describe(app, routes.policy))
    app.openapi = contract  # type: ignore[method-assign]
    return app


@dataclass(frozen=True, slots=True)
class Desks:
    """What API and console share."""

    sign_ins: SignInDesk
    previews: PreviewDesk
    fleet: FleetDesk
    statements: StatementDesk


def _add_pages(app: FastAPI, parts: WebParts, desks: Desks) -> None:
    """Add the pages of the console."""
    app.include_router(run_pages(parts.database, parts.closing, parts.clock, desks.previews))
    app.include_router(SignInPages(desks.sign_ins).router())
    app.include_router(AccountPages(desks.sign_ins).router())
    for pages in (OperatorPages(desks.sign_ins), ClientPages(parts.database, parts.clock), AuditPages(parts.database)):
        app.include_router(pages.router())
    app.include_router(EndpointPages(parts.endpoints).router())
    app.include_router(settings_router())
    app.include_router(Console(parts.database).router())
    app.include_router(FleetPages(parts.database, desks.fleet).router())
    app.include_router(SitePages(parts.database, parts.map_tiles).router())
    inbox = InboxPages(parts.database, parts.clock, parts.installation, _reading_desk(parts), _quarantine_desk(parts))
    app.include_router(inbox.router())
    app.state.console.counts["inbox"] = inbox.count
    app.include_router(SeriesPages(parts.database, parts.closing.settlement.catalogue).router())
    rulebook = RuleDesk(parts.database, parts.closing.desk, desks.previews, parts.clock)
    app.include_router(ComposerPages(rulebook, parts.clock).router())
    app.include_router(RulesPages(rulebook, parts.clock).router())
    app.include_router(DraftPages(rulebook).router())
    app.include_router(PartPages(rulebook).router())
    catalogue = parts.closing.settlement.catalogue
    app.include_router(TenantPages(desks.statements, catalogue, (parts.centre_key,), parts.clock).router())
    app.include_router(DisputePages(desks.statements).router())


def _envelope_routes(parts: WebParts) -> EnvelopeRoutes:
    signer, clock = parts.closing.signer, parts.clock
    door = EnvelopeDoor(
        store=PostgresIntakeStore(parts.database),
        signer=signer,
        clock=clock,
        profiles=_profiles(parts),
        on_commit=parts.on_commit,
    )
    return EnvelopeRoutes(door, _quarantine_desk(parts))


def _quarantine_desk(parts: WebParts) -> QuarantineDesk:
    return QuarantineDesk(parts.database, parts.closing.signer, parts.clock, _profiles(parts))


def _profiles(parts: WebParts) -> Sequence[bytes]:
    return [profile.hash for profile in parts.closing.settlement.catalogue.profiles]


def _reading_desk(parts: WebParts) -> ReadingDesk:
    return ReadingDesk(
        parts.database,
        parts.closing.signer,
        parts.centre_key,
        parts.clock,
        parts.closing.settlement.catalogue,
        reader=installed_reader,
        on_counted=parts.on_commit,
    )


def _counting(
    metrics: Metrics,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        # Ours, whatever the caller sends: he could write another's calls into the log.
        number, begun_s = secrets.token_hex(8), time.perf_counter()
        put_ids(request=number)
        # Until somebody is admitted: what a stranger brings about is recorded with where he called from.
        with acting(visitor(request, STRANGER)):
            response = await answer(request)
        route = getattr(request.scope.get("route"), "path", "none")
        # The pattern, not the path: paths are without number, and a metric per path would fill the memory.
        metrics.requests.labels(route, response.status_code).inc()
        metrics.answer_seconds.labels(route).observe(time.perf_counter() - begun_s)
        response.headers[REQUEST_HEADER] = number
        return response

    return count
