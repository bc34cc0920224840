"""`/v1/alerts`: what an operator must know of, to be listed, pulled by programs, and acknowledged by people."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from ingest.alert_rules import AlertKind, Scope
from ingest.alert_words import alert_document
from ingest.api.admission import Admission, Admitted
from ingest.api.problems import Problem, not_found
from ingest.caller import acting
from ingest.store.alerts import (
    LISTED_MAX,
    AlertAcknowledged,
    AlertUnknown,
    Wanted,
    acknowledge,
    changed_alerts,
    find_alert,
    list_alerts,
    newest_change,
)
from ingest.store.database import Database
from metering.clock import Clock

PATH = "/v1/alerts"
_FIND = f"GET {PATH} lists them"
NUMBER_MAX = 2**63 - 1


class Acknowledgement(BaseModel):
    """Says who takes care of an alert, and what he has to say about it."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=200, examples=["night shift"])
    note: str = Field("", max_length=2000)


class AlertRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes; `admin` guards acknowledging."""
        router = APIRouter(prefix=PATH, tags=["alerts"])
        router.add_api_route("", self.list, methods=["GET"])
        router.add_api_route("/{alert}", self.read, methods=["GET"])
        router.add_api_route("/{alert}/acknowledge", self.acknowledge, methods=["POST"], dependencies=[Depends(admin)])
        return router

    def list(
        self,
        after: int | None = Query(None, ge=0, le=NUMBER_MAX),
        limit: int = Query(100, ge=1, le=LISTED_MAX),
        only_open: bool = Query(False, alias="open"),
        kind: AlertKind | None = None,
        scope: Scope | None = None,
        subject: str | None = None,
    ) -> dict[str, Any]:
        """List alerts, open ones first; with `after`, those that changed since, in the order of their changes.

        To pull: begin with after=0, keep `cursor`, and ask again with after=<cursor>, at once while `more` is true. An
        alert comes again with each opening, closing, acknowledgement and change of severity, always as it stands then.
        """
        wanted = Wanted(only_open, kind, scope, subject, limit)
        with self._database.transaction() as connection:
            cursor = newest_change(connection)
            if after is None:
                return {"alerts": [alert_document(one) for one in list_alerts(connection, wanted)], "cursor": cursor}
            found = changed_alerts(connection, after, wanted)
        more = len(found) == limit
        cursor = found[-1].change if more else max([after, cursor, *(one.change for one in found)])
        return {"alerts": [alert_document(one) for one in found], "cursor": cursor, "more": more}

    def read(self, alert: int) -> dict[str, Any]:
        """Give one alert."""
        with self._database.transaction() as connection:
            try:
                return alert_document(find_alert(connection, _number(alert)))
            except AlertUnknown as error:
                raise not_found(f"alert {alert}", _FIND) from error

    def acknowledge(self, alert: int, request: Acknowledgement, caller: Admitted) -> dict[str, Any]:
        """Note who takes care of an alert. Of an equivocation it is also its end: nothing else closes that."""
        by = caller.named(request.by)
        with acting(caller), self._database.transaction() as connection:
            try:
                done = acknowledge(connection, _number(alert), by=by, note=request.note, now=self._clock.now())
            except AlertUnknown as error:
                raise not_found(f"alert {alert}", _FIND) from error
            except AlertAcknowledged as error:
                raise Problem(HTTPStatus.CONFLICT, str(error), "talk to that person") from error
        return alert_document(done)


def _number(alert: int) -> int:
    """Take a number that the database can hold; another one is that of no alert."""
    return alert if 0 < alert <= NUMBER_MAX else 0
