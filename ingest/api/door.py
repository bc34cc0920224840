"""The one door of the web application: who asks, whether he may, and what of the answer he sees.

Theory of operation. Before a handler runs, the door finds the route as the framework will, its row in the policy table,
and who asks (`request.state.principal`); it refuses with 401, 403, 404 or, for pages, a way to sign in. Nothing of the
body has been read by then. On its way out a JSON answer is seen through the field rules of its resource. What cannot be
masked (files, pages) is of one piece: whoever may not see all of it is refused before the handler runs. Refusals and
problems pass as they are, so a handler tells no hidden field in them.

Where a principal has some sites only, the row says how the site of a call is found; a row that does not say is for
those with all sites. What is of another site is answered like what does not exist.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.access.policy import Policy, PolicyIncomplete, RouteRule
from ingest.access.principal import Principal, stranger
from ingest.api.admission import READS, Admission, nobody, visitor
from ingest.api.problems import Problem, problem_response
from ingest.api.rate_limit import RateLimit
from ingest.caller import STRANGER
from ingest.store.database import Database
from ingest.store.subjects import site_of

JSON = "application/json"
PATHS_KEPT = 4096
BODY_OCTETS_MAX = 1 << 20
"""Longest body of which the site is looked for."""
SIGN_IN = "/sign-in"
_NAME_MAX = 200
UNRULED_TOLD = 20
LONG_OCTETS = 65_536
FAULT = HTTPStatus.INTERNAL_SERVER_ERROR
EMPTY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Routes:
    """The routes of an application in the order in which the framework tries them, each with its row."""

    policy: Policy
    _rules: list[tuple[re.Pattern[str], frozenset[str], dict[str, RouteRule]]] = field(default_factory=list)

    def learn(self, app: FastAPI) -> None:
        """Take over the routes of `app`; raises PolicyIncomplete unless each has a row."""
        missing = []
        for context in iter_route_contexts(app.router.routes):
            path, methods = context.path, context.methods
            if path is None or methods is None:
                missing.append(f"{path}: is no plain route")
                continue
            rules = {}
            for method in sorted(methods):
                key = f"{'GET' if method == 'HEAD' else method} {path}"
                found = self.policy.routes.get(key)
                if found is None:
                    missing.append(key)
                else:
                    rules[method] = found
            self._rules.append((compile_path(path)[0], frozenset(methods), rules))
        if missing:
            raise PolicyIncomplete(
                "these routes have no row in ingest/access/policy/*.toml, [routes]: " + ", ".join(missing)
            )

    def find(self, method: str, path: str) -> tuple[RouteRule, dict[str, str]] | None:
        """Give the row of a call and the parameters of its path; None where no route takes it."""
        for pattern, methods, rules in self._rules:
            found = pattern.match(path)
            if found is not None and method in methods:
                return rules[method], found.groupdict()
        return None

    def has(self, path: str) -> bool:
        """Say whether there is a page at `path`."""
        return self.find("GET", path) is not None

    def lets_open(self, request: Request, path: str) -> bool:
        """Say whether there is a page at `path` that who asks may open."""
        found = self.find("GET", path)
        if found is None:
            return False
        permission = found[0].permission
        return permission is None or self.policy.may(request.state.principal, permission)


@dataclass(frozen=True, slots=True)
class House:
    """What the door goes by. check_fields: an answer with a field that no rule names is an error (tests)."""

    policy: Policy
    routes: Routes
    admission: Admission
    database: Database
    check_fields: bool = False
    limit: RateLimit | None = None


class Door:
    """The middleware. It stands outside of every handler, so that none can be reached around it."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app = app
        self._house = house
        self._find = lru_cache(PATHS_KEPT)(house.routes.find)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or let it in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        found = self._find(scope["method"], scope["path"])
        try:
            if found is None:
                request.state.principal = stranger(visitor(request, STRANGER))
                await self._app(scope, receive, send)
                return
            rule, parameters = found
            request.state.rule = rule
            who = request.state.principal = await self._who(request, rule)
            self._count(request, rule, who)
            refused = self._refusal(request, rule, who)
            if refused is None:
                receive = await self._at_site(request, rule, who, parameters, receive)
        except Problem as problem:
            refused = problem_response(problem, scope["path"])
        if refused is not None:
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, _Sender(self._house, request, rule, who, send))

    async def _who(self, request: Request, rule: RouteRule) -> Principal:
        asks = self._house.admission.principal
        try:
            if "authorization" in request.headers or "cookie" in request.headers:
                return await run_in_threadpool(asks, request)
            return asks(request)
        except Problem:
            who = stranger(visitor(request, STRANGER))
            if rule.permission is None:
                return who
            # Who tries tokens is a stranger, and waits like one.
            self._count(request, rule, who)
            raise

    def _count(self, request: Request, rule: RouteRule, who: Principal) -> None:
        if self._house.limit is None or not rule.is_limited:
            return
        allowed = request.state.allowance = self._house.limit.take(request, who)
        if allowed.is_empty:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many calls came one after the other",
                f"try again in {allowed.wait_s} s, and slow down while `r` in the field RateLimit is small",
                reason="rate",
                headers=allowed.headers,
            )

    def _refusal(self, request: Request, rule: RouteRule, who: Principal) -> Response | None:
        """Say what keeps him out; None where nothing does."""
        policy = self._house.policy
        if rule.permission is None:
            return None
        if who.viewing_as is not None and request.method not in READS:
            raise Problem(HTTPStatus.FORBIDDEN, f"who looks as {who.viewing_as} changes nothing", "stop looking first")
        if not policy.may(who, rule.permission):
            if who.is_known:
                raise Problem(
                    HTTPStatus.FORBIDDEN,
                    f"this takes the permission {rule.permission}, and {who.name} does not have it",
                    "ask an administrator for a role that has it",
                    reason="permission",
                )
            if self._is_page(request) and self._house.routes.has(SIGN_IN):
                where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': where})}", HTTPStatus.SEE_OTHER)
            raise nobody(request.method)
        self._require_sight(request, rule, who)
        return None

    def _require_sight(self, request: Request, rule: RouteRule, who: Principal) -> None:
        policy, resource = self._house.policy, rule.resource
        if not resource or rule.masks != "door":
            return
        if policy.is_whole(resource) and not policy.sees_whole(who, resource):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"this holds what {who.name} may not see",
                "ask an administrator for a role that sees it",
                reason="sight",
            )
        asked = [path for name, path in rule.filters.items() if name in request.query_params]
        if rule.sorts:
            # All of them: which of several a handler takes is its own matter.
            given = ",".join(request.query_params.getlist("sort")).split(",")
            asked += [f"{rule.sorts}.{by.strip().lstrip('-+')}" for by in given if by.strip()]
        for path in asked:
            if not policy.sees(who, resource, path):
                raise Problem(
                    HTTPStatus.FORBIDDEN,
                    "the call chooses or sorts by what is hidden from who makes it",
                    "leave that out",
                    reason="sight",
                )

    def _is_page(self, request: Request) -> bool:
        return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")

    async def _at_site(
        self, request: Request, rule: RouteRule, who: Principal, parameters: dict[str, str], receive: Receive
    ) -> Receive:
        """Refuse what is not at one of his sites; gives what the handler shall read from."""
        if who.sites is None or rule.permission is None or rule.site == "none":
            return receive
        if rule.site == "rows":
            if not self._house.policy.has_site(rule.resource):
                raise PolicyIncomplete(f"{rule.key} leaves out rows by site, and {rule.resource} has no site")
            return receive
        kind, _, name = rule.site.partition(":")
        site: str | None = None
        match kind:
            case "path":
                site = parameters.get(name)
            case "query":
                site = request.query_params.get(name)
            case "body":
                octets = await _body(receive)
                site, receive = _named(octets, name), _again(octets, receive)
            case "all":
                pass
            case _:
                site = await run_in_threadpool(self._site_of, kind, parameters.get(name, ""))
        if site is not None and who.reaches(site):
            return receive
        if kind == "all" or (site is None and kind in ("query", "body")):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                f"this is for those who see all sites, and {who.name} sees {', '.join(sorted(who.sites)) or 'none'}",
                f"name one of the sites as {name}" if name else "ask about one of the sites",
                reason="site",
            )
        raise Problem(HTTPStatus.NOT_FOUND, "this does not exist at a site that is yours", "look at your sites' lists")

    def _site_of(self, kind: str, name: str) -> str | None:
        with self._house.database.transaction() as connection:
            return site_of(connection, kind, name[:_NAME_MAX])


