"""The browser's verifier in a real Chromium: its modules as they are served, on a page that does nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Route

from allocation_engine.verification import VerificationReport
from tests.doubles.browser import ROOT, browser

STATIC = ROOT / "ingest/console/static"
SECURE, PLAIN = "http://localhost", "http://centre.example"
"""Where a browser offers WebCrypto, and where it does not: plain http beyond its own machine."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What the console allows its pages."""
_TYPES = {".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
_CHECK = """async ([files, keys]) => {
  const { verifyFile } = await import("/static/verify/verifier.js");
  const { Seals } = await import("/static/verify/seals.js");
  const { fromBase64 } = await import("/static/verify/octets.js");
  const seals = new Seals();
  const found = [];
  for (const file of files) {
    const report = await verifyFile(fromBase64(file), keys, seals);
    const amounts = [...report.lines].map(([id, { amount, holds }]) => [id, holds ? Number(amount) : null]);
    const lines = Object.fromEntries(amounts);
    found.push({ holds: report.holds, final: report.isFinal, checks: report.checks, lines });
  }
  return found;
}"""


@dataclass(frozen=True)
class BrowserReport:
    """What the browser found: links with whether they hold, and the amount of each line that it recomputed."""

    holds: bool
    final: bool
    links: tuple[tuple[str, bool], ...]
    told: dict[str, dict[str, str]]
    lines: dict[str, int | None]

    @property
    def broken(self) -> list[str]:
        """The links that do not hold, each once, in the order in which they were found."""
        return list(dict.fromkeys(link for link, holds in self.links if not holds))


def links_of(report: VerificationReport) -> list[str]:
    """The broken links of the other verifier, written as the browser writes them."""
    return list(dict.fromkeys(check.link.replace("+00:00", "Z") for check in report.broken))


class BrowserVerifier:
    """A page on which files are checked."""

    def __init__(self, page: Page, keys: Sequence[bytes]) -> None:
        self.page = page
        self.keys = [key.hex() for key in keys]

    def check(self, *files: bytes, keys: Sequence[bytes] | None = None) -> list[BrowserReport]:
        """Check statement files, in one go."""
        texts = [base64.b64encode(one).decode() for one in files]
        trusted = self.keys if keys is None else [key.hex() for key in keys]
        return [_report(found) for found in self.page.evaluate(_CHECK, [texts, trusted])]

    def elsewhere(self, origin: str) -> AbstractContextManager[BrowserVerifier]:
        """Open a page of another origin in the same browser."""
        chromium = self.page.context.browser
        assert chromium is not None
        return opened_at(chromium, [bytes.fromhex(key) for key in self.keys], origin)

    def ask(self, module: str, expression: str, given: Any = None) -> Any:
        """Evaluate an expression over `m`, a module, and `given`."""
        script = f"async (given) => {{ const m = await import('/static/verify/{module}'); return {expression}; }}"
        return self.page.evaluate(script, given)


def _report(found: dict[str, Any]) -> BrowserReport:
    links = tuple((one["link"], one["holds"]) for one in found["checks"])
    told = {one["link"]: one["told"] for one in found["checks"]}
    return BrowserReport(found["holds"], found["final"], links, told, found["lines"])


def serve_static(context: BrowserContext, pages: dict[str, bytes] | None = None) -> None:
    """Answer for every host: the static files from this repository, `pages` by path, and nothing else."""
    shown = pages or {}

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        file = STATIC / path.removeprefix("/static/")
        if path in shown:
            kind = "application/json" if path.endswith(".json") else "text/html; charset=utf-8"
            route.fulfill(body=shown[path], headers={"Content-Type": kind, "Content-Security-Policy": POLICY})
        elif path.startswith("/static/") and file.is_file():
            route.fulfill(body=file.read_bytes(), headers={"Content-Type": _TYPES.get(file.suffix, "text/plain")})
        else:
            route.fulfill(status=404)

    context.route("**/*", answer)


@contextmanager
def opened_at(chromium: Browser, keys: Sequence[bytes], origin: str) -> Iterator[BrowserVerifier]:
    """Open an empty page of `origin`."""
    context = chromium.new_context()
    serve_static(context, {"/": b"<!doctype html><title>verifier</title>"})
    page = context.new_page()
    page.goto(f"{origin}/")
    yield BrowserVerifier(page, keys)
    context.close()


@contextmanager
def browser_verifier(keys: Sequence[bytes]) -> Iterator[BrowserVerifier]:
    """Open a page with WebCrypto in a browser; skip the test where there is none."""
    with browser() as chromium, opened_at(chromium, keys, SECURE) as verifier:
        yield verifier


def vectors_of(document: str) -> dict[str, Any]:
    """The test vectors of a page of the documentation."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split("<!-- vectors -->", 1)[1].split("```json\n", 1)[1].split("```", 1)[0])
    return found


def module_texts() -> dict[str, str]:
    """The modules of the verifier, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(STATIC / "verify").glob("*.js"))}
