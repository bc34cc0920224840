"""`/v1/allocations`: every published line and every correction in one feed; and the same in bulk, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from ingest.access.policy import Policy
from ingest.access.policy_file import shipped_policy
from ingest.access.principal import Principal
from ingest.api.admission import Asking
from ingest.api.problems import Problem
from ingest.billing.columns import ALLOCATION, CORRECTION, NATIVE, Column, Type
from ingest.billing.focus import FOCUS
from ingest.billing.forms import MEDIA_TYPES, FormMissing, Part, page_json, require_form, stream
from ingest.store.database import Database
from ingest.store.feed import Cursor, Wanted, newest_cursor, read_feed

PATH = "/v1/allocations"
RESOURCE = "allocations"
LIMIT, LIMIT_MAX = 1000, 10_000
EXPORT_PAGE = 10_000
"""Lines read at once for a file: each page is a transaction of its own, so a slow reader holds none open."""
CURSOR_HEADER = "Metertree-Cursor"
"""Where the feed goes on behind a file."""


class Kind(StrEnum):
    """What a line of the feed is: of a first publication, or the difference a later one makes."""

    ALLOCATION = ALLOCATION
    CORRECTION = CORRECTION


class Words(StrEnum):
    """In whose words the columns of a file are named."""

    NATIVE = "native"
    FOCUS = "focus"


class Form(StrEnum):
    """What a file is."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


Name = Annotated[str | None, Query(max_length=200)]


async def _wanted(
    site: Name = None,
    period: Annotated[str | None, Query(max_length=64, examples=["2026-07"])] = None,
    party: Name = None,
    kind: Kind | None = None,
) -> Wanted:
    corrections = None if kind is None else kind is Kind.CORRECTION
    return Wanted(None, site, period, party, corrections)


Asked = Annotated[Wanted, Depends(_wanted)]
Since = Annotated[str | None, Query(max_length=64, description="`cursor` of the page before; left out: the beginning")]


Described = dict[int | str, dict[str, Any]]
"""Answers as the contract (OpenAPI) describes them."""
_JSON_TYPES = {Type.TEXT: "string", Type.WHOLE: "integer", Type.DECIMAL: "string", Type.INSTANT: "string"}
_LINE = {
    "type": "object",
    "properties": {one.name: {"type": [_JSON_TYPES[one.type], "null"]} for one in NATIVE},
    "additionalProperties": False,
}
_FEED_ANSWER = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["lines", "cursor", "more"],
            "properties": {
                "lines": {"type": "array", "items": _LINE},
                "cursor": {"type": "string"},
                "more": {"type": "boolean"},
            },
        }
    }
}
_FILE_ANSWER = {
    media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
    for media_type in MEDIA_TYPES.values()
}


class AllocationRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._policy: Policy = shipped_policy()

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix=PATH, tags=["billing"])
        feed: Described = {200: {"content": _FEED_ANSWER}}
        files: Described = {200: {"content": _FILE_ANSWER}}
        router.add_api_route("", self.feed, methods=["GET"], response_class=Response, responses=feed)
        router.add_api_route(".{form}", self.file, methods=["GET"], response_class=Response, responses=files)
        return router

    def feed(
        self,
        request: Request,
        who: Asking,
        wanted: Asked,
        since: Since = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
    ) -> Response:
        """Give published lines in the order of their publication, from a cursor on.

        Keep `cursor` together with what you have booked, and ask again with since=<cursor>: at once while `more` is
        true, else when an event tells of a publication, or once a while. Nothing is skipped, and nothing comes twice.
        The amounts of a period and line add up to what the newest published run says of it.
        """
        columns = self._columns(who, NATIVE)
        request.state.masked = True
        with self._database.transaction() as connection:
            page = read_feed(connection, Cursor.parse(since), _of(who, wanted), limit)
        return Response(page_json(page, columns), media_type="application/json")

    def file(
        self,
        request: Request,
        who: Asking,
        wanted: Asked,
        form: Annotated[Form, Path()],
        since: Since = None,
        columns: Words = Words.NATIVE,
    ) -> Response:
        """Give everything from a cursor on as one file; the header Metertree-Cursor says where the feed goes on."""
        try:
            require_form(form)
        except FormMissing as error:
            mend = "ask for csv, or have the extra bulk installed"
            raise Problem(HTTPStatus.NOT_IMPLEMENTED, str(error), mend, reason="form-missing") from error
        chosen = self._columns(who, FOCUS if columns is Words.FOCUS else NATIVE)
        request.state.masked = True
        begin = Cursor.parse(since)
        with self._database.transaction() as connection:
            read_feed(connection, begin, Wanted(), 1)
            end = newest_cursor(connection)
        parts = self._parts(begin, replace(_of(who, wanted), until=end.position))
        headers = {
            "Content-Disposition": f'attachment; filename="allocations.{form}"',
            CURSOR_HEADER: str(end),
            "Cache-Control": "private, no-cache",
        }
        return StreamingResponse(stream(form, parts, chosen), media_type=MEDIA_TYPES[form], headers=headers)

    def _parts(self, begin: Cursor, wanted: Wanted) -> Iterator[Part]:
        cursor = begin
        while True:
            with self._database.transaction() as connection:
                page = read_feed(connection, cursor, wanted, EXPORT_PAGE)
            yield from page.parts
            if not page.more:
                return
            cursor = page.cursor

    def _columns(self, who: Principal, columns: Sequence[Column]) -> list[Column]:
        """Leave out the columns that tell of what is hidden from who asks."""
        seen = set(self._policy.visible(who, RESOURCE, "lines[]", tuple(one.name for one in NATIVE)))
        return [one for one in columns if seen.issuperset(one.seen_with)]


def _of(who: Principal, wanted: Wanted) -> Wanted:
    return wanted if who.sites is None else replace(wanted, sites=tuple(sorted(who.sites)))
