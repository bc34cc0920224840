"""Every error of the API as `application/problem+json` (RFC 9457): what is wrong, and how to mend it."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from allocation_engine.run_state import RunUnknown
from ingest.api.problem_types import problem_type
from ingest.log_lines import ids_put
from ingest.store.database import DatabaseUnreachable
from metering.errors import BooksError, DocumentError, MeteringError, SenderError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)


class Problem(MeteringError):
    """An answer that is not what the caller asked for: HTTP status, what happened, how to mend it.

    reason   stable code for programs, where there is more than one cause
    """

    def __init__(
        self,
        status: int,
        detail: str,
        mend: str = "",
        *,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = status
        self.detail = detail
        self.mend = mend
        self.headers = headers


def not_found(what: str, mend: str) -> Problem:
    """Say that `what` does not exist."""
    return Problem(HTTPStatus.NOT_FOUND, f"{what} does not exist", mend)


def problem_response(problem: Problem, instance: str, **members: Any) -> JSONResponse:
    """Render a problem for the request path `instance`; `members` are added to the document."""
    content: dict[str, Any] = {
        "type": problem_type(problem.status, members.get("reason", problem.reason)),
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
    }
    content |= {key: text for key, text in (("mend", problem.mend), ("reason", problem.reason)) if text}
    return JSONResponse(content | members, status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers)


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    app.add_exception_handler(MeteringError, _on_metering_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for away in (DatabaseUnreachable, psycopg.OperationalError):
        app.add_exception_handler(away, _on_database_away)
    app.add_exception_handler(psycopg.DataError, _on_unstorable)
    app.add_exception_handler(Exception, _on_fault_of_ours)


def told_path(request: Request) -> str:
    """Give the path of a call as logs may hold it: where a token stands in the address, the pattern of its route."""
    rule = getattr(request.state, "rule", None)
    return rule.path if rule is not None and "{token}" in rule.path else request.url.path


def _on_metering_error(request: Request, error: Exception) -> JSONResponse:
    instance = request.url.path
    if isinstance(error, Problem):
        return problem_response(error, instance)
    if isinstance(error, DocumentError):
        faults = [{"path": f.path, "line": f.line, "problem": f.problem, "mend": f.mend} for f in error.faults]
        problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the document has {len(faults)} faults")
        return problem_response(problem, instance, faults=faults)
    status = HTTPStatus.CONFLICT if isinstance(error, BooksError) else HTTPStatus.UNPROCESSABLE_ENTITY
    status = HTTPStatus.NOT_FOUND if isinstance(error, RunUnknown) else status
    members = {"reason": error.reason} if isinstance(error, SenderError) else {}
    return problem_response(Problem(status, str(error)), instance, **members)


def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"place": ".".join(str(part) for part in fault["loc"]), "problem": fault["msg"]} for fault in error.errors()
    ]
    problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not have the form it must have", reason="form")
    return problem_response(problem, request.url.path, faults=faults)


def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    return problem_response(Problem(error.status_code, str(error.detail), headers=headers), request.url.path)


def _on_database_away(request: Request, error: Exception) -> JSONResponse:
    _log.warning("api.database_away path=%s: %s", told_path(request), error)
    problem = Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the database does not answer",
        "try again",
        reason="database-away",
        headers={"Retry-After": "5"},
    )
    return problem_response(problem, request.url.path)


def _on_unstorable(request: Request, error: Exception) -> JSONResponse:
    """Text with a NUL, which no PostgreSQL column can hold: nothing is stored under it."""
    _log.warning("api.unstorable path=%s: %s", told_path(request), error)
    problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the request cannot be looked up: {error}", "leave out NUL")
    return problem_response(problem, request.url.path)


def _on_fault_of_ours(request: Request, error: Exception) -> JSONResponse:
    _log.error("api.fault path=%s", told_path(request), exc_info=error)
    problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service made a mistake; it is in its log")
    return problem_response(problem, request.url.path, **ids_put())
