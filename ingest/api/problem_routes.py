"""`/v1/problems`: what the types of problem documents mean, where their `type` leads to."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ingest.api.problem_types import PROBLEMS, TYPES
from ingest.api.problems import not_found


def problem_routes() -> APIRouter:
    """Give the routes; the same stands in docs/billing-api.md."""
    router = APIRouter(prefix=PROBLEMS.rstrip("/"), tags=["problems"])
    router.add_api_route("", _list, methods=["GET"])
    router.add_api_route("/{name}", _read, methods=["GET"])
    return router


def _list() -> dict[str, Any]:
    """List the types of problems."""
    return {"types": [one.to_document(name) for name, one in TYPES.items()]}


def _read(name: str) -> dict[str, Any]:
    """Say what a type of problem means."""
    if name not in TYPES:
        raise not_found(f"problem type {name}", "GET /v1/problems lists them")
    return TYPES[name].to_document(name)
