"""A form with a file, as browsers send it (multipart/form-data, RFC 7578), read by the standard library; bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus

from fastapi import Request

from ingest.api.problems import Problem
from ingest.console.forms import FORM_OCTETS_MAX, URLENCODED, parse_form
from provisioning.photo_file import PHOTO_OCTETS_MAX

MULTIPART = "multipart/form-data"
OCTETS_MAX = PHOTO_OCTETS_MAX + FORM_OCTETS_MAX
PARTS_MAX = 20


@dataclass(frozen=True, slots=True)
class SentForm:
    """Texts and files by name; a file that was not chosen is not there."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Give a text without the blanks around it; empty where it was not sent."""
        return self.texts.get(name, "").strip()


async def read_sent_form(request: Request) -> SentForm:
    """Read a form with or without files; raises Problem 400, 413 or 415."""
    kind = request.headers.get("Content-Type", "")
    octets = bytearray()
    async for part in request.stream():
        octets += part
        if len(octets) > OCTETS_MAX:
            told = f"a form with a photo has at most {OCTETS_MAX} octets"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told, "send a smaller photo, or none")
    plain = kind.partition(";")[0].strip().lower()
    if plain in (URLENCODED, ""):
        form = parse_form(bytes(octets))
        return SentForm({name: next(iter(texts), "") for name, texts in form.fields.items()})
    if plain != MULTIPART:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"this takes {MULTIPART}, not {plain}")
    return parse_multipart(kind, bytes(octets))


def parse_multipart(kind: str, octets: bytes) -> SentForm:
    """Take the body of a form with files apart; `kind` is its Content-Type. Raises Problem 400."""
    if not kind.isascii() or "\n" in kind or "\r" in kind:
        raise Problem(HTTPStatus.BAD_REQUEST, "this is no form")
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + octets)
    parts = message.get_payload()
    if not isinstance(parts, list) or len(parts) > PARTS_MAX:
        raise Problem(HTTPStatus.BAD_REQUEST, "this is no form")
    form = SentForm()
    for part in parts:
        if not isinstance(part, Message):
            raise Problem(HTTPStatus.BAD_REQUEST, "this is no form")
        name = part.get_param("name", header="content-disposition")
        body = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(body, bytes):
            raise Problem(HTTPStatus.BAD_REQUEST, "this is no form")
        if part.get_filename() is None:
            form.texts[name] = body.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\0", "")
        elif body:
            form.files[name] = body
    return form
