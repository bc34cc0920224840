"""Keeps pages of others from acting in the name of who is signed in: every form shows that a page of ours made it.

A browser sends its cookies with whatever page makes it call, so a cookie alone proves nobody's will. A call that
changes something and stands on the session's cookie has to come from this origin, as the browser says, and carry the
form token: in the header `Metertree-Form`, or as the first field of the form. Calls with `Authorization: Bearer`
need none, since no browser adds that by itself. The body is looked at only as far as the token can stand, and handed on
whole.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.api.problems import told_path
from ingest.console.forms import TOKEN_FIELD, TOKEN_HEADER
from ingest.console.visit import SESSION, VISIT, form_token

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOKED_OCTETS = 4096
"""How far into a body the token is looked for; it is the first field."""
_URLENCODED = re.compile(rb"^" + TOKEN_FIELD.encode() + rb"=([0-9a-f]{40})(?:&|$)")
_MULTIPART = re.compile(rb'name="' + TOKEN_FIELD.encode() + rb'"\r\n(?:[^\r\n]+\r\n)*\r\n([0-9a-f]{40})\r\n')
_log = logging.getLogger(__name__)


class FormGuard:
    """The middleware; stands inside the door, which has found out who asks.

    open_forms  patterns of routes that anybody may send a form to; there the token of the visit counts
    refusal     makes the page that says why nothing was done
    """

    def __init__(self, app: ASGIApp, open_forms: frozenset[str], refusal: Callable[[Request], Response]) -> None:
        self._app = app
        self._open_forms = open_forms
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a call on, or refuse it."""
        if scope["type"] != "http" or scope["method"] in SAFE:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        secret = self._secret(request)
        if secret is None:
            await self._app(scope, receive, send)
            return
        held: list[Message] = []
        if is_from_here(request) and await _shows(request, secret, receive, held):
            await self._app(scope, _again(held, receive), send)
            return
        _log.warning(
            "console.form_refused path=%s origin=%r", told_path(request), request.headers.get("Origin", "")[:100]
        )
        await self._refusal(request)(scope, receive, send)

    def _secret(self, request: Request) -> str | None:
        """Give what the token is made of; None where none is needed."""
        if shows_token(request):
            return None
        rule = getattr(request.state, "rule", None)
        if rule is not None and rule.path in self._open_forms:
            return request.cookies.get(SESSION) or request.cookies.get(VISIT, "")
        if rule is None or rule.permission is None:
            return None
        return request.cookies.get(SESSION)


def shows_token(request: Request) -> bool:
    """Say whether a call stands on a token and not on a cookie; the same words as where tokens are read (admission.py).

    `Basic` and the like prove no will: a browser adds them by itself, to a call that still stands on its cookie.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(given)


def is_from_here(request: Request) -> bool:
    """Say whether the browser says that a page of this origin made the call; one that says nothing is let pass."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("Host")


async def _shows(request: Request, secret: str, receive: Receive, held: list[Message]) -> bool:
    given = request.headers.get(TOKEN_HEADER, "").encode()
    if not given:
        head = await _head(receive, held)
        is_multipart = request.headers.get("Content-Type", "").startswith("multipart/form-data")
        found = _MULTIPART.search(head) if is_multipart else _URLENCODED.match(head)
        given = found.group(1) if found else b""
    return bool(secret) and hmac.compare_digest(given, form_token(secret).encode())


async def _head(receive: Receive, held: list[Message]) -> bytes:
    """Read as much of the body as is looked at; what was read is kept in `held`."""
    head = b""
    while len(head) < LOOKED_OCTETS:
        message = await receive()
        held.append(message)
        head += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    return head[:LOOKED_OCTETS]


def _again(held: list[Message], receive: Receive) -> Receive:
    async def receive_again() -> Message:
        return held.pop(0) if held else await receive()

    return receive_again
