"""The pages by which somebody comes in and goes out: name and password, second step, a link's first password."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.access.principal import Kind, Principal, site_scope
from ingest.api.admission import visitor
from ingest.api.viewing import Viewing
from ingest.caller import STRANGER
from ingest.console.forms import FormRead
from ingest.console.sign_in_words import sign_in_words
from ingest.console.visit import SESSION, VISIT, Visit, set_cookie, visit_of
from ingest.passwords import PasswordWeak
from ingest.sign_in_desk import Answer, Outcome, SignInDesk
from ingest.store.sessions import session_of

HELD_S = 15 * 60
OPEN_FORMS = frozenset({"/sign-in", "/sign-in/code", "/sign-out", "/welcome/{token}", "/view-as/end"})
"""Forms that anybody may send; the guard takes the token of his visit for them."""
_NAME_MAX = 200


@dataclass(frozen=True, slots=True)
class SessionResolver:
    """Finds out who asks by the cookie of a session; beside the tokens of programs (admission.py)."""

    desk: SignInDesk
    viewing: Viewing

    def __call__(self, request: Request) -> Principal | None:
        """Give the operator whose session it is; None without one. The session lies on `request.state.session`."""
        token = request.cookies.get(SESSION)
        if not token:
            return None
        with self.desk.database.transaction() as connection:
            found = session_of(connection, token, self.desk.clock.now())
        if found is None or found.awaits_code:
            return None
        request.state.session = found
        caller = visitor(request, found.operator, in_person=True)
        roles, sites = frozenset(found.post.roles), site_scope(found.post.sites)
        who = Principal(found.operator, roles, sites, Kind.OPERATOR, caller)
        return who if found.viewing_as is None else self.viewing.through(who, found.viewing_as)


class SignInPages:
    """The handlers, over one desk."""

    def __init__(self, desk: SignInDesk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/sign-in", self.page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/sign-in", self.sign_in, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/sign-in/code", self.code_page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/sign-in/code", self.show_code, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/sign-out", self.sign_out, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/welcome/{token}", self.welcome, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/welcome/{token}", self.choose, methods=["POST"], response_class=HTMLResponse)
        return router

    def page(self, request: Request) -> Response:
        """Ask for name and password."""
        return _page(visit_of(request), "sign_in.html", next=local_path(request.query_params.get("next", "")))

    def sign_in(self, request: Request, form: FormRead) -> Response:
        """Look at name and password."""
        name, onward = form.text("name")[:_NAME_MAX], local_path(form.text("next"))
        answer = self._desk.sign_in(name, form.raw("password"), visitor(request, STRANGER))
        if answer.token:
            return _onward(request, answer, onward)
        return _page(visit_of(request), "sign_in.html", _status(answer), next=onward, name=name, fault=answer.outcome)

    def code_page(self, request: Request) -> Response:
        """Ask for the second factor."""
        return _page(visit_of(request), "sign_in_code.html", next=local_path(request.query_params.get("next", "")))

    def show_code(self, request: Request, form: FormRead) -> Response:
        """Look at the second factor."""
        visit, onward = visit_of(request), local_path(form.text("next"))
        token = request.cookies.get(SESSION, "")
        answer = self._desk.show_code(token, form.text("code"), visitor(request, STRANGER))
        if answer.outcome is Outcome.IN:
            return _onward(request, answer, onward)
        if answer.outcome is Outcome.OVER:
            return _page(visit, "sign_in.html", HTTPStatus.UNAUTHORIZED, next=onward, fault=answer.outcome)
        return _page(visit, "sign_in_code.html", _status(answer), next=onward, fault=answer.outcome)

    def sign_out(self, request: Request) -> Response:
        """End the session."""
        self._desk.sign_out(request.cookies.get(SESSION, ""))
        answer = visit_of(request).redirect("/sign-in", told="out")
        answer.delete_cookie(SESSION, path="/")
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    def welcome(self, request: Request, token: str) -> Response:
        """Ask who comes by a link for his password; looking uses nothing up."""
        visit, operator = visit_of(request), self._desk.operator_of_link(token)
        if operator is None:
            return _page(visit, "sign_in_over.html", HTTPStatus.NOT_FOUND)
        return _page(visit, "welcome.html", name=operator)

    def choose(self, request: Request, token: str, form: FormRead) -> Response:
        """Choose a password by a link."""
        visit, operator = visit_of(request), self._desk.operator_of_link(token)
        if operator is None:
            return _page(visit, "sign_in_over.html", HTTPStatus.NOT_FOUND)
        word, password = sign_in_words(visit.language), form.raw("password")
        faults = {} if password == form.raw("repeat") else {"repeat": word["repeat-fault"]}
        if not faults:
            try:
                answer = self._desk.choose_password(token, password, visitor(request, STRANGER))
            except PasswordWeak as weak:
                faults = {"password": word[f"weak-{weak.reason}"]}
            else:
                if not answer.token:
                    return _page(visit, "sign_in_over.html", HTTPStatus.NOT_FOUND)
                return _onward(request, answer, "/account")
        return _page(visit, "welcome.html", HTTPStatus.UNPROCESSABLE_ENTITY, name=operator, faults=faults)


def refusal(request: Request) -> Response:
    """Give the page that says that a form was not taken."""
    return _page(visit_of(request), "sign_in_refused.html", HTTPStatus.FORBIDDEN)


def local_path(path: str) -> str:
    """Give a path of this service to go on to; the first page where `path` leads anywhere else."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_local else "/"


def _onward(request: Request, answer: Answer, onward: str) -> Response:
    """Keep the session and go on."""
    visit = visit_of(request)
    if answer.outcome is Outcome.CODE:
        found = visit.redirect("/sign-in/code" + (f"?{urlencode({'next': onward})}" if onward != "/" else ""))
    else:
        found = visit.redirect("/account" if answer.recovery_left is not None else onward, _told(answer))
        found.delete_cookie(VISIT, path="/")
    set_cookie(request, found, SESSION, answer.token, None)
    return found


def _told(answer: Answer) -> str:
    return "" if answer.recovery_left is None else "recovery"


def _status(answer: Answer) -> HTTPStatus:
    return HTTPStatus.TOO_MANY_REQUESTS if answer.outcome is Outcome.HELD else HTTPStatus.UNAUTHORIZED


def _page(visit: Visit, template: str, status: HTTPStatus = HTTPStatus.OK, **content: object) -> Response:
    parts: dict[str, Any] = {"name": "", "fault": "", "faults": {}, **content}
    answer = visit.open_forms().page(template, status, word=sign_in_words(visit.language), **parts)
    answer.headers["Cache-Control"] = "no-store"
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        answer.headers["Retry-After"] = str(HELD_S)
    return answer
