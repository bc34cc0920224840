"""A report file proves itself: whatever is changed in it is noticed, in HTML and in PDF."""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pypdfium2
import pytest

from metering.envelope import digest_of
from metering.errors import MeteringError
from metering.identity import MeterId, PortId
from provisioning.installation import Bind, Photo, PhotoKind, PortChange
from provisioning.keys import FileSigner
from provisioning.paper.fonts import FontMissing, chinese_font
from provisioning.paper.typesetting import PaperImpossible
from provisioning.report import Evidence, ReportFileInvalid, ReportKind, check_report, make_report
from provisioning.report.seal import ReportFile, read_report_file
from provisioning.site import Names
from tests.doubles.installer import NOW, Installer, binding
from tests.doubles.surveyed_park import CENTRE, order_for, picture, surveyed, surveyed_site

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
KINDS = [ReportKind.HTML, ReportKind.PDF]


@cache
def made(kind: ReportKind, *, sealed: bool = True, language: str = "zh") -> bytes:
    if kind is ReportKind.PDF:
        try:
            chinese_font()
        except FontMissing:
            pytest.skip("no Chinese font here: scripts/install_fonts.sh fetches one")
    evidence, photos, signer = surveyed()
    return make_report(evidence, kind, language=language, made_at=AT, photos=photos, signer=signer if sealed else None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_of_the_gateway_proves_itself(kind: ReportKind) -> None:
    found = check_report(made(kind))
    assert (found.kind, found.sealed_by, found.is_anchored) == (kind, "gateway", False)
    assert found.installation.gateway == "gw-a"
    assert found.seal_key == found.installation.fingerprint
    assert check_report(made(kind), anchor=CENTRE.verifier()).is_anchored


@pytest.mark.parametrize("kind", KINDS)
def test_any_changed_octet_is_noticed(kind: ReportKind) -> None:
    octets = made(kind)
    chance = random.Random(7)
    places = {0, 1, len(octets) - 1, *(chance.randrange(len(octets)) for _ in range(60))}
    # Where the evidence and the seal are, more densely: there a change could leave the meaning as it was.
    start = octets.rindex(b"metertree-seal")
    places |= set(range(start - 20, min(start + 460, len(octets)), 2))
    for place in sorted(places):
        for bit in (1 << place % 8,):
            changed = bytearray(octets)
            changed[place] ^= bit
            with pytest.raises(MeteringError):
                check_report(bytes(changed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.9999])
def test_a_file_cut_short_is_noticed(kind: ReportKind, kept: float) -> None:
    octets = made(kind)
    with pytest.raises(MeteringError):
        check_report(octets[: int(len(octets) * kept)])


@pytest.mark.parametrize("kind", KINDS)
def test_something_put_in_anywhere_is_noticed(kind: ReportKind) -> None:
    octets = made(kind)
    for place in (len(octets), octets.rindex(b"metertree-seal") - 5, octets.index(b"metertree-evidence") - 5, 40):
        for more in (b"\n", b" ", b"%\n", b"<!-- -->", octets):
            with pytest.raises(MeteringError):
                check_report(octets[:place] + more + octets[place:])


@pytest.mark.parametrize("kind", KINDS)
def test_the_seal_of_one_report_does_not_fit_another(kind: ReportKind) -> None:
    one, other = read_report_file(made(kind)), read_report_file(made(kind, language="en"))
    assert one.seal != other.seal
    with pytest.raises(ReportFileInvalid, match="changed after it was sealed"):
        check_report(replace(one, seal=other.seal).to_octets())
    with pytest.raises(MeteringError):
        check_report(replace(one, evidence=other.evidence[:-1]).to_octets())


def test_the_seal_of_a_page_is_not_that_of_a_paper() -> None:
    html = read_report_file(made(ReportKind.HTML))
    _, _, signer = surveyed()
    paper = ReportFile(ReportKind.PDF, b"%PDF-1.7\n" + html.body + b"\nstartxref\n0\n%%EOF", html.evidence, None)
    with pytest.raises(MeteringError):
        check_report(replace(paper, seal=html.sealed(signer).seal).to_octets())


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_without_seal_is_refused_and_says_how_to_get_one(kind: ReportKind) -> None:
    with pytest.raises(ReportFileInvalid, match="made at the gateway, or with --key"):
        check_report(made(kind, sealed=False))


def test_another_key_is_believed_only_when_it_is_given() -> None:
    evidence, photos, _ = surveyed()
    office = FileSigner.from_seed(bytes([33]) * 32)
    octets = make_report(evidence, ReportKind.HTML, language="en", made_at=AT, photos=photos, signer=office)
    with pytest.raises(ReportFileInvalid, match="--sealed-by FILE"):
        check_report(octets)
    assert check_report(octets, keys={office.key_id: office.verifier()}).sealed_by == "other"


def test_a_picture_that_the_acts_do_not_name_is_noticed_even_under_a_seal() -> None:
    _, _, signer = surveyed()
    found = read_report_file(made(ReportKind.HTML, sealed=False))
    first = surveyed()[1]
    digest, octets = next(iter(first.items()))
    other = picture(250)
    body = found.body.replace(base64.b64encode(octets), base64.b64encode(other))
    assert body != found.body
    with pytest.raises(ReportFileInvalid, match="not the one that was taken"):
        check_report(replace(found, body=body).sealed(signer).to_octets())
    renamed = body.replace(digest.hex().encode(), hashlib.sha256(other).hexdigest().encode())
    with pytest.raises(ReportFileInvalid, match="not the one that was taken"):
        check_report(replace(found, body=renamed).sealed(signer).to_octets())


@pytest.mark.parametrize(
    "octets", [b"", b"%PDF-1.7\n", b"<!doctype html>", b"%PDF-1.7\nstartxref\n0\n%%EOF", b"\xff" * 99]
)
def test_other_files_are_no_reports(octets: bytes) -> None:
    with pytest.raises(ReportFileInvalid):
        check_report(octets)


def test_a_photo_that_is_not_what_it_is_called_is_not_shown() -> None:
    evidence, photos, signer = surveyed()
    wrong = {digest: picture(251) for digest in photos}
    octets = make_report(evidence, ReportKind.HTML, language="en", made_at=AT, photos=wrong, signer=signer)
    assert b"<img " not in octets


def test_photos_beyond_the_bound_are_named_only(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, photos, signer = surveyed()
    monkeypatch.setattr("provisioning.report.files.PICTURES_OCTETS_MAX", 3 * len(picture(1)))
    octets = make_report(evidence, ReportKind.HTML, language="en", made_at=AT, photos=photos, signer=signer)
    assert 2 <= octets.count(b"<img ") <= 4


@pytest.mark.parametrize(("language", "words"), [("zh", "安装调试报告"), ("en", "Commissioning report")])
def test_a_paper_reads_as_text_with_the_font_inside(language: str, words: str) -> None:
    document = pypdfium2.PdfDocument(made(ReportKind.PDF, language=language))
    text = "".join(page.get_textpage().get_text_bounded() for page in document)
    assert words in text
    for one in check_report(made(ReportKind.PDF, language=language)).installation.bound:
        assert one.meter.serial in text.replace("\r\n", "").replace("\u200b", "")
    assert len(document) >= 3


def test_a_paper_is_the_same_octets_again() -> None:
    evidence, photos, signer = surveyed()
    again = make_report(evidence, ReportKind.PDF, language="zh", made_at=AT, photos=photos, signer=signer)
    assert again == made(ReportKind.PDF)


def test_a_paper_is_made_at_any_fraction_of_a_second() -> None:
    evidence, photos, signer = surveyed()
    at = AT.replace(microsecond=123_456)
    assert make_report(evidence, ReportKind.PDF, language="zh", made_at=at, photos=photos, signer=signer)


def test_without_a_chinese_font_there_is_no_paper_but_a_mend(tmp_path: object) -> None:
    with pytest.raises(FontMissing, match=r"scripts/install_fonts\.sh"):
        chinese_font(())


def test_without_typst_there_is_no_paper_but_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, photos, signer = surveyed()
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    with pytest.raises(PaperImpossible, match=r"metertree\[pdf\]"):
        make_report(evidence, ReportKind.PDF, language="zh", made_at=AT, photos=photos, signer=signer)
    assert check_report(
        make_report(evidence, ReportKind.HTML, language="zh", made_at=AT, photos=photos, signer=signer)
    ).sealed_by


def test_a_photo_that_nobody_can_decode_does_not_keep_the_paper_from_being_made() -> None:
    needs_font = made(ReportKind.PDF)
    site = surveyed_site()
    voucher, order = order_for(site, "gw-a")
    installer = Installer("gw-a", site=site)
    installer.voucher = digest_of(voucher)
    pictures = [b"\xff\xd8 no JPEG", picture(12)]
    photos = {hashlib.sha256(octets).digest(): octets for octets in pictures}
    named = tuple(
        Photo(digest, PhotoKind.METER, NOW, len(octets), media)
        for (digest, octets), media in zip(photos.items(), ("image/jpeg", "image/png"), strict=True)
    )
    bound = binding(site.meter(MeterId("m-lift")), NOW)
    installer.act(Bind(binding=replace(bound, photos=named)))
    evidence = Evidence(order, installer.signer.public_key, tuple(installer.sealed), None, None)
    octets = make_report(evidence, ReportKind.PDF, language="en", made_at=AT, photos=photos, signer=installer.signer)
    text = "".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(octets))
    assert text.count("the picture is not in this file") == 1
    assert len(needs_font) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_installation_without_meters_and_names_with_strange_signs_can_be_told(kind: ReportKind) -> None:
    made(kind)
    site = surveyed_site()
    nodes = tuple(replace(node, names=Names("\x01\u202e]]>&<", "#*_$@`\\\x7f")) for node in site.nodes)
    site = replace(site, nodes=nodes)
    voucher, order = order_for(site, "gw-a")
    installer = Installer("gw-a", site=site)
    installer.voucher = digest_of(voucher)
    installer.act(PortChange(port=site.port(PortId("line-a"))))
    evidence = Evidence(order, installer.signer.public_key, tuple(installer.sealed), None, None)
    for language in ("zh", "en"):
        octets = make_report(evidence, kind, language=language, made_at=AT, photos={}, signer=installer.signer)
        assert check_report(octets).installation.bound == ()
