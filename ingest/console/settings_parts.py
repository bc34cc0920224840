"""What the pages of the settings have in common, and their first page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.console.settings_words import settings_words
from ingest.console.visit import Visit, visit_of
from ingest.console.words import words

PARTS = (
    ("operators", "people", "/settings/operators"),
    ("clients", "key", "/settings/clients"),
    ("webhooks", "webhook", "/settings/webhooks"),
    ("audit", "log", "/settings/audit"),
    ("account", "user", "/account"),
)
"""Name, picture and first page of each part."""


class Settings:
    """Makes pages of the settings for a visit."""

    def __init__(self, visit: Visit, more: Mapping[str, str] | None = None) -> None:
        self._visit = visit
        self.word: Mapping[str, str] = {**words(visit.language), **settings_words(visit.language), **(more or {})}

    def page(self, template: str, status: HTTPStatus = HTTPStatus.OK, **content: Any) -> HTMLResponse:
        """Render a page."""
        sites = [(site, name, "") for site, name in self._visit.sites]
        parts = {"zone": self._visit.calendar.zone, "site_choices": sites, **content}
        answer = self._visit.page(template, status, section="settings", word=self.word, **parts)
        answer.headers["Cache-Control"] = "no-store"
        return answer


def settings_router() -> APIRouter:
    """Give the route of the first page."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/settings", _first, methods=["GET"], response_class=HTMLResponse)
    return router


def _first(request: Request) -> Response:
    """Show the parts that this reader may open."""
    visit = visit_of(request)
    shown = [(name, icon, href) for name, icon, href in PARTS if visit.may_open(href)]
    return Settings(visit).page("settings.html", parts=shown)


def once_page(
    visit: Visit, title: str, secret: str, onward: str, crumb: str, crumb_href: str, note: str = ""
) -> Response:
    """Show a secret the one time it is shown."""
    return Settings(visit).page(
        "secret_once.html", title=title, secret=secret, onward=onward, crumb=crumb, crumb_href=crumb_href, note=note
    )


def role_choices(visit: Visit, roles: Sequence[str]) -> list[tuple[str, str, str]]:
    """Give roles to choose from: name, word, what it is for."""
    word = Settings(visit).word
    return [(role, word[f"role-{role}"], word[f"role-{role}-note"]) for role in roles]


def sites_told(visit: Visit, sites: Sequence[str] | None) -> str:
    """Say at which sites."""
    return Settings(visit).word["all-sites"] if sites is None else ", ".join(map(visit.site_name, sites))
