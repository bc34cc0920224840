"""`/s/{token}`: a statement to its payer, without a login. Whoever has the link may look, confirm and dispute.

The token is in no log and no metric, which name routes by their pattern, and goes to no other site: pages load nothing
from elsewhere and send no referrer. Whoever calls too often waits, by link and by address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from allocation_engine.bundle import with_publication
from device_profiles.catalogue import Catalogue
from ingest.api.claim_gate import Buckets
from ingest.caller import Caller
from ingest.console.assets import asset, assets
from ingest.console.multipart import SentForm, read_sent_form
from ingest.console.tenant_page import ALL_LINES, TenantPage, read_page
from ingest.console.visit import visit_of
from ingest.console.words import Language
from ingest.statement_desk import (
    Complaint,
    ComplaintInvalid,
    LineCharged,
    NothingToConfirm,
    StatementDesk,
    StatementView,
    tenant,
)
from ingest.statement_file import statement_file
from ingest.statement_links import LinkExpired, LinkUnknown, token_hash
from ingest.statement_paper import statement_pdf
from ingest.statement_states import WHOLE, StatementStepRefused
from ingest.statement_words import statement_words
from ingest.store.photos import find_photo
from ingest.store.run_log import publication_of
from metering.clock import Clock
from provisioning.paper.fonts import FontMissing
from provisioning.paper.qr import qr_path
from provisioning.paper.typesetting import PaperImpossible
from provisioning.photo_file import PhotoRefused, plain_photo

LINK_CALLS, LINK_REFILL_S = 90, 1.0
"""Calls of one link at once, and how soon there is another: a page with all its photos is some ten."""
WRONG_CALLS, WRONG_REFILL_S = 20, 6.0
"""Links that open nothing, by address: a slip of the finger is free, a search through 2^130 links is not."""
_PRIVATE = {
    "Cache-Control": "private, no-store",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Sent = Annotated[SentForm, Depends(read_sent_form)]


@dataclass(frozen=True, slots=True)
class TenantPages:
    """The handlers. `keys`: raw public keys of the centre, by which the browser checks."""

    desk: StatementDesk
    catalogue: Catalogue
    keys: Sequence[bytes]
    clock: Clock
    by_link: Buckets = field(init=False)
    by_address: Buckets = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_link", Buckets(self.clock, LINK_CALLS, LINK_REFILL_S))
        object.__setattr__(self, "by_address", Buckets(self.clock, WRONG_CALLS, WRONG_REFILL_S))

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(prefix="/s/{token}", include_in_schema=False)
        router.add_api_route("", self.page, methods=["GET"])
        router.add_api_route("/statement.json", self.file, methods=["GET"])
        router.add_api_route("/statement.pdf", self.paper, methods=["GET"])
        router.add_api_route("/qr.svg", self.qr, methods=["GET"])
        router.add_api_route("/photos/{sha256}", self.photo, methods=["GET"])
        router.add_api_route("/confirm", self.confirm, methods=["POST"])
        router.add_api_route("/dispute", self.dispute, methods=["POST"])
        return router

    def page(self, request: Request, token: str) -> Response:
        """Show the statement; the first time it is noted as seen."""

        def show(view: StatementView) -> Response:
            self.desk.see(token, _caller(request, view))
            return self._shown(request, token)

        return self._opened(request, token, show)

    def file(self, request: Request, token: str) -> Response:
        """Give the file that anybody can verify."""

        def give(view: StatementView) -> Response:
            with self.desk.database.transaction() as connection:
                octets = statement_file(connection, view.stored, self.catalogue)
                publication = publication_of(connection, view.stored.run)
            content = octets if publication is None else with_publication(octets, publication)
            return Response(content, media_type="application/json", headers=_PRIVATE | _named(view, "json"))

        return self._opened(request, token, give)

    def paper(self, request: Request, token: str) -> Response:
        """Give the statement as PDF, with the code that leads here."""

        def give(view: StatementView) -> Response:
            visit = visit_of(request)
            page = self._read(view, visit.language, sums=False)
            try:
                octets = statement_pdf(page, visit.language, _address(request, token), view.stored.issued_at)
            except (PaperImpossible, FontMissing) as error:
                return self._without(request, HTTPStatus.SERVICE_UNAVAILABLE, "paper-missing", detail=str(error))
            return Response(octets, media_type="application/pdf", headers=_PRIVATE | _named(view, "pdf"))

        return self._opened(request, token, give)

    def qr(self, request: Request, token: str) -> Response:
        """Give the link as a QR code: nothing else stands in it."""

        def give(_: StatementView) -> Response:
            drawn = qr_path(_address(request, token), x=0, y=0, width=200)
            picture = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" role="img">{drawn}</svg>'
            return Response(picture, media_type="image/svg+xml", headers=_PRIVATE)

        return self._opened(request, token, give)

    def photo(self, request: Request, token: str, sha256: str) -> Response:
        """Give a photo that stands on this page: of a meter, or what the payer sent himself; no other."""

        def give(view: StatementView) -> Response:
            with self.desk.database.transaction() as connection:
                page = read_page(connection, view, Language.EN, sums=False)
                shown = {one for card in page.meters for one in card.photos}
                shown |= {one.photo for one in page.disputes if one.photo}
                if sha256 not in shown:
                    return visit_of(request).missing()
                found = find_photo(connection, bytes.fromhex(sha256))
            return Response(found.octets, media_type=found.media, headers=_PRIVATE)

        return self._opened(request, token, give)

    def confirm(self, request: Request, token: str, _: Sent) -> Response:
        """Confirm; pressed again, nothing more happens."""

        def act(view: StatementView) -> Response:
            try:
                self.desk.confirm(token, _caller(request, view))
            except (StatementStepRefused, NothingToConfirm):
                # The page as it stands now says why.
                return visit_of(request).redirect(f"/s/{token}#answer")
            return visit_of(request).redirect(f"/s/{token}?told=confirmed")

        return self._opened(request, token, act)

    def dispute(self, request: Request, token: str, sent: Sent) -> Response:
        """Take a dispute; what was typed is kept where something is wrong with it."""

        def act(view: StatementView) -> Response:
            word = statement_words(visit_of(request).language)
            try:
                line = sent.text("line")
                if not line:
                    raise ComplaintInvalid("no item was chosen")
                photo = plain_photo(sent.files["photo"]) if sent.files.get("photo") else None
                complaint = Complaint(WHOLE if line == ALL_LINES else line, sent.text("reason"), photo)
                self.desk.dispute(token, complaint, _caller(request, view))
            except PhotoRefused as error:
                return self._shown(request, token, sent, fault=word["fault-photo"].format(why=error))
            except ComplaintInvalid:
                return self._shown(request, token, sent, fault=word["fault-empty"])
            except (LineCharged, StatementStepRefused):
                return self._shown(request, token, sent, fault=word["fault-done"])
            return visit_of(request).redirect(f"/s/{token}?told=disputed")

        return self._opened(request, token, act)

    def _opened(self, request: Request, token: str, act: Callable[[StatementView], Response]) -> Response:
        """Open the link for `act`, or say why it does not open."""
        address = request.client.host if request.client else ""
        link = _link_name(token)
        wait_s = max(self.by_address.wait_s(address), self.by_link.wait_s(link))
        if wait_s:
            answer = self._without(request, HTTPStatus.TOO_MANY_REQUESTS, "link-busy", seconds=wait_s)
            answer.headers["Retry-After"] = str(wait_s)
            return answer
        try:
            view = self.desk.open_token(token)
        except LinkUnknown:
            self.by_address.spend(address)
            return self._without(request, HTTPStatus.NOT_FOUND, "link-unknown")
        except LinkExpired:
            return self._without(request, HTTPStatus.GONE, "link-expired")
        self.by_link.spend(link)
        return act(view)

    def _shown(self, request: Request, token: str, sent: SentForm | None = None, fault: str = "") -> Response:
        visit = visit_of(request)
        view = self.desk.open_token(token)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
        answer = visit.page(
            "tenant.html",
            status,
            word=statement_words(visit.language),
            view=self._read(view, visit.language),
            here=f"/s/{token}",
            brand_href=f"/s/{token}",
            keys=" ".join(key.hex() for key in self.keys),
            checker=_checker(),
            typed=sent or SentForm(),
            fault=fault,
        )
        answer.headers.update(_PRIVATE)
        return answer

    def _without(self, request: Request, status: HTTPStatus, why: str, **fields: object) -> Response:
        visit = visit_of(request)
        word = statement_words(visit.language)
        told = word[f"{why}-note"].format(**fields)
        answer = visit.page("tenant_none.html", status, word=word, why=word[why], told_why=told, brand_href="/s/-")
        answer.headers.update(_PRIVATE)
        return answer

    def _read(self, view: StatementView, language: Language, *, sums: bool = True) -> TenantPage:
        with self.desk.database.transaction() as connection:
            return read_page(connection, view, language, sums=sums)


def _caller(request: Request, view: StatementView) -> Caller:
    address = request.client.host if request.client else ""
    return tenant(view, address, request.headers.get("User-Agent", "")[:200])


def _link_name(token: str) -> str:
    """Name a link, however it is written; empty for what is none."""
    try:
        return token_hash(token).hex()
    except LinkUnknown:
        return ""


def _address(request: Request, token: str) -> str:
    """Give the address of the page, as the caller reached this service."""
    return f"{str(request.base_url).rstrip('/')}/s/{token}"


def _named(view: StatementView, ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{view.stored.number}.{ending}"'}


def _checker() -> tuple[str, str]:
    """Give the addresses of style and module that check in the browser; empty where this build has none."""
    files = ("verify/verify.css", "verify/statement_page.js")
    first, second = (asset(one) if one in assets() else "" for one in files)
    return first, second
