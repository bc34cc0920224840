"""The page of who is signed in: his password, his second step, and where else he is signed in."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import segno
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from ingest.api.admission import READS
from ingest.api.problems import Problem
from ingest.caller import Caller
from ingest.console.forms import FormRead
from ingest.console.rendering import local_time
from ingest.console.sign_in_words import sign_in_words
from ingest.console.visit import Visit, visit_of
from ingest.passwords import HashingBusy, PasswordWeak, is_password, new_secret, require_good, step_of
from ingest.sign_in_desk import SignInDesk
from ingest.store.database import Connection
from ingest.store.sessions import Device, end_from_elsewhere, end_one, sessions_of
from ingest.store.sign_in_failures import Attempt, is_held, note_failure
from ingest.store.sign_ins import SignIn, drop_code, set_code, set_password, sign_in_of

ISSUER = "Metertree"
NEEDS_SECOND = frozenset({"administrator", "approver"})
"""Roles by which much can be done: their people are asked to set up the second step."""
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


class AccountPages:
    """The handlers, over one desk."""

    def __init__(self, desk: SignInDesk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/account", include_in_schema=False, dependencies=[Depends(_signed_in)])
        router.add_api_route("", self.account, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/password", self.change_password, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/code", self.code_page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/code", self.set_code, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/code/drop", self.drop_code, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/sessions/end-others", self.end_others, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/sessions/{session}/end", self.end, methods=["POST"], response_class=HTMLResponse)
        return router

    def account(self, request: Request) -> Response:
        """Show the account."""
        return self._account(visit_of(request))

    def change_password(self, request: Request, form: FormRead) -> Response:
        """Change the password."""
        visit = visit_of(request)
        word, new = sign_in_words(visit.language), form.raw("new-password")
        if (fault := self._password_fault(visit, form.raw("old-password"))) or new != form.raw("repeat"):
            faults = {"old-password": fault} if fault else {"repeat": word["repeat-fault"]}
            return self._account(visit, faults)
        try:
            require_good(new, visit.who)
        except PasswordWeak as weak:
            return self._account(visit, {"new-password": word[f"weak-{weak.reason}"]})
        with self._desk.database.transaction() as connection:
            kept = visit.request.state.session.session
            set_password(connection, visit.who, new, _caller(visit), self._desk.clock.now(), kept=kept)
        return visit.redirect("/account", told="password")

    def code_page(self, request: Request) -> Response:
        """Show the picture by which a phone learns the secret of one-time codes."""
        return self._code_page(visit_of(request), new_secret())

    def set_code(self, request: Request, form: FormRead) -> Response:
        """Set up one-time codes: the first of them, and the password, show that it is him and that it works."""
        visit, now = visit_of(request), self._desk.clock.now()
        word, secret = sign_in_words(visit.language), _secret_from(form.text("secret"))
        if secret is None:
            return visit.redirect("/account/code")
        if fault := self._password_fault(visit, form.raw("old-password")):
            return self._code_page(visit, secret, {"old-password": fault})
        step = step_of(secret, form.text("code"), now)
        if step is None:
            return self._code_page(visit, secret, {"code": f"{word['wrong-code']} {word['wrong-code-mend']}"})
        with self._desk.database.transaction() as connection:
            codes = set_code(connection, visit.who, secret, step, _caller(visit), now)
        return self._kept_nowhere(visit.page("account_recovery.html", word=word, codes=codes))

    def drop_code(self, request: Request, form: FormRead) -> Response:
        """Turn the second step off."""
        visit = visit_of(request)
        if fault := self._password_fault(visit, form.raw("drop-password")):
            return self._account(visit, {"drop-password": fault})
        with self._desk.database.transaction() as connection:
            drop_code(connection, visit.who, _caller(visit), self._desk.clock.now())
        return visit.redirect("/account", told="second-dropped")

    def end(self, request: Request, session: int) -> Response:
        """End one of his own sessions."""
        visit = visit_of(request)
        with self._desk.database.transaction() as connection:
            end_one(connection, session, _caller(visit), self._desk.clock.now())
        return visit.redirect("/account", told="ended")

    def end_others(self, request: Request) -> Response:
        """End all of his sessions but this one."""
        visit = visit_of(request)
        with self._desk.database.transaction() as connection:
            kept = request.state.session.session
            end_from_elsewhere(connection, visit.who, _caller(visit), self._desk.clock.now(), but=kept)
        return visit.redirect("/account", told="ended")

    def _account(self, visit: Visit, faults: dict[str, str] | None = None) -> Response:
        session = getattr(visit.request.state, "session", None)
        word = sign_in_words(visit.language)
        if session is None:
            return visit.missing(word["not-a-person"])
        with self._desk.database.transaction() as connection:
            known = sign_in_of(connection, visit.who)
            devices = self._devices(connection, visit, session.session)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
        allowed = session.post.sites
        return self._kept_nowhere(
            visit.page(
                "account.html",
                status,
                word=word,
                known=_shown(known, visit),
                devices=devices,
                faults=defaultdict(str, faults or {}),
                asks_second=known is not None and known.code_secret is None and NEEDS_SECOND & visit.principal.roles,
                at_sites=None if allowed is None else [visit.site_name(one) for one in allowed],
                zone=visit.calendar.zone,
            )
        )

    def _devices(self, connection: Connection, visit: Visit, this: int) -> list[dict[str, Any]]:
        found = sessions_of(connection, visit.who, self._desk.clock.now())
        return [_device(one, visit) | {"is_this": one.session == this} for one in found]

    def _code_page(self, visit: Visit, secret: bytes, faults: dict[str, str] | None = None) -> Response:
        text = base64.b32encode(secret).decode()
        parts = {"secret": text, "issuer": ISSUER, "algorithm": "SHA1", "digits": 6, "period": 30}
        address = f"otpauth://totp/{quote(f'{ISSUER}:{visit.who}')}?{urlencode(parts)}"
        picture = io.BytesIO()
        segno.make(address, error="m").save(picture, kind="svg", scale=4, border=2, dark="#000", light="#fff")
        source = "data:image/svg+xml;base64," + base64.b64encode(picture.getvalue()).decode()
        status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
        spaced = " ".join(text[at : at + 4] for at in range(0, len(text), 4))
        content: dict[str, Any] = {
            "secret": text,
            "spaced": spaced,
            "picture": source,
            "faults": defaultdict(str, faults or {}),
        }
        return self._kept_nowhere(
            visit.page("account_code.html", status, word=sign_in_words(visit.language), **content)
        )

    def _password_fault(self, visit: Visit, password: str) -> str:
        """Say what is wrong with the password of today; empty where it is right. Guessing is counted here too."""
        word, now, attempt = (
            sign_in_words(visit.language),
            self._desk.clock.now(),
            Attempt(visit.who, _caller(visit).where),
        )
        with self._desk.database.transaction() as connection:
            known = sign_in_of(connection, visit.who)
            if is_held(connection, attempt, now):
                return word["held"]
        try:
            if is_password(password, None if known is None else known.password_hash):
                return ""
        except HashingBusy:
            return word["held"]
        with self._desk.database.transaction() as connection:
            note_failure(connection, attempt, now)
        return word["old-password-fault"]

    @staticmethod
    def _kept_nowhere(answer: Response) -> Response:
        answer.headers["Cache-Control"] = "no-store"
        return answer


def device_words(agent: str) -> str:
    """Say on what somebody works, of what his browser says of itself."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return " · ".join(part for part in (browser, system) if part) or agent[:40] or "–"


