"""`/v1/readings`, `/v1/photos`: what people read off displays, the photos of it, and what a second person decides."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ingest.api.admission import Admission, Admitted
from ingest.api.problems import Problem, not_found
from ingest.reading_desk import Look, ReadingDesk
from ingest.reading_words import reading_document
from ingest.store.hand_readings import HandReadingUnknown, HandState
from ingest.store.photos import PhotoUnknown
from metering.hand_note import TEXT_LENGTH_MAX
from metering.identity import MeterId, SiteId, check_identifier
from metering.obis import Obis
from provisioning.photo_file import MEDIA, PHOTO_OCTETS_MAX

LISTED_MAX = 1000
NUMBER_MAX = 2**63 - 1
_FIND = "list them: GET /v1/readings"


class LookRequest(BaseModel):
    """What somebody read. Without `text`, what the photo shows; `reader` is who looked, if not who brings it."""

    model_config = ConfigDict(extra="forbid")

    site: str
    meter: str
    obis: str | None = Field(None, max_length=32, examples=["1-0:1.8.0"])
    read_at: AwareDatetime
    text: str | None = Field(None, min_length=1, max_length=TEXT_LENGTH_MAX, examples=["012345.6"])
    photo: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    reader: str | None = Field(None, min_length=1, max_length=200)

    def look(self) -> Look:
        """Give it in the words of the desk; raises IdentifierInvalid, ObisInvalid."""
        return Look(
            site=SiteId(check_identifier(self.site)),
            meter=MeterId(check_identifier(self.meter)),
            obis=None if self.obis is None else Obis.parse(self.obis),
            read_at=self.read_at,
            text=self.text,
            photo=None if self.photo is None else bytes.fromhex(self.photo),
            reader=self.reader,
        )


class Decision(BaseModel):
    """Why somebody decides as he does."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=1000)


async def _photo_octets(request: Request) -> bytes:
    """Read the body, no further than a photo may reach."""
    octets = bytearray()
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > PHOTO_OCTETS_MAX:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a photo has at most {PHOTO_OCTETS_MAX} octets",
                "take it with fewer pixels",
            )
    return bytes(octets)


class ReadingRoutes:
    """The handlers, over one desk. All of them need a token: readings name people, photos show their doors."""

    def __init__(self, desk: ReadingDesk) -> None:
        self._desk = desk

    def router(self, admin: Admission) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/v1", tags=["readings"], dependencies=[Depends(admin)])
        router.add_api_route("/readings", self.list, methods=["GET"])
        router.add_api_route("/readings/manual", self.add, methods=["POST"], status_code=201)
        router.add_api_route("/readings/candidate", self.candidate, methods=["POST"])
        router.add_api_route("/readings/{number}/accept", self.accept, methods=["POST"])
        router.add_api_route("/readings/{number}/refuse", self.refuse, methods=["POST"])
        router.add_api_route("/readings/{number}/withdraw", self.withdraw, methods=["POST"])
        router.add_api_route("/photos/{sha256}", self.put_photo, methods=["PUT"], status_code=201)
        router.add_api_route("/photos/{sha256}", self.photo, methods=["GET"])
        return router

    def list(
        self,
        site: str | None = None,
        meter: str | None = None,
        state: HandState | None = None,
        limit: int = Query(100, ge=1, le=LISTED_MAX),
    ) -> dict[str, Any]:
        """List what people read, newest first."""
        found = self._desk.list(site=site, meter=meter, state=state, most=limit)
        return {"readings": [reading_document(one) for one in found]}

    def add(self, request: LookRequest, caller: Admitted) -> dict[str, Any]:
        """Enter a reading. `state` says whether it counts, is kept beside the bus, or waits and why."""
        if request.text is None and request.photo is None:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "neither a text nor a photo is given",
                "give what the display shows as `text`, or put a photo first and name it",
            )
        try:
            return reading_document(self._desk.add(request.look(), caller))
        except PhotoUnknown as error:
            raise not_found(f"photo {request.photo}", "put it first: PUT /v1/photos/{sha256}") from error

    def candidate(self, request: LookRequest) -> dict[str, Any]:
        """Say what a photo shows of a register and enter nothing: for a person to look at."""
        try:
            found = self._desk.candidate(request.look())
        except PhotoUnknown as error:
            raise not_found(f"photo {request.photo}", "put it first: PUT /v1/photos/{sha256}") from error
        return {
            "text": found.text,
            "confidence_pm": found.confidence_pm,
            "sure": found.is_sure,
            "seen": [{"digits": one.digits, "confidence_pm": one.confidence_pm} for one in found.seen],
        }

    def accept(self, number: int, request: Decision, caller: Admitted) -> dict[str, Any]:
        """Let a waiting reading count; takes a named operator, other than who read or entered it."""
        return self._decided(number, request, caller, accept=True)

    def refuse(self, number: int, request: Decision, caller: Admitted) -> dict[str, Any]:
        """Refuse a waiting reading."""
        return self._decided(number, request, caller, accept=False)

    def withdraw(self, number: int, request: Decision, caller: Admitted) -> dict[str, Any]:
        """Take a counted reading out of the books; its days are settled again without it."""
        try:
            return reading_document(self._desk.withdraw(_number(number), request.reason, caller))
        except HandReadingUnknown as error:
            raise not_found(f"reading {number}", _FIND) from error

    def put_photo(
        self,
        sha256: str,
        request: Request,
        response: Response,
        caller: Admitted,
        octets: bytes = Depends(_photo_octets),
    ) -> dict[str, Any]:
        """Keep a photo under its SHA-256; 200 when it was there before."""
        media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        is_new = self._desk.put_photo(_digest(sha256), octets, media if media in MEDIA else "", caller)
        response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        return {"photo": sha256, "octets": len(octets)}

    def photo(self, sha256: str) -> Response:
        """Give a photo."""
        try:
            found = self._desk.photo(_digest(sha256))
        except PhotoUnknown as error:
            raise not_found(f"photo {sha256}", "photos are put by PUT /v1/photos/{sha256}") from error
        headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(found.octets, media_type=found.media, headers=headers)

    def _decided(self, number: int, request: Decision, caller: Admitted, *, accept: bool) -> dict[str, Any]:
        try:
            return reading_document(self._desk.decide(_number(number), accept, request.reason, caller))
        except HandReadingUnknown as error:
            raise not_found(f"reading {number}", _FIND) from error


def _number(number: int) -> int:
    """Take a number that the database can hold; another one is that of no reading."""
    return number if 0 < number <= NUMBER_MAX else 0


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        mend = "give the 64 hexadecimal digits of the photo's hash"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{text!r} is no SHA-256", mend)
    return digest
