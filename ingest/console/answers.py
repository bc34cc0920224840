"""What every page of the console has in common: templates, style, and what the browser may do with it."""

from __future__ import annotations

from functools import cache

from fastapi.responses import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from ingest.console.assets import asset
from ingest.console.tables import Table
from ingest.console.words import Language

NOWHERE, HERE = "'none'", "'self'"
"""Where a page may send forms."""
OWN = "script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
"""What pages of the console may load: files of this service, no script or style inside the page."""


@cache
def templates() -> Environment:
    """Give the templates of all pages; a name that a template misses is an error."""
    environment = Environment(
        loader=PackageLoader("ingest.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = asset
    return environment


def content_policy(sources: str = OWN, forms: str = NOWHERE) -> str:
    """Give the content security policy of a page that loads nothing but `sources`."""
    return f"default-src 'none'; {sources}; form-action {forms}; base-uri 'none'; frame-ancestors 'none'"


def security(sources: str = OWN, forms: str = NOWHERE) -> dict[str, str]:
    """Give the headers of a page that loads nothing but `sources`; all others are put on in front (api/headers.py)."""
    return {
        "Content-Security-Policy": content_policy(sources, forms),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def csv_file(found: Table, file: str, language: Language, *, forms: str = NOWHERE) -> Response:
    """Give a table as a file for spreadsheets."""
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "Content-Language": language.tag}
    return Response(found.to_csv(), media_type="text/csv; charset=utf-8", headers=security(forms=forms) | headers)
