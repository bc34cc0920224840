"""What callers get of an answer: tags, 304, codings; streams as they go; nothing of what must not be stored."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import zstandard
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ingest.api import representation
from ingest.api.representation import Representation, choose_coding, codings_here, etag_of, is_known

LONG = {"lines": list(range(2000))}
PLAIN = json.dumps(LONG, separators=(",", ":")).encode()


def app() -> FastAPI:
    """Answers of every sort."""
    made = FastAPI()
    made.add_middleware(Representation)
    made.get("/v1/long")(lambda: JSONResponse(LONG))
    made.get("/v1/short")(lambda: {"a": 1})
    made.get("/v1/secret")(lambda: JSONResponse(LONG, headers={"Cache-Control": "no-store"}))
    made.get("/v1/file")(lambda: Response(b"PAR1" * 1000, media_type="application/vnd.apache.parquet"))
    made.get("/v1/kept")(lambda: JSONResponse(LONG, headers={"Cache-Control": "private, max-age=60"}))
    made.get("/v1/missing")(lambda: JSONResponse(LONG, status_code=404))
    made.get("/page")(lambda: JSONResponse(LONG))
    made.post("/v1/act")(lambda: JSONResponse(LONG, status_code=201))
    made.post("/v1/try")(lambda: JSONResponse(LONG))
    made.get("/v1/none")(lambda: Response(status_code=204))

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            yield f"{number},x\n".encode()

    made.get("/v1/stream.csv")(lambda: StreamingResponse(pieces(), media_type="text/csv"))

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"

    made.get("/v1/events")(lambda: StreamingResponse(events(), media_type="text/event-stream"))
    return made


def call(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask, with no header that httpx would add by itself; the body comes as it was sent."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app())
        async with httpx.AsyncClient(transport=transport, base_url="http://c") as client:
            client.headers.clear()
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            request = client.build_request(method, path, headers={"Accept-Encoding": "", **named})
            answer = await client.send(request, stream=True)
            raw = b"".join([part async for part in answer.aiter_raw()])
            return httpx.Response(answer.status_code, headers=answer.headers, extensions={"raw": raw})

    return asyncio.run(ask())


def raw(answer: httpx.Response) -> bytes:
    """The body as it was on the wire."""
    body: bytes = answer.extensions["raw"]
    return body


def test_an_answer_carries_a_tag_and_who_has_it_gets_304_without_a_body() -> None:
    first = call("/v1/long")
    assert (first.status_code, raw(first)) == (200, PLAIN)
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = call("/v1/long", If_None_Match=first.headers["ETag"])
    assert (again.status_code, raw(again)) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Content-Type" not in again.headers
    assert "Content-Length" not in again.headers


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_the_tag_is_that_of_the_content_whatever_its_coding(coding: str) -> None:
    plain, packed = call("/v1/long"), call("/v1/long", Accept_Encoding=coding)
    assert packed.headers["Content-Encoding"] == coding
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert unpacked(coding, raw(packed)) == PLAIN
    assert int(packed.headers["Content-Length"]) == len(raw(packed)) < len(PLAIN)
    assert call("/v1/long", Accept_Encoding=coding, If_None_Match=plain.headers["ETag"]).status_code == 304


def unpacked(coding: str, octets: bytes) -> bytes:
    """Undo a coding."""
    return (
        gzip.decompress(octets)
        if coding == "gzip"
        else zstandard.ZstdDecompressor().stream_reader(io.BytesIO(octets)).read()
    )


@pytest.mark.parametrize("path", ["/v1/secret", "/v1/missing", "/page", "/v1/none"])
def test_what_is_no_content_to_keep_has_no_tag(path: str) -> None:
    answer = call(path, Accept_Encoding="gzip", If_None_Match="*")
    assert "ETag" not in answer.headers
    assert answer.status_code in (200, 404, 204)


def test_what_must_not_be_stored_is_not_compressed_either() -> None:
    secret = call("/v1/secret", Accept_Encoding="gzip, zstd")
    assert raw(secret) == PLAIN
    assert "Content-Encoding" not in secret.headers


def test_an_answer_to_a_post_is_compressed_and_never_304() -> None:
    answer = call("/v1/act", "POST", Accept_Encoding="gzip", If_None_Match="*")
    assert (answer.status_code, answer.headers["Content-Encoding"]) == (201, "gzip")
    tried = call("/v1/try", "POST", If_None_Match="*")
    assert (tried.status_code, raw(tried)) == (200, PLAIN)
    assert "ETag" not in answer.headers
    assert "ETag" not in tried.headers


@pytest.mark.parametrize("path", ["/v1/short", "/v1/file"])
def test_what_would_not_get_shorter_is_sent_as_it_is(path: str) -> None:
    answer = call(path, Accept_Encoding="gzip")
    assert "Content-Encoding" not in answer.headers
    assert "ETag" in answer.headers


def test_what_the_handler_says_of_caching_stands() -> None:
    assert call("/v1/kept").headers["Cache-Control"] == "private, max-age=60"


@pytest.mark.parametrize("coding", ["gzip", "zstd", ""])
def test_a_stream_is_compressed_as_it_goes(coding: str) -> None:
    answer = call("/v1/stream.csv", Accept_Encoding=coding)
    body = unpacked(coding, raw(answer)) if coding else raw(answer)
    assert body == b"".join(f"{number},x\n".encode() for number in range(1000))
    assert answer.headers.get("Content-Encoding", "") == coding
    assert "ETag" not in answer.headers


def test_events_are_neither_kept_back_nor_compressed() -> None:
    answer = call("/v1/events", Accept_Encoding="gzip")
    assert raw(answer) == b"data: 1\n\ndata: 2\n\n"
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip;q=0.8", "gzip"),
        ("GZIP;q=1.0", "gzip"),
        ("*", "zstd"),
        ("*;q=0.1, zstd;q=0", "gzip"),
        ("gzip;q=0", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("br", None),
        (";;,", None),
    ],
)
def test_the_coding_is_the_one_the_caller_likes_best(accepted: str, coding: str | None) -> None:
    assert choose_coding(accepted, ("zstd", "gzip")) == coding


def test_tags_are_compared_weakly_and_in_lists() -> None:
    etag = etag_of(b"a", "text/plain")
    assert is_known(etag, etag)
    assert is_known(etag, f'"x", {etag}')
    assert is_known(etag, etag.removeprefix("W/"))
    assert is_known(etag, "*")
    assert not is_known(etag, '"x"')
    assert etag_of(b"a", "text/csv") != etag


def test_without_the_library_there_is_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        return None if name == "zstandard" else object()

    monkeypatch.setattr(representation, "find_spec", absent)
    assert codings_here() == ("gzip",)


def test_a_large_body_is_the_same_through_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representation, "IN_A_THREAD", 100)
    assert gzip.decompress(raw(call("/v1/long", Accept_Encoding="gzip"))) == PLAIN
