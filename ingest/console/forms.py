"""What a form of the console sent. Whether it came from a page of ours was asked in front (guard.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request

from ingest.api.problems import Problem

FORM_OCTETS_MAX = 1 << 20
FIELDS_MAX = 2000
TOKEN_FIELD = "form_token"
TOKEN_HEADER = "Metertree-Form"
URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """Fields by name, each with all that was sent under it."""

    fields: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        """Give a field without the blanks around it; empty where it was not sent."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """Give a field as it was typed, as passwords are taken; empty where it was not sent."""
        return next(iter(self.fields.get(name, ())), "")

    def texts(self, name: str) -> tuple[str, ...]:
        """Give all that was sent under a name: of boxes to tick."""
        return self.fields.get(name, ())

    def number(self, name: str) -> int | None:
        """Give a whole number; None where none was sent."""
        text = self.text(name)
        return int(text) if text.isascii() and text.removeprefix("-").isdigit() else None


async def read_form(request: Request) -> Form:
    """Read a form; raises Problem 413 or 415."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in (URLENCODED, ""):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"this takes {URLENCODED}, not {kind}")
    octets = bytearray()
    async for part in request.stream():
        octets += part
        if len(octets) > FORM_OCTETS_MAX:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a form has at most {FORM_OCTETS_MAX} octets")
    return parse_form(bytes(octets))


def parse_form(octets: bytes) -> Form:
    """Read the body of a form; raises Problem 400 where it is none."""
    try:
        fields = parse_qs(octets.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "this is no form") from error
    # A NUL is no character of any text column; line ends of forms are CRLF.
    return Form({name: tuple(_plain(text) for text in texts) for name, texts in fields.items()})


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\0", "")


FormRead = Annotated[Form, Depends(read_form)]
"""Parameter of a handler: the form that was sent."""
