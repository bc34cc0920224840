"""What every answer tells the browser: what it may do with it. Put on at one point, so that no page is without."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.console.answers import HERE, OWN, content_policy

_EVERY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
}
_SECURE = "max-age=31536000"
"""Once a browser came by HTTPS, it comes by nothing else for a year."""
_OF_PAGES = content_policy(OWN, HERE)
_OF_FILES = "default-src 'none'; frame-ancestors 'none'"
"""Should a browser show a document of the API as a page, that page can do nothing."""


class SecurityHeaders:
    """The middleware; the outermost. What a handler has said itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a call on, and complete its answer."""

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, text in _EVERY.items():
                    headers.setdefault(name, text)
                is_page = headers.get("Content-Type", "").startswith("text/html")
                headers.setdefault("Content-Security-Policy", _OF_PAGES if is_page else _OF_FILES)
                if is_page:
                    headers.setdefault("Cache-Control", "no-cache")
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", _SECURE)
            await send(message)

        await self._app(scope, receive, send if scope["type"] != "http" else send_completed)
