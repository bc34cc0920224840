"""`GET /verify.html`: the page that checks statements offline, with this centre's key in it, to be kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.responses import Response

from ingest.verify_page import verify_page

FILE_NAME = "verify.html"


def verify_page_router(keys: Iterable[bytes]) -> APIRouter:
    """Give the route. It is a file to save and not a page of the console, whose rules allow no script inside a page."""
    page = verify_page(keys)
    headers = {
        "Content-Disposition": f'attachment; filename="{FILE_NAME}"',
        "ETag": f'"{hashlib.sha256(page).hexdigest()[:16]}"',
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    router = APIRouter(include_in_schema=False)

    @router.get(f"/{FILE_NAME}")
    def verifier() -> Response:
        """Give the file."""
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    return router
