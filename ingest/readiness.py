"""Whether a program is ready: what it depends on, each asked anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

Check = Callable[[], bool]


def readiness(checks: Mapping[str, Check]) -> tuple[HTTPStatus, dict[str, object]]:
    """Say of each dependency whether it answers now: 200 if all do, else 503."""
    answers = {name: "ok" if check() else "away" for name, check in checks.items()}
    is_ready = all(answer == "ok" for answer in answers.values())
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return status, {"status": "ok" if is_ready else "away", "checks": answers}
