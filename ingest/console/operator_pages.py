"""The pages of people: who may come in, in which roles, at which sites, and how they get in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.access.principal import ADMINISTRATOR
from ingest.caller import Caller
from ingest.console.forms import Form, FormRead
from ingest.console.rendering import local_time
from ingest.console.settings_parts import Settings, once_page, role_choices, sites_told
from ingest.console.tables import Table, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.sign_in_desk import SignInDesk
from ingest.store.operators import (
    Operator,
    OperatorRefused,
    Post,
    add_operator,
    change_operator,
    operators,
    remove_operator,
    renew_operator,
)
from ingest.store.sessions import end_from_elsewhere, sessions_of, view_as
from ingest.store.sign_ins import SetUp, drop_code, make_link, set_ups
from metering.errors import MeteringError

ROLES = ("administrator", "energy-manager", "approver", "field-engineer", "finance", "leasing", "auditor")
"""Of persons, in the order in which they are offered."""
PATH = "/settings/operators"


class OperatorPages:
    """The handlers, over one store."""

    def __init__(self, desk: SignInDesk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(PATH, self.list, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH + ".csv", self.csv, methods=["GET"])
        router.add_api_route(PATH + "/new", self.new, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH, self.add, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route(PATH + "/{name}", self.one, methods=["GET"], response_class=HTMLResponse)
        acts: dict[str, Callable[..., Response]] = {
            "roles": self.roles,
            "link": self.link,
            "token": self.token,
            "code": self.code,
            "sessions": self.sessions,
            "remove": self.remove,
        }
        for act, handler in acts.items():
            router.add_api_route(f"{PATH}/{{name}}/{act}", handler, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/settings/view-as", self.view_as, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/view-as/end", self.end_view, methods=["POST"], response_class=HTMLResponse)
        return router

    def list(self, request: Request) -> Response:
        """List people, those in force first."""
        visit = visit_of(request)
        rows = [_row(one, known, visit) for one, known in self._all()]
        roles = [one[:2] for one in role_choices(visit, ROLES[1:])]
        return Settings(visit).page("operators.html", rows=rows, view_roles=roles)

    def csv(self, request: Request) -> Response:
        """Give the list for spreadsheets."""
        visit = visit_of(request)
        return visit.csv(_table([_row(one, known, visit) for one, known in self._all()], visit), "operators.csv")

    def new(self, request: Request) -> Response:
        """Ask who is to be added."""
        return self._new(visit_of(request), Form({}))

    def add(self, request: Request, form: FormRead) -> Response:
        """Add a person, and show the link by which he chooses a password."""
        visit, now = visit_of(request), self._desk.clock.now()
        try:
            post = Post(form.texts("role"), form.texts("site") or None)
            with self._desk.database.transaction() as connection:
                # The token is for programs he may run; he asks for one when he has some.
                add_operator(connection, form.text("name"), _caller(visit), now, post)
                link = make_link(connection, form.text("name"), _caller(visit), now)
        except MeteringError as error:
            return self._new(visit, form, str(error))
        return self._link_page(visit, form.text("name"), link)

    def one(self, request: Request, name: str) -> Response:
        """Show one person."""
        return self._one(visit_of(request), name)

    def roles(self, request: Request, name: str, form: FormRead) -> Response:
        """Give a person other roles or sites."""
        visit = visit_of(request)
        word = Settings(visit).word
        if name == visit.who and ADMINISTRATOR not in form.texts("role"):
            return self._one(visit, name, word["yourself"])
        try:
            post = Post(form.texts("role"), form.texts("site") or None)
            with self._desk.database.transaction() as connection:
                change_operator(connection, name, post, _caller(visit), self._desk.clock.now(), form.text("reason"))
        except MeteringError as error:
            return self._one(visit, name, str(error))
        return visit.redirect(f"{PATH}/{name}", told="saved")

    def link(self, request: Request, name: str) -> Response:
        """Make a link by which a person chooses a password."""
        visit = visit_of(request)
        try:
            with self._desk.database.transaction() as connection:
                link = make_link(connection, name, _caller(visit), self._desk.clock.now())
        except OperatorRefused as error:
            return self._one(visit, name, str(error))
        return self._link_page(visit, name, link)

    def token(self, request: Request, name: str) -> Response:
        """Give a person a new token for programs. Whoever was removed is not brought back by the way."""
        visit = visit_of(request)
        try:
            with self._desk.database.transaction() as connection:
                _require_in_force(operators(connection), name)
                token = renew_operator(connection, name, _caller(visit), self._desk.clock.now())
        except OperatorRefused as error:
            return self._one(visit, name, str(error))
        word = Settings(visit).word
        return once_page(visit, word["token-for"].format(name=name), token, f"{PATH}/{name}", word["operators"], PATH)

    def code(self, request: Request, name: str, form: FormRead) -> Response:
        """Turn off the second step of a person who lost his phone."""
        visit = visit_of(request)
        with self._desk.database.transaction() as connection:
            drop_code(connection, name, _caller(visit), self._desk.clock.now(), form.text("reason"))
        return visit.redirect(f"{PATH}/{name}", told="saved")

    def sessions(self, request: Request, name: str) -> Response:
        """End all sessions of a person."""
        visit = visit_of(request)
        with self._desk.database.transaction() as connection:
            end_from_elsewhere(connection, name, _caller(visit), self._desk.clock.now(), but=_session(visit))
        return visit.redirect(f"{PATH}/{name}", told="ended")

    def remove(self, request: Request, name: str, form: FormRead) -> Response:
        """Let a person come in no more."""
        visit = visit_of(request)
        if name == visit.who:
            return self._one(visit, name, Settings(visit).word["yourself"])
        try:
            with self._desk.database.transaction() as connection:
                now = self._desk.clock.now()
                end_from_elsewhere(connection, name, _caller(visit), now)
                remove_operator(connection, name, _caller(visit), now, form.text("reason"))
        except OperatorRefused as error:
            return self._one(visit, name, str(error))
        return visit.redirect(PATH, told="removed")

    def view_as(self, request: Request, form: FormRead) -> Response:
        """Look through the eyes of a role from now on."""
        visit, session = visit_of(request), _session(visit_of(request))
        if session is not None and form.text("role") in ROLES[1:]:
            with self._desk.database.transaction() as connection:
                view_as(connection, session, form.text("role"))
        return visit.redirect("/")

    def end_view(self, request: Request) -> Response:
        """Look through his own eyes again."""
        visit, session = visit_of(request), _session(visit_of(request))
        if session is not None:
            with self._desk.database.transaction() as connection:
                view_as(connection, session, None)
        return visit.redirect("/settings")

    def _all(self) -> Sequence[tuple[Operator, SetUp | None]]:
        with self._desk.database.transaction() as connection:
            found, known = operators(connection), set_ups(connection, self._desk.clock.now())
        in_order = sorted(found, key=lambda one: (one.removed_at is not None, one.name))
        return [(one, known.get(one.name)) for one in in_order]

    def _new(self, visit: Visit, form: Form, fault: str = "") -> Response:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
        return Settings(visit).page(
            "operator_new.html",
            status,
            typed=form.text("name"),
            choices=role_choices(visit, ROLES),
            chosen=form.texts("role"),
            chosen_sites=form.texts("site"),
            fault=fault,
        )

    def _one(self, visit: Visit, name: str, fault: str = "") -> Response:
        with self._desk.database.transaction() as connection:
            found = next((one for one in operators(connection) if one.name == name), None)
            known = set_ups(connection, self._desk.clock.now()).get(name)
            count = len(sessions_of(connection, name, self._desk.clock.now()))
        if found is None:
            return visit.missing()
        return Settings(visit).page(
            "operator.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            row=_row(found, known, visit),
            choices=role_choices(visit, ROLES),
            chosen=found.roles,
            chosen_sites=found.sites or (),
            sessions=count,
            has_code=known is not None and known.code_since is not None,
            is_self=name == visit.who,
            fault=fault,
        )

    def _link_page(self, visit: Visit, name: str, token: str) -> Response:
        word = Settings(visit).word
        address = f"{visit.request.url.scheme}://{visit.request.url.netloc}/welcome/{token}"
        title = word["link-for"].format(name=name)
        return once_page(visit, title, address, f"{PATH}/{name}", word["operators"], PATH, word["make-link-note"])


def _require_in_force(found: Sequence[Operator], name: str) -> None:
    if not any(one.name == name and one.removed_at is None for one in found):
        raise OperatorRefused(f"operator {name} is not in force")


def _caller(visit: Visit) -> Caller:
    caller: Caller = visit.principal.caller
    return caller


def _session(visit: Visit) -> int | None:
    found = getattr(visit.request.state, "session", None)
    return None if found is None else int(found.session)


def _row(one: Operator, known: SetUp | None, visit: Visit) -> dict[str, Any]:
    """Give what a page shows of a person."""
    word = Settings(visit).word
    states: list[tuple[str, str]] = []
    if one.removed_at is not None:
        states.append(("plain", word["removed-at"].format(at=local_time(one.removed_at, visit.calendar))))
    elif known is not None:
        if known.password_at is not None:
            states.append(("good", word["active"]))
            states.append(("good", word["second"]) if known.code_since else ("warn", word["no-second"]))
        elif known.link_until is None:
            states.append(("warn", word["never"]))
        if known.link_until is not None:
            states.append(("info", word["link-open"].format(at=local_time(known.link_until, visit.calendar))))
    return {
        "name": one.name,
        "is_removed": one.removed_at is not None,
        "roles": [word[f"role-{role}"] for role in one.roles],
        "sites": sites_told(visit, one.sites),
        "states": states,
        "since": local_time(one.added_at, visit.calendar),
        "by": word["by"].format(name=one.added_by),
    }


def _table(rows: Sequence[dict[str, Any]], visit: Visit) -> Table:
    word = Settings(visit).word
    columns = [word[name] for name in ("name", "roles", "sites", "state", "since")]
    cells = (
        [
            words_cell(row["name"]),
            words_cell(", ".join(row["roles"])),
            words_cell(row["sites"]),
            words_cell(", ".join(text for _, text in row["states"])),
            words_cell(row["since"]),
        ]
        for row in rows
    )
    return table("operators", word["operators"], columns, cells)
