"""The files that pages load, all from this service: style, scripts, pictures. Addressed by hash, and kept for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ingest.api.problems import not_found

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
"""For modules that other modules import by their bare name, which holds no hash."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; `version` changes with its octets."""

    octets: bytes
    media_type: str
    version: str


@cache
def assets() -> Mapping[str, Asset]:
    """Give every file below `static`, by its path there."""
    return dict(_walk(resources.files(__package__).joinpath("static"), ""))


def asset(path: str) -> str:
    """Give the address of a file below `static`; KeyError where there is none."""
    return f"/static/{path}?{assets()[path].version}"


def asset_router() -> APIRouter:
    """Give the route of the files."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/static/{path:path}", _file, methods=["GET"])
    return router


def _file(request: Request, path: str) -> Response:
    found = assets().get(path)
    if found is None:
        raise not_found(f"file {path}", "pages name the files they need")
    tag = f'"{found.version}"'
    headers = {
        "ETag": tag,
        "Cache-Control": _FOR_EVER if request.url.query == found.version else _ASK_AGAIN,
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.octets, media_type=found.media_type, headers=headers)


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found = []
    for one in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = prefix + one.name
        if one.is_dir():
            found += _walk(one, path + "/")
        elif media_type := _MEDIA_TYPES.get("." + one.name.rpartition(".")[2]):
            octets = one.read_bytes()
            found.append((path, Asset(octets, media_type, hashlib.sha256(octets).hexdigest()[:12])))
    return found
