"""The pages of programs that use the API: their roles, sites and keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.caller import Caller
from ingest.console.forms import Form, FormRead
from ingest.console.rendering import local_time
from ingest.console.settings_parts import Settings, once_page, role_choices, sites_told
from ingest.console.tables import table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.store.clients import (
    CLIENT_ROLES,
    Client,
    ClientRefused,
    Key,
    add_client,
    clients,
    end_keys,
    keys,
    make_key,
    remove_client,
    rotate_key,
)
from ingest.store.database import Database
from metering.clock import Clock
from metering.errors import MeteringError

PATH = "/settings/clients"
USUAL_DAYS = 365
OVERLAPS_H = (0, 1, 24, 72, 168)
SOON = timedelta(days=30)
"""A key that ends within this time is marked."""


class DayUnreadable(ClientRefused):
    """What was typed for a day is none."""


class ClientPages:
    """The handlers, over one store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(PATH, self.list, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH + ".csv", self.csv, methods=["GET"])
        router.add_api_route(PATH + "/new", self.new, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH, self.add, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{name}", self.one, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{name}/keys", self.make_key, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{name}/rotate", self.rotate, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{name}/keys/{key}/end", self.end, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{name}/remove", self.remove, methods=["POST"], response_class=HTMLResponse)
        return router

    def list(self, request: Request) -> Response:
        """List programs, those in force first."""
        visit = visit_of(request)
        return Settings(visit).page("clients.html", rows=self._rows(visit))

    def csv(self, request: Request) -> Response:
        """Give the list for spreadsheets."""
        visit = visit_of(request)
        word = Settings(visit).word
        columns = [word[name] for name in ("name", "roles", "sites", "keys", "used", "since")]
        cells = (
            [
                words_cell(text)
                for text in (
                    row["name"],
                    ", ".join(row["roles"]),
                    row["sites"],
                    row["keys_told"],
                    row["used"],
                    row["since"],
                )
            ]
            for row in self._rows(visit)
        )
        return visit.csv(table("clients", word["clients"], columns, cells), "clients.csv")

    def new(self, request: Request) -> Response:
        """Ask what is to be added."""
        return self._new(visit_of(request), Form({"role": ("billing",)}))

    def add(self, request: Request, form: FormRead) -> Response:
        """Add a program and show its first key."""
        visit, now, name = visit_of(request), self._clock.now(), form.text("name")
        try:
            ends_at = _end_of(form.text("expires"), visit)
            with self._database.transaction() as connection:
                add_client(connection, name, form.texts("role"), form.texts("site") or None, _caller(visit), now)
                key = make_key(connection, name, _caller(visit), now, ends_at=ends_at)
        except MeteringError as error:
            return self._new(visit, form, str(error))
        return _key_page(visit, name, key)

    def one(self, request: Request, name: str) -> Response:
        """Show one program."""
        return self._one(visit_of(request), name)

    def make_key(self, request: Request, name: str, form: FormRead) -> Response:
        """Make one more key."""
        visit = visit_of(request)
        try:
            ends_at = _end_of(form.text("expires-on"), visit)
            with self._database.transaction() as connection:
                key = make_key(connection, name, _caller(visit), self._clock.now(), ends_at=ends_at)
        except ClientRefused as error:
            return self._one(visit, name, str(error))
        return _key_page(visit, name, key)

    def rotate(self, request: Request, name: str, form: FormRead) -> Response:
        """Give a new key in place of those before, which go on for the overlap."""
        visit, hours = visit_of(request), form.number("overlap")
        overlap = timedelta(hours=hours if hours in OVERLAPS_H else 24)
        try:
            ends_at = _end_of(form.text("expires"), visit)
            with self._database.transaction() as connection:
                key = rotate_key(connection, name, overlap, _caller(visit), self._clock.now(), ends_at)
        except ClientRefused as error:
            return self._one(visit, name, str(error))
        return _key_page(visit, name, key)

    def end(self, request: Request, name: str, key: str) -> Response:
        """End one key."""
        visit, now = visit_of(request), self._clock.now()
        try:
            with self._database.transaction() as connection:
                end_keys(connection, name, key, now, _caller(visit), now)
        except ClientRefused as error:
            return self._one(visit, name, str(error))
        return visit.redirect(f"{PATH}/{name}", told="ended")

    def remove(self, request: Request, name: str, form: FormRead) -> Response:
        """Let nothing of a program count any more."""
        visit = visit_of(request)
        try:
            with self._database.transaction() as connection:
                remove_client(connection, name, _caller(visit), self._clock.now(), form.text("reason"))
        except ClientRefused as error:
            return self._one(visit, name, str(error))
        return visit.redirect(PATH, told="removed")

    def _rows(self, visit: Visit) -> Sequence[dict[str, Any]]:
        with self._database.transaction() as connection:
            found, all_keys = clients(connection), keys(connection)
        in_order = sorted(found, key=lambda one: (one.removed_at is not None, one.name))
        return [self._row(one, [key for key in all_keys if key.client == one.name], visit) for one in in_order]

    def _row(self, one: Client, held: Sequence[Key], visit: Visit) -> dict[str, Any]:
        """Give what a page shows of a program."""
        word, now = Settings(visit).word, self._clock.now()
        count = sum(1 for key in held if key.counts(now))
        used = max((key.used_at for key in held if key.used_at is not None), default=None)
        ends_soon = any(key.counts(now) and key.ends_at is not None and key.ends_at < now + SOON for key in held)
        return {
            "name": one.name,
            "is_removed": one.removed_at is not None,
            "roles": [word[f"role-{role}"] for role in one.roles],
            "sites": sites_told(visit, one.sites),
            "keys_told": f"{count} {word['in-force']}",
            "keys_tone": "warn" if ends_soon or not count else "good",
            "used": word["unused"] if used is None else local_time(used, visit.calendar),
            "since": local_time(one.added_at, visit.calendar),
            "by": word["by"].format(name=one.added_by),
        }

    def _key(self, one: Key, visit: Visit) -> dict[str, Any]:
        """Give what a page shows of a key."""
        word, now, counts = Settings(visit).word, self._clock.now(), one.counts(self._clock.now())
        ends = word["no-end"] if one.ends_at is None else local_time(one.ends_at, visit.calendar)
        is_soon = one.ends_at is not None and one.ends_at < now + SOON
        return {
            "key": one.key,
            "counts": counts,
            "scopes": word["all-scopes"] if one.scopes is None else ", ".join(one.scopes),
            "ends": ends if counts else f"{word['ended']} {ends}",
            "tone": ("warn" if is_soon else "good") if counts else "plain",
            "used": word["unused"] if one.used_at is None else local_time(one.used_at, visit.calendar),
            "since": local_time(one.made_at, visit.calendar),
            "by": word["by"].format(name=one.made_by),
        }

    def _new(self, visit: Visit, form: Form, fault: str = "") -> Response:
        usual = f"{visit.calendar.local(self._clock.now()).date() + timedelta(days=USUAL_DAYS)}"
        return Settings(visit).page(
            "client_new.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            typed=form.text("name"),
            expires=form.text("expires") if fault else usual,
            choices=role_choices(visit, CLIENT_ROLES),
            chosen=form.texts("role"),
            chosen_sites=form.texts("site"),
            fault=fault,
        )

    def _one(self, visit: Visit, name: str, fault: str = "") -> Response:
        with self._database.transaction() as connection:
            found = next((one for one in clients(connection) if one.name == name), None)
            held = keys(connection, name)
        if found is None:
            return visit.missing()
        word = Settings(visit).word
        return Settings(visit).page(
            "client.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            row=self._row(found, held, visit),
            keys=[self._key(one, visit) for one in reversed(held)],
            has_key=any(one.counts(self._clock.now()) for one in held),
            overlaps=[(hours, word["hours"].format(count=hours)) for hours in OVERLAPS_H],
            expires=f"{visit.calendar.local(self._clock.now()).date() + timedelta(days=USUAL_DAYS)}",
            fault=fault,
        )


def _end_of(text: str, visit: Visit) -> datetime | None:
    """Give the end of the day that was typed, in the zone of the site at hand; None for no end."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise DayUnreadable(f"{text[:40]!r} is no day; write it like 2027-08-31") from error
    return visit.calendar.midnight(day + timedelta(days=1))


def _key_page(visit: Visit, name: str, key: str) -> Response:
    word = Settings(visit).word
    title = word["key-for"].format(name=name)
    return once_page(visit, title, key, f"{PATH}/{name}", word["clients"], PATH, word["key-use"])


def _caller(visit: Visit) -> Caller:
    caller: Caller = visit.principal.caller
    return caller