async def _signed_in(request: Request) -> None:
    """Refuse acts of programs: a token stands for its operator, but his password and sessions are his own."""
    if request.method not in READS and getattr(request.state, "session", None) is None:
        raise Problem(HTTPStatus.FORBIDDEN, "this takes somebody who is signed in, not a token", "sign in: /sign-in")


def _caller(visit: Visit) -> Caller:
    caller: Caller = visit.principal.caller
    return caller


def _device(one: Device, visit: Visit) -> dict[str, Any]:
    word = sign_in_words(visit.language)
    return {
        "session": one.session,
        "device": device_words(one.device),
        "is_phone": any(mark in one.device for mark in ("Mobile", "Android", "iPhone")),
        "address": one.address,
        "started": word["signed-in-at"].format(at=local_time(one.started_at, visit.calendar)),
        "seen": word["seen-at"].format(at=local_time(one.seen_at, visit.calendar)),
    }


def _shown(known: SignIn | None, visit: Visit) -> dict[str, Any]:
    since = None if known is None else known.code_since
    return {
        "password_at": "–" if known is None else local_time(known.password_at, visit.calendar),
        "code_since": "" if since is None else local_time(since, visit.calendar),
        "recovery_left": 0 if known is None else len(known.recovery_hashes),
    }


def _secret_from(text: str) -> bytes | None:
    try:
        secret = base64.b32decode(text)
    except ValueError:
        return None
    return secret if len(secret) == 20 else None
