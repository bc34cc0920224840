"""The one place where answers of `/v1` get an ETag, are answered with 304, and are compressed.

An answer that a handler gives whole gets a weak ETag, the hash of its octets before compression: the same content has
the same tag, whoever asks and in whatever coding. The handler has run by then, so whoever may not see something is
refused as ever. A stream (an export, events) passes by without a tag; exports are compressed as they go. What must not
be stored (`Cache-Control: no-store`: tokens, claims) is left alone: a tag or a length would say something of it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Iterable
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any, Protocol

from anyio.to_thread import run_sync
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/v1/"
SMALLEST = 1024
"""Shorter bodies are sent as they are: with its head, compression would make them longer."""
IN_A_THREAD = 1 << 16
"""From so many octets on, hashing and compressing is not done where other requests wait."""
ETAG_OCTETS = 16
_GZIP_LEVEL, _ZSTD_LEVEL = 4, 3
_GZIP_WINDOW = zlib.MAX_WBITS | 16
_TEXTUAL = re.compile(r"(text/(?!event-stream)|application/([a-z.-]+\+)?(json|xml)|application/vnd\.apache\.arrow)")
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{1,3})?)\s*\Z")


class Squeezer(Protocol):
    """Compresses a body piece by piece."""

    def compress(self, octets: bytes, /) -> bytes:
        """Take a piece; give what is ready."""
        ...

    def flush(self) -> bytes:
        """Give the rest."""
        ...


def squeezer(coding: str) -> Squeezer:
    """Begin to compress in a coding that `codings_here` names."""
    if coding == "zstd":
        from zstandard import ZstdCompressor

        begun: Squeezer = ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
        return begun
    return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)


def codings_here() -> tuple[str, ...]:
    """Name the codings this installation has, best first; zstd is in the extra `bulk`."""
    return ("zstd", "gzip") if find_spec("zstandard") else ("gzip",)


def choose_coding(accepted: str, offered: Iterable[str]) -> str | None:
    """Choose by `Accept-Encoding` (RFC 9110, 12.5.3): the first offered one among those the caller likes best."""
    likes: dict[str, float] = {}
    for part in accepted.split(","):
        name, *rest = part.split(";")
        found = [_QUALITY.match(one) for one in rest]
        likes[name.strip().lower()] = float(found[0][1]) if found and found[0] else 1.0
    best, chosen = 0.0, None
    for one in offered:
        quality = likes.get(one, likes.get("*", 0.0))
        if quality > best:
            best, chosen = quality, one
    # Who likes the plain form better is given it.
    return chosen if best >= likes.get("identity", 0.0) else None


def etag_of(body: bytes, content_type: str) -> str:
    """Give the weak tag of a body."""
    digest = hashlib.sha256(content_type.encode() + b"\0" + body).digest()[:ETAG_OCTETS]
    return f'W/"{base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}"'


def is_known(etag: str, if_none_match: str) -> bool:
    """Say whether the caller has it: weak comparison, as RFC 9110, 13.1.2 asks for."""
    given = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in given or etag.removeprefix("W/") in given


class Representation:
    """ASGI middleware; inside of it stands whatever decides what a caller may see."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._codings = codings_here()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        chosen = choose_coding(asked.get("accept-encoding", ""), self._codings)
        known = asked.get("if-none-match", "") if scope["method"] in {"GET", "HEAD"} else None
        await self._app(scope, receive, _Answer(send, chosen, known).send)


class _Answer:
    """One answer on its way out. known: what the caller has of it; None where that is not asked."""

    def __init__(self, send: Send, coding: str | None, known: str | None) -> None:
        self._send, self._coding, self._known = send, coding, known
        self._start: Message = {}
        self._squeezer: Squeezer | None = None
        self._begun = False

    async def send(self, message: Message) -> None:
        """Take what the application sends."""
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            await (self._piece(message) if self._begun or message.get("more_body") else self._whole(message))
        else:
            await self._send(message)

    async def _whole(self, message: Message) -> None:
        """Tag, compare and compress a body that came in one piece."""
        head, body = self._head(), message.get("body", b"")
        if self._known is not None and self._start["status"] == HTTPStatus.OK and _may_be_stored(head):
            etag = await _threaded(body, lambda: etag_of(body, head.get("content-type", "")))
            head.setdefault("ETag", etag)
            head.setdefault("Cache-Control", "private, no-cache")
            if is_known(head["ETag"], self._known):
                self._start["status"] = int(HTTPStatus.NOT_MODIFIED)
                for name in ("content-type", "content-disposition", "content-language"):
                    del head[name]
                body = b""
        if len(body) >= SMALLEST and self._compresses(head):
            chosen = squeezer(self._coding or "gzip")
            body = await _threaded(body, lambda: chosen.compress(body) + chosen.flush())
        if self._start["status"] not in (HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT):
            head["Content-Length"] = str(len(body))
        else:
            del head["content-length"]
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _piece(self, message: Message) -> None:
        """Compress a stream as it goes; the end flushes."""
        if not self._begun:
            self._begun, head = True, self._head()
            if self._compresses(head):
                self._squeezer = squeezer(self._coding or "gzip")
                del head["content-length"]
            await self._send(self._start)
        if self._squeezer is None:
            await self._send(message)
            return
        body, more, chosen = message.get("body", b""), message.get("more_body", False), self._squeezer
        body = await _threaded(body, lambda: chosen.compress(body) + (b"" if more else chosen.flush()))
        if body or not more:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _head(self) -> MutableHeaders:
        return MutableHeaders(raw=self._start.setdefault("headers", []))

    def _compresses(self, head: MutableHeaders) -> bool:
        """Say whether to compress, and if so, or if another caller would get it so, note it in the head."""
        kind = head.get("content-type", "")
        if "content-encoding" in head or not _may_be_stored(head) or not _TEXTUAL.match(kind):
            return False
        head.add_vary_header("Accept-Encoding")
        if self._coding is None:
            return False
        head["Content-Encoding"] = self._coding
        return True


def _may_be_stored(head: Headers | MutableHeaders) -> bool:
    return "no-store" not in head.get("cache-control", "")


async def _threaded(body: bytes, work: Any) -> Any:
    """Do what takes long beside other requests, what does not, here."""
    return await run_sync(work) if len(body) > IN_A_THREAD else work()
