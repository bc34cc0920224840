"""`/v1/disputes`: what payers do not accept, and the answers; and what became of a statement, with its link."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ingest.api.admission import Admission, Admitted, Asking
from ingest.api.problems import Problem, not_found
from ingest.statement_desk import (
    REASON_CHARACTERS_MAX,
    Answer,
    ComplaintInvalid,
    DisputeAnswered,
    StatementDesk,
)
from ingest.statement_links import LINK_DAYS
from ingest.statement_states import DisputeState, StatementUnknown
from ingest.store.disputes import Dispute, DisputeUnknown, ListedDispute, count_disputes, list_disputes
from ingest.store.statement_states import states_of
from ingest.store.statements import find_statement

LIMIT, LIMIT_MAX = 100, 500
LINK_DAYS_MAX = 3650
Name = Annotated[str | None, Query(max_length=200)]


class AnswerRequest(BaseModel):
    """How a dispute ends, and the words that the payer reads."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    state: str = Field(pattern="^(upheld|recomputed)$", examples=["upheld"])
    answer: str = Field(min_length=1, max_length=REASON_CHARACTERS_MAX)


class LinkRequest(BaseModel):
    """Whether the link is made anew, and how long a new one opens."""

    model_config = ConfigDict(extra="forbid")

    renew: bool = False
    days: int = Field(LINK_DAYS, ge=1, le=LINK_DAYS_MAX)


class DisputeRoutes:
    """The handlers, over one desk."""

    def __init__(self, desk: StatementDesk) -> None:
        self._desk = desk

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards those that write."""
        router, guard = APIRouter(tags=["statements"]), [Depends(admin)]
        router.add_api_route("/v1/disputes", self.list, methods=["GET"])
        router.add_api_route("/v1/disputes/{dispute}", self.read, methods=["GET"])
        router.add_api_route("/v1/disputes/{dispute}/answer", self.answer, methods=["POST"], dependencies=guard)
        router.add_api_route("/v1/dispute-counts", self.counts, methods=["GET"])
        router.add_api_route("/v1/statements/{number}/states", self.states, methods=["GET"])
        router.add_api_route("/v1/statements/{number}/link", self.link, methods=["PUT"], dependencies=guard)
        path = "/v1/statements/{number}/link"
        router.add_api_route(path, self.revoke, methods=["DELETE"], dependencies=guard, status_code=204)
        return router

    def list(
        self,
        who: Asking,
        state: Annotated[DisputeState | None, Query()] = None,
        site: Name = None,
        period: Name = None,
        before: Annotated[int | None, Query(ge=1, description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
    ) -> dict[str, Any]:
        """List disputes, newest first; `next` is null on the last page."""
        sites: list[str] | None = None if who.sites is None else [str(one) for one in sorted(who.sites)]
        if site is not None:
            sites = [site] if sites is None or site in sites else []
        with self._desk.database.transaction() as connection:
            found = list_disputes(connection, state=state, sites=sites, period=period, before=before, most=limit)
        following = found[-1].dispute.dispute if len(found) == limit else None
        return {"disputes": [_listed(one) for one in found], "next": following}

    def read(self, dispute: int) -> dict[str, Any]:
        """Give one dispute with its answer."""
        with self._desk.database.transaction() as connection:
            found = list_disputes(connection, before=dispute + 1, most=1)
        if not found or found[0].dispute.dispute != dispute:
            raise not_found(f"dispute {dispute}", "GET /v1/disputes lists them")
        return _listed(found[0])

    def answer(self, dispute: int, answer: AnswerRequest, caller: Admitted) -> dict[str, Any]:
        """Answer a dispute: upheld, then its line is charged; or recomputed, then a newer statement will come.

        The same answer again changes nothing; another one is refused.
        """
        try:
            done = self._desk.answer(dispute, Answer(DisputeState(answer.state), answer.answer), caller)
        except DisputeUnknown as error:
            raise not_found(f"dispute {dispute}", "GET /v1/disputes lists them") from error
        except DisputeAnswered as error:
            raise Problem(HTTPStatus.CONFLICT, str(error), "read its answer", reason=error.reason) from error
        except ComplaintInvalid as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), reason=error.reason) from error
        return _document(done)

    def counts(self, who: Asking) -> dict[str, Any]:
        """Count, by period: statements out, opened and confirmed, and disputes by how they stand."""
        with self._desk.database.transaction() as connection:
            found = count_disputes(connection, None if who.sites is None else sorted(who.sites))
        names = ("site", "period", "statements", "seen", "confirmed", "open", "upheld", "recomputed")
        return {"periods": [{name: getattr(one, name) for name in names} for one in found]}

    def states(self, number: str) -> dict[str, Any]:
        """Say what became of a statement since its run was published; nothing where it was not."""
        with self._desk.database.transaction() as connection:
            if find_statement(connection, number) is None:
                raise not_found(f"statement {number}", "GET /v1/statements lists them")
            steps = states_of(connection, number)
        return {
            "statement": number,
            "state": steps[-1].state if steps else None,
            "steps": [{"state": one.state, "at": one.acted_at.isoformat(), "by": one.actor} for one in steps],
        }

    def link(self, number: str, wanted: LinkRequest, caller: Admitted) -> dict[str, Any]:
        """Give the path that opens a statement without a login; it is the same until it is renewed or lapses."""
        try:
            made = self._desk.link(number, caller, renew=wanted.renew, days=wanted.days)
        except StatementUnknown as error:
            raise not_found(f"statement {number}", "GET /v1/statements lists them") from error
        expires_at = made.expires_at.isoformat()
        return {"statement": number, "path": f"/s/{made.token}", "expires_at": expires_at, "is_new": made.is_new}

    def revoke(self, number: str, caller: Admitted) -> Response:
        """Let the link of a statement open nothing any more."""
        try:
            self._desk.revoke(number, caller)
        except StatementUnknown as error:
            raise not_found(f"statement {number}", "GET /v1/statements lists them") from error
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _listed(one: ListedDispute) -> dict[str, Any]:
    return {**_document(one.dispute), "site": one.site, "period": one.period, "party": one.party}


def _document(one: Dispute) -> dict[str, Any]:
    return {
        "dispute": one.dispute,
        "statement": one.statement,
        "line": None if one.is_whole else one.line,
        "reason": one.reason,
        "photo": None if one.photo is None else one.photo.hex(),
        "raised_at": one.raised_at.isoformat(),
        "state": one.state,
        "answer": one.answer,
        "answered_by": one.answered_by,
        "answered_at": None if one.answered_at is None else one.answered_at.isoformat(),
    }
