"""Every page there is, by the pattern of its route: who looks at it, and with what filled in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """One page. path: with the names of the stage's parts; is_open: it is looked at by nobody in particular."""

    pattern: str
    path: str
    is_open: bool = False

    @property
    def name(self) -> str:
        """Name of its pictures."""
        return self.pattern.strip("/").replace("/", "-").replace("{", "").replace("}", "") or "home"


PAGES = (
    Page("/sign-in", "/sign-in", is_open=True),
    Page("/welcome/{token}", "/welcome/{welcome}", is_open=True),
    Page("/s/{token}", "/s/{token}", is_open=True),
    Page("/", "/"),
    Page("/account", "/account"),
    Page("/account/code", "/account/code"),
    Page("/alerts", "/alerts"),
    Page("/disputes", "/disputes"),
    Page("/disputes/{dispute}", "/disputes/{dispute}"),
    Page("/fleet", "/fleet"),
    Page("/fleet/{gateway}", "/fleet/{gateway}"),
    Page("/inbox", "/inbox"),
    Page("/inbox/alerts/{alert}", "/inbox/alerts/{alert}"),
    Page("/inbox/bindings/{binding}", "/inbox/bindings/{binding}"),
    Page("/inbox/quarantine/{number}", "/inbox/quarantine/{kept}"),
    Page("/inbox/readings/{number}", "/inbox/readings/{reading}"),
    Page("/jobs", "/jobs"),
    Page("/rules", "/rules"),
    Page("/rules/{site}", "/rules/{site}"),
    Page("/rules/{site}/calendar", "/rules/{site}/calendar"),
    Page("/rules/{site}/coefficient-form", "/rules/{site}/coefficient-form"),
    Page("/rules/{site}/coefficients", "/rules/{site}/coefficients"),
    Page("/rules/{site}/compose", "/rules/{site}/compose"),
    Page("/rules/{site}/drafts/{draft}", "/rules/{site}/drafts/{draft}"),
    Page("/rules/{site}/history", "/rules/{site}/history"),
    Page("/rules/{site}/lease-form", "/rules/{site}/lease-form"),
    Page("/rules/{site}/leases", "/rules/{site}/leases"),
    Page("/rules/{site}/pools/{pool}", "/rules/{site}/pools/{pool}"),
    Page("/rules/{site}/price-form", "/rules/{site}/price-form"),
    Page("/rules/{site}/series", "/rules/{site}/series"),
    Page("/rules/{site}/series-form", "/rules/{site}/series-form"),
    Page("/rules/{site}/series/{name}", "/rules/{site}/series/{series}"),
    Page("/rules/{site}/tariffs", "/rules/{site}/tariffs"),
    Page("/runs", "/runs"),
    Page("/runs/close", "/runs/close"),
    Page("/runs/{run}", "/runs/{run}"),
    Page("/runs/{run}/diff/{other}", "/runs/{before}/diff/{run}"),
    Page("/runs/{run}/lines", "/runs/{run}/lines"),
    Page("/runs/{run}/posting", "/runs/{published}/posting"),
    Page("/runs/{run}/review", "/runs/{run}/review"),
    Page("/runs/{run}/what-if", "/runs/{run}/what-if"),
    Page("/series/{site}/{node}", "/series/{site}/{node}"),
    Page("/settings", "/settings"),
    Page("/settings/audit", "/settings/audit"),
    Page("/settings/clients", "/settings/clients"),
    Page("/settings/clients/new", "/settings/clients/new"),
    Page("/settings/clients/{name}", "/settings/clients/{client}"),
    Page("/settings/webhooks", "/settings/webhooks"),
    Page("/settings/webhooks/new", "/settings/webhooks/new"),
    Page("/settings/webhooks/{endpoint}", "/settings/webhooks/{endpoint}"),
    Page("/settings/operators", "/settings/operators"),
    Page("/settings/operators/new", "/settings/operators/new"),
    Page("/settings/operators/{name}", "/settings/operators/{operator}"),
    Page("/sites", "/sites"),
    Page("/sites/{site}", "/sites/{site}"),
    Page("/statements", "/statements"),
)
ELSEWHERE = {
    "/verify.html": "comes as a file: tests/integration/test_browser_verifier.py",
    "/jobs/{job}": "a job that goes on is shown by tests/integration/test_manager_day.py",
    "/sign-in/code": "comes after a password only: tests/integration/test_console_sign_in.py",
    "/rules/{site}/coefficients/{name}": "the park has no coefficients of its own",
    "/series": "leads to /series/{site}/{node}",
    "/series/{site}": "leads to /series/{site}/{node}",
}
"""Pages that this stage cannot show, and why."""
FILES = (
    *(".csv", ".json", ".svg", ".pdf", "/events", "/photo", "{sha256}", "{path:path}"),
    *("/healthz", "/readyz", "/metrics"),
)
"""How the patterns of files end, which are no pages."""
