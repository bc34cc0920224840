"""`/healthz` (the program runs), `/readyz` (what it depends on answers), `/metrics` (Prometheus)."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ingest.api.metrics import Metrics
from ingest.readiness import Check, readiness


def health_router(checks: Mapping[str, Check], metrics: Metrics) -> APIRouter:
    """Give the routes. `checks` are asked anew at each call of `/readyz`, by the name of what they depend on."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        """Say that the program runs and answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    def readyz() -> Response:
        """Say of each dependency whether it answers now; 503 unless all do."""
        status, document = readiness(checks)
        return JSONResponse(document, status)

    @router.get("/metrics")
    def show_metrics() -> Response:
        """Give the service's metrics in the Prometheus text form."""
        return Response(generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
