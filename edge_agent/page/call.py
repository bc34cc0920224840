"""One call of a page: who is signed in, what he sent, and how to answer. The rules for all pages stand here, once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import bottle

from device_profiles.catalogue import Catalogue
from edge_agent.installation.desk import Desk
from edge_agent.installation.view import Who
from edge_agent.page.access import Door, Session, is_own_host
from edge_agent.page.jobs import Jobs
from edge_agent.page.words import Words, languages_of
from metering.clock import Clock
from metering.errors import MeteringError

log = logging.getLogger(__name__)

COOKIE = "metertree-page"
BODY_OCTETS_MAX = 16 << 20
"""A photo has at most 12 MiB, a form around it."""
DEVICE_LENGTH_MAX = 80
_SYSTEM = re.compile(r"\(([ -~]{1,60}?)\)")
"""What a browser says of its machine: `Linux; Android 16; Pixel 10`."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class FormWrong(MeteringError):
    """A form holds what cannot be meant; the text says which field."""


@dataclass(frozen=True, slots=True)
class House:
    """What all calls share.

    names       of this machine, by which it may be called besides figures
    is_secure   whether the page speaks TLS
    """

    desk: Desk
    catalogue: Catalogue
    clock: Clock
    door: Door
    jobs: Jobs
    names: frozenset[str]
    is_secure: bool
    render: Callable[..., str]


@dataclass(frozen=True, slots=True)
class Call:
    """One call by somebody who is signed in."""

    house: House
    session: Session
    words: Words

    @property
    def desk(self) -> Desk:
        """The desk."""
        return self.house.desk

    @property
    def who(self) -> Who:
        """Who acts, and with what: stands in what is signed."""
        system = _SYSTEM.search(bottle.request.get_header("User-Agent", ""))
        parts = ("page", bottle.request.remote_addr, "" if system is None else system[1])
        return Who(self.session.by, " ".join(part for part in parts if part)[:DEVICE_LENGTH_MAX].strip())

    @property
    def form(self) -> Mapping[str, str]:
        """The form's fields, as Unicode."""
        return bottle.request.forms.decode()  # type: ignore[no-any-return]

    def text(self, name: str) -> str | None:
        """Give a field without spaces around it; None where it is empty."""
        return self.form.get(name, "").strip() or None

    def number(self, name: str) -> int | None:
        """Give a whole number; None where the field is empty; raises FormWrong."""
        text = self.text(name)
        if text is None:
            return None
        if not (text.isascii() and text.removeprefix("-").isdecimal()):
            raise FormWrong(self.words("page.bad-number", text=text))
        return int(text)

    def file(self, name: str) -> bytes | None:
        """Give an uploaded file; None where none was chosen."""
        upload = bottle.request.files.get(name)
        octets: bytes = b"" if upload is None else upload.file.read()
        return octets or None

    def flash(self, text: str, tone: str = "bad") -> None:
        """Have something said on the next page."""
        self.session.kept["flash"] = (text, tone)

    def page(self, template: str, **parts: Any) -> str:
        """Render a page."""
        flash = self.session.kept.pop("flash", None)
        return self.house.render(template, call=self, w=self.words, flash=flash, state=self.desk.state(), **parts)

    def instant(self, at: datetime) -> str:
        """Write an instant in the time of the machine, as people read it."""
        return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


Handler = Callable[..., Any]


class Guard:
    """Wraps handlers: host, body, session, form token, errors and headers."""

    def __init__(self, house: House) -> None:
        self._house = house

    def open(self, handler: Handler) -> Handler:
        """For pages that need no session; the handler gets the words of the browser's language."""

        def answer(**parts: str) -> Any:
            self._arrive()
            return handler(Words(languages_of(bottle.request.get_header("Accept-Language", ""))), **parts)

        return answer

    def signed_in(self, handler: Handler) -> Handler:
        """For pages that show something."""

        def answer(**parts: str) -> Any:
            call = self._call()
            if call is None:
                return redirected("/sign-in")
            try:
                return handler(call, **parts)
            except MeteringError as error:
                call.flash(call.words.of(error))
                return redirected("/")

        return answer

    def act(self, handler: Handler) -> Handler:
        """For forms: the handler does one thing and says where to go on; what it refuses is told where it was sent."""

        def answer(**parts: str) -> Any:
            call = self._call()
            if call is None:
                return redirected("/sign-in")
            here = came_from()
            if not call.session.is_form_of(call.form.get("form", "")):
                call.flash(call.words("page.form-stale"))
                return redirected(here)
            with self._told(call):
                return redirected(handler(call, **parts) or here)
            return redirected(here)

        return answer

    @contextmanager
    def _told(self, call: Call) -> Iterator[None]:
        try:
            yield
        except MeteringError as error:
            call.flash(call.words.of(error))

    def _call(self) -> Call | None:
        self._arrive()
        session = self._house.door.session(bottle.request.get_cookie(COOKIE))
        return None if session is None else Call(self._house, session, Words(session.language))

    def _arrive(self) -> None:
        """Refuse what did not come for this machine, or is too much."""
        for name, content in HEADERS.items():
            bottle.response.set_header(name, content)
        if not is_own_host(bottle.request.get_header("Host", ""), self._house.names):
            raise refused_call(HTTPStatus.MISDIRECTED_REQUEST, "call this machine by its address in figures")
        if bottle.request.chunked:  # it would be kept on disk to its end, before anyone knew how long it is
            raise refused_call(HTTPStatus.LENGTH_REQUIRED, "say how long it is / 请说明长度")
        if bottle.request.content_length > BODY_OCTETS_MAX:
            most = BODY_OCTETS_MAX >> 20
            raise refused_call(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {most} MB are taken / 最多 {most} MB")


def refused_call(status: HTTPStatus, text: str) -> bottle.HTTPResponse:
    """Give the answer to a call that no page takes."""
    return bottle.HTTPResponse(text + "\n", status.value, {**HEADERS, "Content-Type": "text/plain; charset=utf-8"})


def redirected(path: str) -> bottle.HTTPResponse:
    """Send the browser on; only within this page."""
    return bottle.HTTPResponse("", HTTPStatus.SEE_OTHER.value, {**HEADERS, "Location": path})


def came_from() -> str:
    """Give the page a form was sent from; only its path, so that nobody is led away."""
    path = urlsplit(bottle.request.get_header("Referer", "")).path
    return path if path.startswith("/") and not path.startswith("//") else "/"


def sent(content: bytes, media: str, name: str | None = None) -> bottle.HTTPResponse:
    """Give a file; with `name` one to keep."""
    headers = {**HEADERS, "Content-Type": media}
    if name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return bottle.HTTPResponse(content, HTTPStatus.OK.value, headers)
