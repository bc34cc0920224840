"""`/healthz` (the program runs), `/readyz` (what it depends on answers), `/metrics` (Prometheus)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ingest.api.metrics import Metrics

Check = Callable[[], bool]


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
        answers = {name: "ok" if check() else "away" for name, check in checks.items()}
        is_ready = all(answer == "ok" for answer in answers.values())
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"status": "ok" if is_ready else "away", "checks": answers}, status)

    @router.get("/metrics")
    def show_metrics() -> Response:
        """Give the service's metrics in the Prometheus text form."""
        return Response(generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
