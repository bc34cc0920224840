"""The public posting of a run: as a signed file under `/v1`, and as a page to print under `/runs`."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.api.problems import not_found
from ingest.console.answers import security
from ingest.console.posting_page import posting_html, read_posting
from ingest.console.words import choose_language
from ingest.posting_desk import PostedRun, post_run
from ingest.store.database import Database
from ingest.store.runs import find_run
from metering.envelope import Signer

_STYLE = re.compile(r"<style>(.*?)</style>", re.S)


class PostingRoutes:
    """The handlers, over one store. `signer` is the centre's key."""

    def __init__(self, database: Database, signer: Signer) -> None:
        self._database = database
        self._signer = signer

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter()
        path = "/v1/allocation-runs/{run}/posting"
        router.add_api_route(path, self.file, methods=["GET"], tags=["allocation runs"], response_class=Response)
        router.add_api_route("/runs/{run}/posting", self.page, methods=["GET"], include_in_schema=False)
        return router

    def file(self, run: str) -> Response:
        """Give the posting: readable, sealed by the centre, and final once it holds the publication of its run."""
        posted = self._post(run)
        headers = {
            "Content-Disposition": f'attachment; filename="posting-{run[:16]}.json"',
            "Cache-Control": "no-cache",
        }
        return Response(posted.to_file(self._signer), media_type="application/json", headers=headers)

    def page(self, request: Request, run: str, lang: str | None = None) -> Response:
        """Show the posting in one language, to be printed."""
        language = choose_language(lang, request.headers.get("Accept-Language"))
        posted = self._post(run)
        text = posting_html(read_posting(posted.content, posted.site, language, posted.state, posted.published))
        return HTMLResponse(text, headers=_security(text) | {"Content-Language": language.tag})

    def _post(self, run: str) -> PostedRun:
        with self._database.transaction() as connection:
            stored = find_run(connection, run)
            if stored is None:
                raise not_found(f"run {run}", "GET /v1/allocation-runs lists the runs")
            return post_run(connection, stored)


def _security(text: str) -> dict[str, str]:
    """Let nothing run or load but the page's own style, named by its digest."""
    style = _STYLE.search(text)
    assert style is not None, "the posting is a page with its own style"
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    return security(f"style-src 'sha256-{digest}'")
