"""What every page of the console has in common: templates, style, and what the browser may do with it."""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from ingest.console.tables import Table
from ingest.console.words import Language

STYLE = resources.files(__package__).joinpath("static", "console.css").read_bytes()
STYLE_VERSION = hashlib.sha256(STYLE).hexdigest()[:12]
NOWHERE, HERE = "'none'", "'self'"
"""Where a page may send forms."""
_OWN_STYLE = "style-src 'self'; img-src data:"


@cache
def templates() -> Environment:
    """Give the templates of all pages; a name that a template misses is an error."""
    return Environment(
        loader=PackageLoader("ingest.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def security(sources: str = _OWN_STYLE, forms: str = NOWHERE) -> dict[str, str]:
    """Give the headers of a page that loads nothing but `sources`."""
    return {
        "Content-Security-Policy": f"default-src 'none'; {sources}; base-uri 'none'; "
        f"form-action {forms}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def render_page(
    template: str, language: Language, status: HTTPStatus = HTTPStatus.OK, *, forms: str = NOWHERE, **content: Any
) -> HTMLResponse:
    """Render a page; `content` is what its template asks for beside language and style."""
    text = templates().get_template(template).render(language=language, style_version=STYLE_VERSION, **content)
    return HTMLResponse(text, status, headers=security(forms=forms) | {"Content-Language": language.tag})


def csv_file(found: Table, file: str, language: Language, *, forms: str = NOWHERE) -> Response:
    """Give a table as a file for spreadsheets."""
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "Content-Language": language.tag}
    return Response(found.to_csv(), media_type="text/csv; charset=utf-8", headers=security(forms=forms) | headers)
