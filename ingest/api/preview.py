"""`POST /v1/allocation-runs/{run}/preview`: what a changed rule would charge whom, while somebody is writing it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ingest.api.admission import Admission
from ingest.api.desk import PATH
from ingest.preview_desk import PreviewDesk
from metering.errors import DocumentError


class PreviewRequest(BaseModel):
    """What to try: parts of the rules document, and tables of single pools in the place of those with their ids."""

    model_config = ConfigDict(extra="forbid")

    rules: dict[str, Any] = Field(default_factory=dict, examples=[{"tariff": {"format": 1}}])
    pools: list[dict[str, Any]] = Field(default_factory=list, examples=[[{"id": "lift", "rule": "area"}]])


class PreviewRoutes:
    """The handler, over the periods that are kept loaded."""

    def __init__(self, desk: PreviewDesk) -> None:
        self._desk = desk

    def router(self, admin: Admission) -> APIRouter:
        """Give the route; `admin` guards it, for anybody else could keep the service computing."""
        router = APIRouter(prefix=PATH, tags=["allocation runs"])
        router.add_api_route("/{run}/preview", self.preview, methods=["POST"], dependencies=[Depends(admin)])
        return router

    def preview(self, run: str, request: PreviewRequest) -> dict[str, Any]:
        """Give the lines of the pools that would be split otherwise, now and then, and the proof that they add up.

        Nothing is stored or sent. The first preview of a run loads its period. Rules with faults are refused with all
        of them; rules that the period could not be closed by are told under `refusal`.
        """
        found = self._desk.preview(run, request.rules, request.pools)
        if found.faults:
            raise DocumentError(found.faults)
        return found.to_document()
