"""`/v1/statements`: the file that a stranger verifies, as it was stored, octet for octet."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from ingest.api.problems import not_found
from ingest.store.database import Database
from ingest.store.statements import find_statement


class StatementRoutes:
    """The handlers, over one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        headers = {
            "Content-Disposition": f'attachment; filename="{statement.number}.json"',
            "Cache-Control": "private, max-age=31536000, immutable",
        }
        return Response(statement.bundle, media_type="application/json", headers=headers)
