"""What went wrong, as a page for people: problem documents are for programs.

A browser that asks for a page and gets a problem gets a page that says the same, with its status: what happened, how to
go on, and that nothing was changed. Calls below /v1, and all that do not ask for HTML, get the document as it is.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.api.problems import MEDIA_TYPE
from ingest.console.visit import Visit, visit_of

_KEPT = (b"retry-after", b"metertree-request", b"www-authenticate")
"""Headers of the answer that hold for the page too."""


class ErrorPages:
    """The middleware; stands outside of the door, so that its refusals are pages too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a call on, and make a page of the problem that comes back."""
        if scope["type"] != "http" or not wants_page(Request(scope)):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []
        body = bytearray()

        async def send_page(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_problem(message):
                held.append(message)
            elif not held:
                await send(message)
            else:
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    page = await run_in_threadpool(problem_page, Request(scope), held[0]["status"], bytes(body))
                    page.raw_headers.extend(one for one in held[0]["headers"] if one[0].lower() in _KEPT)
                    await page(scope, receive, send)

        await self._app(scope, receive, send_page)


def wants_page(request: Request) -> bool:
    """Say whether somebody looks at a page: not a program, and not a part of a page (htmx)."""
    if request.url.path.startswith("/v1/") or "hx-request" in request.headers:
        return False
    return "text/html" in request.headers.get("Accept", "")


def problem_page(request: Request, status: int, body: bytes) -> Any:
    """Render a problem as a page."""
    visit: Visit = visit_of(request)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        visit.without_books()
    told = json.loads(body or b"{}")
    faults = [" ".join(str(part) for part in one.values() if part) for one in told.get("faults", ())][:20]
    kind = _kind(status)
    parts = {"kind": kind, "detail": told.get("detail", ""), "mend": told.get("mend", ""), "faults": faults}
    return visit.page("problem.html", HTTPStatus(status), **parts)


def _kind(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "not-found"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "not-yours"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "too-many"
    return "our-fault" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "not-done"


def _is_problem(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and text.startswith(MEDIA_TYPE.encode()) for name, text in start["headers"]
    )
