"""`/v1/series`: what flowed or stood at one metering point, thinned on the server; as JSON and as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from device_profiles.catalogue import Catalogue
from ingest.api.problems import Problem
from ingest.console.words import choose_language
from ingest.series.forms import to_csv, to_document
from ingest.series.points import Method
from ingest.series.reader import POINTS_MAX, Question, SeriesRefused, Source, find_site, node_quantities, read_series
from ingest.series.sums import Per
from ingest.store.database import Database
from metering.identity import NodeId, SiteId
from metering.obis import ENERGY_IMPORT, SETTLED_QUANTITIES, Obis

POINTS = 1000
"""What a chart on a screen can show."""
Node = Annotated[str, Query(max_length=64, description="metering point of the tree")]
SiteName = Annotated[str | None, Query(max_length=64, description="may be left out where there is one site only")]
Start = Annotated[
    str, Query(alias="from", max_length=40, description="local day (its first instant), or instant with offset")
]
End = Annotated[str, Query(alias="to", max_length=40, description="as `from`; the first instant no longer asked for")]
Code = Annotated[str, Query(max_length=24, description="OBIS code; /v1/series/quantities lists what there is")]


def question_asked(
    node: Node,
    start: Start,
    end: End,
    site: SiteName = None,
    obis: Code = str(ENERGY_IMPORT),
    per: Per = Per.SLOT,
    points: Annotated[int, Query(ge=2, le=POINTS_MAX)] = POINTS,
    method: Literal["minmax", "lttb"] = "minmax",
    source: Source | None = None,
) -> Question:
    """Read what is asked out of the address; raises ObisInvalid."""
    return Question(
        node=NodeId(node),
        start=start,
        end=end,
        site=None if site is None else SiteId(site),
        obis=Obis.parse(obis),
        per=per,
        most=points,
        method=Method(method),
        source=source,
    )


class SeriesRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1", tags=["series"])
        router.add_api_route("/series", self.document, methods=["GET"], response_class=Response)
        router.add_api_route("/series.csv", self.csv, methods=["GET"], response_class=Response)
        router.add_api_route("/series/quantities", self.quantities, methods=["GET"])
        return router

    def document(self, question: Annotated[Question, Depends(question_asked)]) -> Response:
        """Give a series: all slots if they are at most `points`, else as many as chosen by `method`; or sums by `per`.

        One list a column. Where slots are not known, `amounts` holds null and `missing` how many they are: whoever
        draws a line must not join it there. Such breaks come on top of `points`, at most one between two of them.
        """
        with _refusals(), self._database.transaction() as connection:
            found = to_document(read_series(connection, self._catalogue, question))
        # Not by the framework, which would look at each of the numbers.
        return Response(json.dumps(found, separators=(",", ":")), media_type="application/json")

    def csv(
        self, request: Request, question: Annotated[Question, Depends(question_asked)], lang: str | None = None
    ) -> Response:
        """Give the same for spreadsheets: a year of slots in full, unless fewer points are asked for."""
        language = choose_language(lang, request.headers.get("Accept-Language"))
        wanted = question if "points" in request.query_params else replace(question, most=POINTS_MAX)
        with _refusals(), self._database.transaction() as connection:
            series = read_series(connection, self._catalogue, wanted)
        parts = (series.site.id, series.node, str(series.quantity.obis), wanted.start[:10], wanted.end[:10], series.per)
        headers = {
            "Content-Disposition": f'attachment; filename="{_plain("_".join(parts))}.csv"',
            "Content-Language": language.tag,
        }
        return Response(to_csv(series, language), media_type="text/csv; charset=utf-8", headers=headers)

    def quantities(self, node: Node, site: SiteName = None) -> dict[str, Any]:
        """List what can be asked of a node: OBIS code, base unit, whether it counts, whether it is settled."""
        with _refusals(), self._database.transaction() as connection:
            found = find_site(connection, None if site is None else SiteId(site))
            known = node_quantities(self._catalogue, found, NodeId(node))
        return {
            "site": found.id,
            "node": node,
            "quantities": [
                {
                    "obis": str(one.obis),
                    "unit": one.unit,
                    "kind": str(one.kind),
                    "settled": one.obis in SETTLED_QUANTITIES,
                }
                for one in known
            ],
        }


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer with what to ask for instead."""
    try:
        yield
    except SeriesRefused as error:
        status = HTTPStatus.NOT_FOUND if error.is_absent else HTTPStatus.UNPROCESSABLE_ENTITY
        raise Problem(status, str(error), error.mend) from error


def _plain(name: str) -> str:
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-.") else "_" for sign in name)
