"""The page of the audit log: who did what to what and when, why, and what was before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.audit_log import Entry
from ingest.audit_words import VERBS, verb_word
from ingest.console.settings_parts import Settings
from ingest.console.tables import Cell, Table, number_cell, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.store.audit import Asked, asked_entries
from ingest.store.database import Database
from ingest.store.operators import operators

PAGE = 50
CSV_MAX = 20_000
"""Rows of a file; longer logs are written out whole by `metertree audit export`."""
PATH = "/settings/audit"
TEXT_MAX = 300


@dataclass(frozen=True, slots=True)
class Filter:
    """What was typed into the filter; empty: any."""

    who: str = ""
    verb: str = ""
    subject: str = ""
    first: str = ""
    last: str = ""

    @classmethod
    def of(cls, request: Request) -> Filter:
        """Read it from the address."""
        names = ("who", "verb", "subject", "from", "until")
        return cls(*(request.query_params.get(name, "").strip()[:200] for name in names))

    @property
    def is_narrow(self) -> bool:
        """Say whether anything is asked for."""
        return any((self.who, self.verb, self.subject, self.first, self.last))

    def href(self, path: str = PATH, **more: Any) -> str:
        """Give the address of this filter."""
        parts = {"who": self.who, "verb": self.verb, "subject": self.subject, "from": self.first, "until": self.last}
        return f"{path}?{urlencode({name: text for name, text in {**parts, **more}.items() if text})}"

    def asked(self, visit: Visit) -> Asked:
        """Give it for the store; days are those of the site at hand, both ends included."""
        first, last = _day(self.first), _day(self.last)
        start = None if first is None else visit.calendar.midnight(first)
        end = None if last is None else visit.calendar.midnight(last + timedelta(days=1))
        return Asked(self.who or None, self.verb or None, self.subject or None, start, end)


class AuditPages:
    """The handlers, over one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(PATH, self.page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH + ".csv", self.csv, methods=["GET"])
        return router

    def page(self, request: Request) -> Response:
        """Show what is asked for, the newest first."""
        visit, asked = visit_of(request), Filter.of(request)
        text = request.query_params.get("before", "")
        before = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None
        with self._database.transaction() as connection:
            found = asked_entries(connection, asked.asked(visit), before=before, most=PAGE + 1)
            people = [one.name for one in operators(connection)]
        more = len(found) > PAGE
        word = Settings(visit).word
        verbs = sorted(((str(verb), verb_word(verb, visit.language)) for verb in VERBS), key=lambda one: one[1])
        return Settings(visit).page(
            "audit.html",
            asked=asked,
            rows=[_row(one, visit) for one in found[:PAGE]],
            people=["admin", *people],
            verbs=[("", word["any"]), *verbs],
            csv=asked.href(PATH + ".csv"),
            csv_max=f"{CSV_MAX:,}",
            newest=asked.href() if before is not None else "",
            older=asked.href(before=found[PAGE - 1].number) if more else "",
        )

    def csv(self, request: Request) -> Response:
        """Give what is asked for, for spreadsheets; instants in UTC."""
        visit, asked = visit_of(request), Filter.of(request)
        with self._database.transaction() as connection:
            found = asked_entries(connection, asked.asked(visit), most=CSV_MAX)
        return visit.csv(_table(found, visit), "audit.csv")


def changed_parts(told: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Give what an act changed: its name, what was before, what is since; what stayed is left out."""
    before, after = told.get("before") or {}, told.get("after") or {}
    for name in sorted({*before, *after}):
        was, came = _text(before.get(name)), _text(after.get(name))
        if was != came:
            yield name, was, came


def _text(part: Any) -> str:
    if part is None or part == "":
        return ""
    text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "…"


def _row(one: Entry, visit: Visit) -> dict[str, Any]:
    told = one.told
    return {
        "number": one.number,
        "at": visit.calendar.local(one.at).strftime("%Y-%m-%d %H:%M:%S"),
        "who": one.who,
        "verb": verb_word(one.verb, visit.language),
        "subject": one.subject if len(one.subject) <= 60 else one.subject[:60] + "…",
        "href": Filter(subject=one.subject).href(),
        "reason": told.get("reason", ""),
        "parts": list(changed_parts(told)),
        "place": " · ".join(part for part in (told.get("where"), told.get("device")) if part),
        "is_withdrawn": not told,
    }


def _table(found: tuple[Entry, ...], visit: Visit) -> Table:
    word = Settings(visit).word
    names = ("number", "at", "who", "what", "subject", "reason", "where", "before", "after")
    return table("audit", word["audit"], [word[name] for name in names], (_cells(one) for one in found))


def _cells(one: Entry) -> list[Cell]:
    told = one.told
    place = " · ".join(part for part in (told.get("where"), told.get("device")) if part)
    sides = (json.dumps(told[side], ensure_ascii=False) if told.get(side) else "" for side in ("before", "after"))
    at = f"{one.at:%Y-%m-%dT%H:%M:%SZ}"
    texts = (at, one.who, one.verb, one.subject, told.get("reason", ""), place, *sides)
    return [number_cell(one.number, 0), *map(words_cell, texts)]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