class Sight(Enum):
    """What becomes of an answer: it passes, is looked through, or cannot be and must not pass."""

    PASS = "pass"
    LOOK = "look"
    BLIND = "blind"


class _Sender:
    """Sends an answer on, masked where that is needed."""

    def __init__(self, house: House, request: Request, rule: RouteRule, who: Principal, send: Send) -> None:
        self._house = house
        self._request = request
        self._rule = rule
        self._who = who
        self._send = send
        self._held: Message | None = None
        self._is_over = False
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Take one message of the application."""
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            taken = getattr(self._request.scope.get("route"), "path", self._rule.path)
            if taken != self._rule.path:
                await self._tell(FAULT, f"{taken} answered what was let in as {self._rule.key}")
                return
            self._add_headers(message)
            match self._sight(message):
                case Sight.LOOK:
                    self._held = message
                    return
                case Sight.BLIND:
                    # A mistake of ours, found before anything was told.
                    await self._tell(FAULT, f"{self._rule.key} answers what the door cannot mask, and nobody masked it")
                    return
        elif message["type"] == "http.response.body" and self._held is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_seen(self._held)
            return
        await self._send(message)

    def _add_headers(self, start: Message) -> None:
        told: dict[str, str] = {}
        if self._who.viewing_as is not None:
            told["Metertree-Viewing-As"] = self._who.viewing_as
        allowed = getattr(self._request.state, "allowance", None)
        if allowed is not None and self._request.url.path.startswith("/v1/"):
            told |= allowed.headers
        added = [(name.lower().encode(), text.encode()) for name, text in told.items()]
        start["headers"] = [*start["headers"], *added]

    def _sight(self, start: Message) -> Sight:
        house, rule, status = self._house, self._rule, start["status"]
        if not rule.resource or rule.masks != "door" or status >= HTTPStatus.BAD_REQUEST:
            return Sight.PASS
        if status in EMPTY or self._request.method == "HEAD" or getattr(self._request.state, "masked", False):
            return Sight.PASS
        is_plain = house.policy.is_plain(self._who, rule.resource)
        if _header(start, b"content-type").partition(";")[0].strip().lower() != JSON:
            return Sight.PASS if is_plain else Sight.BLIND
        is_checked = house.check_fields and not house.policy.is_whole(rule.resource)
        return Sight.LOOK if is_checked or not is_plain else Sight.PASS

    async def _tell(self, status: HTTPStatus, detail: str) -> None:
        self._is_over = True
        if status is FAULT:
            _log.error("door.fault detail=%s", detail)
        answer = problem_response(Problem(status, detail), self._request.url.path)
        await answer(self._request.scope, _nothing, self._send)

    async def _send_seen(self, start: Message) -> None:
        # A long answer would keep all others waiting.
        found = await run_in_threadpool(self._seen) if len(self._body) > LONG_OCTETS else self._seen()
        if isinstance(found, tuple):
            await self._tell(*found)
            return
        kept = [(key, text) for key, text in start["headers"] if key.lower() != b"content-length"]
        start["headers"] = [*kept, (b"content-length", str(len(found)).encode())]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": found})

    def _seen(self) -> bytes | tuple[HTTPStatus, str]:
        """Give what is left of an answer, or what there is to say in place of it."""
        document, policy, resource = json.loads(bytes(self._body)), self._house.policy, self._rule.resource
        if self._house.check_fields and (unruled := policy.without_rule(resource, document)):
            told = (
                f"{self._rule.key} answers fields that [fields.{resource}] in ingest/access/policy/*.toml does not name"
            )
            return FAULT, f"{told}: {', '.join(unruled[:UNRULED_TOLD])}"
        seen = policy.mask(self._who, resource, document)
        if seen is None and document is not None:
            return HTTPStatus.NOT_FOUND, "this does not exist at a site that is yours"
        # As the framework writes it: who sees everything gets the same octets with and without a look.
        return json.dumps(seen, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _header(start: Message, name: bytes) -> str:
    return next((text.decode("latin-1") for key, text in start["headers"] if key.lower() == name), "")


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def _body(receive: Receive) -> bytes:
    """Read a body in which a site is to be looked for."""
    octets = bytearray()
    while True:
        message = await receive()
        octets += message.get("body", b"")
        if len(octets) > BODY_OCTETS_MAX:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a call has at most {BODY_OCTETS_MAX} octets", "send less at once"
            )
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(octets)


def _again(octets: bytes, receive: Receive) -> Receive:
    """Let a body be read that was read already."""
    unread = [octets]

    async def read() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return read


def _named(octets: bytes, name: str) -> str | None:
    """Give the site that a JSON or form body names; None where it names none, or one in each way."""
    # Which of the two it is, the handler finds out; two of a name are told apart by nobody, so they name none.
    given = parse_qs(octets.decode("utf-8", "replace"), keep_blank_values=True).get(name, [])
    try:
        document = json.loads(octets)
    except ValueError:
        return given[0] if len(given) == 1 else None
    if given:
        return None
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, str) else None
