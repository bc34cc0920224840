"""`/v1/events` and `/v1/event-kinds`: what happened, to be pulled by programs, and what each kind promises."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query

from ingest.access.policy_file import shipped_policy
from ingest.access.principal import Principal
from ingest.api.admission import Asking
from ingest.api.problems import Problem
from ingest.event_kinds import KINDS, EventKind
from ingest.store.database import Database
from ingest.store.events import (
    PULLED_MAX,
    CursorAhead,
    CursorTooOld,
    WantedEvents,
    number_events,
    read_events,
)
from ingest.webhooks.owners import PERMISSIONS, event_document, kinds_heard
from metering.identity import SiteId

NUMBER_MAX = 2**63 - 1


class EventRoutes:
    """The handlers, over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1", tags=["events"])
        router.add_api_route("/event-kinds", self.kinds, methods=["GET"])
        router.add_api_route("/events", self.pull, methods=["GET"])
        return router

    def kinds(self) -> dict[str, Any]:
        """List the kinds of event with the JSON schema of their data, and the permission each takes."""
        return {
            "kinds": [
                {
                    "kind": str(kind),
                    "zh": one.zh,
                    "en": one.en,
                    "permission": PERMISSIONS[one.resource],
                    "schema": one.schema(kind),
                }
                for kind, one in KINDS.items()
            ]
        }

    def pull(
        self,
        who: Asking,
        after: int = Query(0, ge=0, le=NUMBER_MAX, description="the cursor of the last answer; 0 for the beginning"),
        limit: int = Query(100, ge=1, le=PULLED_MAX),
        kind: Annotated[list[EventKind] | None, Query(description="only these kinds")] = None,
        site: str | None = Query(None, description="only of this site"),
    ) -> dict[str, Any]:
        """Give events in the order in which they are told; keep `cursor` and ask again with after=<cursor>.

        Ask again at once while `more` is true. An event that commits late has a higher number than all that were given
        before, so none is skipped. The same event may also come by webhook, under the same `id`.
        """
        wanted = _wanted(who, kind, site)
        while True:
            with self._database.transaction() as connection:
                if not number_events(connection):
                    break
        with self._database.transaction() as connection:
            try:
                found, cursor, more = read_events(connection, after, limit, wanted)
            except CursorTooOld as old:
                raise Problem(HTTPStatus.GONE, str(old), "read lists anew first", reason="cursor-too-old") from old
            except CursorAhead as ahead:
                mend = "the centre came back from a backup: compare lists, then begin at an earlier cursor"
                raise Problem(HTTPStatus.CONFLICT, str(ahead), mend, reason="cursor-ahead") from ahead
        return {"events": [event_document(one) for one in found], "cursor": cursor, "more": more}


def _wanted(who: Principal, kinds: list[EventKind] | None, site: str | None) -> WantedEvents:
    """Keep to what somebody may be told of; of what he asks beyond it there is nothing."""
    heard = kinds_heard(shipped_policy(), who)
    asked = heard if kinds is None else tuple(one for one in kinds if one in heard)
    sites = None if who.sites is None else tuple(sorted(who.sites))
    if site is not None:
        sites = (SiteId(site),) if who.reaches(site) else ()
    return WantedEvents(asked, sites)
