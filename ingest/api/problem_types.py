"""The types of problems that a program must tell apart: where the `type` of a problem document leads to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

PROBLEMS = "/v1/problems/"
"""Where a program or a person finds what a type means."""


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One type: status it comes with, what it means, and what to do."""

    status: HTTPStatus
    meaning: str
    mend: str

    def to_document(self, name: str) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "type": f"{PROBLEMS}{name}",
            "status": int(self.status),
            "title": self.status.phrase,
            "meaning": self.meaning,
            "mend": self.mend,
        }


TYPES: dict[str, ProblemType] = {
    "token": ProblemType(
        HTTPStatus.UNAUTHORIZED,
        "no token, or one that does not count",
        "send a key that is in force, or a new access token",
    ),
    "permission": ProblemType(
        HTTPStatus.FORBIDDEN, "the caller's roles do not let him do this", "ask an administrator for a role that does"
    ),
    "sight": ProblemType(
        HTTPStatus.FORBIDDEN, "this shows, chooses or sorts by what is hidden from the caller", "leave the field out"
    ),
    "site": ProblemType(HTTPStatus.FORBIDDEN, "this is for who sees all sites", "name one of your sites"),
    "not-found": ProblemType(
        HTTPStatus.NOT_FOUND, "there is no such thing, or none at a site of the caller", "look it up in its list"
    ),
    "form": ProblemType(
        HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not have the form it must have", "see `faults` and mend each"
    ),
    "cursor-unknown": ProblemType(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "the cursor is none of this feed: it was changed, or the database was restored from a backup since",
        "read the feed from its beginning; lines keep their ids, so what is booked already is known",
    ),
    "idempotency-key-invalid": ProblemType(
        HTTPStatus.BAD_REQUEST, "the Idempotency-Key has another form", "draw a UUID for each act"
    ),
    "idempotency-key-reused": ProblemType(
        HTTPStatus.UNPROCESSABLE_ENTITY, "another request came with this key before", "draw a new key for each act"
    ),
    "idempotency-key-in-flight": ProblemType(
        HTTPStatus.CONFLICT,
        "the first request with this key is still being answered",
        "ask again in a moment, same key",
    ),
    "idempotency-answer-not-kept": ProblemType(
        HTTPStatus.CONFLICT,
        "it was done, and the answer held a secret that is kept nowhere",
        "undo it and do it anew with another key",
    ),
    "charge-acknowledged": ProblemType(
        HTTPStatus.CONFLICT, "the charge was taken over under another invoice", "void the second invoice"
    ),
    "rate-limited": ProblemType(
        HTTPStatus.TOO_MANY_REQUESTS, "more requests than this caller has", "wait as long as Retry-After says"
    ),
    "form-missing": ProblemType(
        HTTPStatus.NOT_IMPLEMENTED,
        "this centre cannot make files of this form",
        "ask for csv, or have the extra installed",
    ),
    "database-away": ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer", "try again later, with the same Idempotency-Key"
    ),
}


_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: "token",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.TOO_MANY_REQUESTS: "rate-limited",
}


def problem_type(status: int, reason: str | None) -> str:
    """Give the type of a problem; `about:blank`, which says no more than the status, where none is documented."""
    name = _BY_STATUS.get(HTTPStatus(status)) if reason is None else reason
    return f"{PROBLEMS}{name}" if name in TYPES else "about:blank"
