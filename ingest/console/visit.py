"""One reader on one page: the language, the colours and the site he chose, who he is, and the page he gets.

    visit = visit_of(request)
    return visit.page("rules.html", section="rules", word=rules_words(visit.language), rules=rules)

What a reader chose by `?lang=`, `?theme=` or `?site=` is kept in a cookie each; none says who he is.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ingest.console.answers import HERE, csv_file, security, templates
from ingest.console.tables import Table
from ingest.console.words import Language, choose_language, words
from ingest.store.database import Connection, Database
from ingest.store.fleet import SiteFace, site_faces
from metering.identity import SiteId
from metering.interval import SiteCalendar

SESSION, VISIT = "metertree-session", "metertree-visit"
"""Cookies: of who is signed in, and of whoever is about to."""
LANGUAGE, THEME, SITE = "metertree-language", "metertree-theme", "metertree-site"
CHOSEN_S = 365 * 86400
"""How long a browser keeps what its reader chose."""
THEMES = ("light", "dark")
TOLD = "told"
"""Query parameter that names, by its key, the word to be shown after something was done."""


@dataclass(frozen=True, slots=True)
class Way:
    """One entry of the navigation; a page is marked by its `section`."""

    section: str
    href: str
    icon: str
    text: str
    count: int = 0
    starts_group: bool = False


_WAYS = (
    ("runs", "/runs", False),
    ("sites", "/sites", False),
    ("inbox", "/inbox", False),
    ("rules", "/rules", False),
    ("statements", "/statements", False),
    ("disputes", "/disputes", False),
    ("gateways", "/fleet", True),
    ("alerts", "/alerts", False),
    ("settings", "/settings", True),
)
"""Section, its first page, whether a group begins. Those that this service has no route for are left out."""


@dataclass(slots=True)
class ConsoleParts:
    """What every page needs of the service; lies on `app.state.console`.

    counts    per section, how much waits there for this reader
    may_open  whether there is a page at a path, and who asks may open it
    """

    database: Database | None = None
    counts: dict[str, Callable[[Connection, Request], int]] = field(default_factory=dict)
    may_open: Callable[[Request, str], bool] = lambda _request, _path: False


class Visit:
    """One reader on one page."""

    def __init__(self, request: Request) -> None:
        self.request = request
        query, cookies = request.query_params, request.cookies
        asked = query.get("lang") or cookies.get(LANGUAGE)
        self.language: Language = choose_language(asked, request.headers.get("Accept-Language"))
        theme = query.get("theme") or cookies.get(THEME, "")
        self.theme: str = theme if theme in THEMES else ""
        self.section = ""
        self._visit = ""

    # Who

    @property
    def principal(self) -> Any:
        """Who reads, as admission found him; None where nobody looked."""
        return getattr(self.request.state, "principal", None)

    @property
    def who(self) -> str:
        """Name of the person who is signed in; empty for everybody else."""
        principal = self.principal
        return str(principal.name) if principal is not None and principal.kind == "operator" else ""

    @property
    def role_words(self) -> str:
        """The roles of who is signed in, in words."""
        known = words(self.language)
        return "、".join(known.get(f"role-{one}", one) for one in sorted(self.principal.roles)) or known["role-none"]

    @property
    def viewing_as(self) -> str:
        """Through whose eyes the reader looks; empty for his own."""
        return getattr(self.principal, "viewing_as", None) or ""

    @property
    def form_token(self) -> str:
        """What every form of this session carries; of a visit where nobody is signed in; else empty."""
        secret = self.request.cookies.get(SESSION) or self._visit or self.request.cookies.get(VISIT, "")
        return form_token(secret) if secret else ""

    @property
    def may_sign_in(self) -> bool:
        """Say whether there is a page to sign in at."""
        return self.may_open("/sign-in")

    @property
    def sign_in_href(self) -> str:
        """Where to sign in, to come back here."""
        return f"/sign-in?{urlencode({'next': self.request.url.path})}"

    # Where

    @cached_property
    def _faces(self) -> Mapping[SiteId, SiteFace]:
        parts = _parts(self.request.app)
        if parts.database is None:
            return {}
        allowed = getattr(self.principal, "sites", None)
        with parts.database.transaction() as connection:
            faces = site_faces(connection)
        return {site: face for site, face in faces.items() if allowed is None or site in allowed}

    @cached_property
    def sites(self) -> Sequence[tuple[SiteId, str]]:
        """The sites this reader may choose, with their names."""
        named = [(site, face.names.of(self.language)) for site, face in self._faces.items()]
        return sorted(named, key=lambda one: one[1])

    @property
    def site(self) -> SiteId | None:
        """The site that was chosen; None for all of them."""
        query = self.request.query_params
        wanted = SiteId(query["site"] if "site" in query else self.request.cookies.get(SITE, ""))
        if wanted in self._faces:
            return wanted
        return next(iter(self._faces)) if len(self._faces) == 1 else None

    @property
    def one_site(self) -> SiteId | None:
        """The site that was chosen, else the first; None where there is none."""
        return self.site or (self.sites[0][0] if self.sites else None)

    @property
    def calendar(self) -> SiteCalendar:
        """In which zone to tell instants that are of no site: that of the site at hand."""
        site = self.one_site
        return SiteCalendar("UTC") if site is None else self._faces[site].calendar

    def site_name(self, site: str | None) -> str:
        """Give the name of a site; its id where it is not known, nothing for none."""
        face = None if site is None else self._faces.get(SiteId(site))
        return str(site or "") if face is None else face.names.of(self.language)

    def site_href(self, site: str) -> str:
        """Give the address that chooses a site: the first page of this section."""
        start = next((href for section, href, _ in _WAYS if section == self.section), self.request.url.path)
        return f"{start}?{urlencode({'site': site})}"

    def here(self, **changes: str) -> str:
        """Give the address of this page with other query parameters; relative, so that it works behind any path."""
        kept = [(name, text) for name, text in self.request.query_params.multi_items() if name not in changes]
        kept = [(name, text) for name, text in kept if name != TOLD]
        return f"?{urlencode([*kept, *((name, text) for name, text in changes.items() if text)])}"

    @property
    def ways(self) -> list[Way]:
        """The navigation: what there is, what this reader may open, and how much waits there."""
        word = words(self.language)
        found = []
        for section, path, starts_group in _WAYS:
            href = path if self.may_open(path) else "/" if section == "runs" and self.may_open("/") else ""
            if href:
                text = word[f"nav-{section}"]
                found.append(Way(section, href, section, text, self._counts.get(section, 0), starts_group))
        return found

    def may_open(self, path: str) -> bool:
        """Say whether there is a page at `path` that this reader may open."""
        return _parts(self.request.app).may_open(self.request, path)

    @cached_property
    def _counts(self) -> Mapping[str, int]:
        parts = _parts(self.request.app)
        if parts.database is None or not parts.counts:
            return {}
        with parts.database.transaction() as connection:
            return {section: count(connection, self.request) for section, count in parts.counts.items()}

    # What

    def page(
        self,
        template: str,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        section: str = "",
        word: Mapping[str, str] | None = None,
        site: SiteId | None = None,
        **content: Any,
    ) -> HTMLResponse:
        """Render a page; `word` are its own words, `site` the one it is about (else the one that was chosen)."""
        self.section = section
        known = {**words(self.language), **(word or {})}
        shown = {
            "visit": self,
            "language": self.language,
            "section": section,
            "form_token": self.form_token,
            "site_name": self.site_name(site or self.site),
            "switch_href": self.here(lang=self.language.other),
            "refresh_s": None,
            "told": known.get(f"told-{self.request.query_params.get(TOLD, '')}", ""),
            **content,
            "word": known,
        }
        text = templates().get_template(template).render(shown)
        answer = HTMLResponse(text, status, headers=security(forms=HERE) | {"Content-Language": self.language.tag})
        self._keep_choices(answer)
        return answer

    def open_forms(self) -> Visit:
        """Let the page that follows have forms although nobody is signed in."""
        if not self.form_token:
            self._visit = secrets.token_urlsafe(24)
        return self

    def without_books(self) -> Visit:
        """Let the page that follows ask nothing of the database, which may be away."""
        self.__dict__ |= {"_faces": {}, "_counts": {}}
        return self

    def missing(self, problem: str = "") -> HTMLResponse:
        """Say that there is no such page."""
        return self.page("missing.html", HTTPStatus.NOT_FOUND, problem=problem)

    def csv(self, found: Table, file: str) -> Response:
        """Give a table as a file for spreadsheets."""
        return csv_file(found, file, self.language, forms=HERE)

    def redirect(self, path: str, told: str = "") -> RedirectResponse:
        """Lead to another page after something was done, and tell there what: the word `told-<told>` of that page."""
        mark = f"{'&' if '?' in path else '?'}{TOLD}={quote(told)}" if told else ""
        return RedirectResponse(path + mark, HTTPStatus.SEE_OTHER)

    def _keep_choices(self, answer: Response) -> None:
        query = self.request.query_params
        chosen = {
            LANGUAGE: self.language.value if query.get("lang") == self.language.value else None,
            THEME: self.theme if "theme" in query else None,
            SITE: str(self.site or "") if "site" in query else None,
        }
        if self._visit:
            set_cookie(self.request, answer, VISIT, self._visit, None)
        for name, text in chosen.items():
            if text is not None:
                set_cookie(self.request, answer, name, text, CHOSEN_S)


def visit_of(request: Request) -> Visit:
    """Give the visit of a request; the same one however often it is asked for."""
    found = getattr(request.state, "visit", None)
    if not isinstance(found, Visit):
        found = request.state.visit = Visit(request)
    return found


def form_token(secret: str) -> str:
    """Give what forms of a session carry: a page elsewhere cannot know it, and the session cannot be had from it."""
    return hmac.new(secret.encode(), b"metertree form", "sha256").hexdigest()[:40]


def set_cookie(request: Request, answer: Response, name: str, text: str, age_s: int | None) -> None:
    """Set a cookie that no script reads and no other page sends; `age_s` None: until the browser is closed."""
    is_secure = request.url.scheme == "https"
    answer.set_cookie(name, text, max_age=age_s, path="/", secure=is_secure, httponly=True, samesite="lax")


def _parts(app: FastAPI) -> ConsoleParts:
    found = getattr(app.state, "console", None)
    return found if isinstance(found, ConsoleParts) else ConsoleParts()
