"""`/v1/statements`: the file that a stranger verifies, always the same; with the publication once its run is final."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from allocation_engine.bundle import with_publication
from allocation_engine.run_state import RunState
from device_profiles.catalogue import Catalogue
from ingest.api.problems import not_found
from ingest.statement_file import statement_file
from ingest.store.database import Database
from ingest.store.run_log import publication_of, state_of
from ingest.store.statements import find_statement


class StatementRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1/statements", tags=["statements"])
        router.add_api_route("/{number}", self.bundle, methods=["GET"], response_class=Response)
        return router

    def bundle(self, number: str) -> Response:
        """Give the bundle: signed statement, evidence, profiles. `metertree verify FILE --key centre.pub` checks it."""
        with self._database.transaction() as connection:
            statement = find_statement(connection, number)
            if statement is None:
                raise not_found(f"statement {number}", "each run names its statements: GET /v1/allocation-runs/{run}")
            publication = publication_of(connection, statement.run)
            state = state_of(connection, statement.run)
            bundle = statement_file(connection, statement, self._catalogue)
        headers = {
            "Content-Disposition": f'attachment; filename="{statement.number}.json"',
            # What a browser keeps must not hide that a provisional statement became final.
            "Cache-Control": "private, no-cache",
            "Metertree-Statement": standing_of(state),
        }
        content = bundle if publication is None else with_publication(bundle, publication)
        return Response(content, media_type="application/json", headers=headers)


def standing_of(state: RunState) -> str:
    """Say what a statement counts for: only one of a published run is final."""
    match state:
        case RunState.PUBLISHED:
            return "final"
        case RunState.SUPERSEDED:
            return "superseded"
        case _:
            return "provisional"
