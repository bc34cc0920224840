"""A commissioning report says what the sealed acts say, no more and no less, in both languages."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from metering.envelope import SignatureInvalid, digest_of
from metering.errors import MeteringError
from metering.identity import MeterId, NodeId
from metering.obis import ENERGY_IMPORT
from metering.quantity import Shown, Unit
from provisioning.enrolment import Claim
from provisioning.grant import Grant, seal_grant
from provisioning.installation import Decommission, RatioChange, ReadingSource, RegisterSeen, Reparent
from provisioning.keys import FileSigner
from provisioning.package import Package
from provisioning.report import Evidence, ReportImpossible, evidence_of, prove
from provisioning.report.blocks import Card, Drawing, Grid, Report, Tone
from provisioning.report.composing import compose
from provisioning.report.drawings import ranges
from provisioning.report.page import to_html
from provisioning.report.svg import fitted, text, width_of
from provisioning.report.words import _words
from tests.doubles.installer import Installer, later
from tests.doubles.surveyed_park import CENTRE, order_for, surveyed, surveyed_site

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)


def told(language: str = "en", **changes: object) -> Report:
    evidence, photos, _ = surveyed()
    return compose(prove(replace(evidence, **changes)), language, made_at=AT, photos=photos)  # type: ignore[arg-type]


def text_of(report: Report) -> str:
    return html.unescape(re.sub(r"<(style|title)>.*?</\1>|<[^>]*>", " ", to_html(report).decode(), flags=re.S))


def cards(report: Report) -> dict[str, Card]:
    return {one.subtitle.split(", ")[1]: one for one in report.blocks if isinstance(one, Card)}


def test_every_bound_meter_is_told_with_display_bus_serial_seal_and_state() -> None:
    text = text_of(told())
    for one in prove(surveyed()[0]).bound:
        for what in (one.meter.serial, one.meter.address, one.binding.seal):
            assert str(what) in text
        for comparison in one.binding.comparisons:
            assert comparison.typed in text
            assert str(comparison.bus) in text
    states = {name: card.badge.text for name, card in cards(told()).items()}
    assert states == {
        "m-bldg-a": "good",
        "m-u-a101": "good",
        "m-u-a201": "wrong",
        "m-u-a202": "good",
        "m-lift": "good",
        "m-fire-pump": "not compared",
        "m-lobby-ac": "with a reason",
        "m-u-a102-2": "not compared",
    }


def test_an_expected_meter_that_nobody_bound_is_told() -> None:
    assert {one.meter for one in prove(surveyed()[0]).missing} == {"m-u-a301", "m-guard-room"}
    assert "AC40025030117" in text_of(told())


def test_the_figures_at_the_top_are_those_of_the_meters_below() -> None:
    figures = told().blocks[0]
    assert [item[:2] for item in figures.items] == [  # type: ignore[union-attr]
        ("8 / 10", "meters bound"),
        ("5 / 8", "displays agree"),
        ("2", "missing"),
        ("1", "wrong"),
        ("5", "doubtful"),
    ]


def test_the_site_is_checked_from_the_acts_and_nothing_is_told_twice() -> None:
    done = prove(surveyed()[0])
    assert {one.code for one in done.checks} >= {"expected-missing", "unit-without-meter", "serial-not-as-planned"}
    in_bindings = {(finding.code, finding.subject) for _, finding in done.findings}
    assert not in_bindings & {(one.code, one.subject) for one in done.checks}
    text = text_of(told("zh"))
    assert all(one.told.zh in text for one in done.checks)
    assert "Tree, serials, units, places and plan do not contradict one another." not in text_of(told())


def test_an_exchange_shows_the_new_meter_and_names_the_old() -> None:
    card = cards(told())["m-u-a102-2"]
    text = str(card.blocks)
    assert "LY7126070095" in text
    assert "m-u-a102" in text
    assert "LY7120450312" in text  # what was planned


def test_a_reason_stands_beside_its_finding() -> None:
    text = text_of(told("zh"))
    assert "B 相电流方向相反 — 理由：发电机试运行 generator on test" in text


def test_a_serial_that_the_bus_tells_otherwise_is_marked() -> None:
    site = surveyed_site()
    voucher, order = order_for(site, "gw-a")
    installer = Installer("gw-a", site=site)
    installer.voucher = digest_of(voucher)
    event = installer.event(installer.bind("m-u-a101", unit="a101").body)
    installer.sealed.clear()
    binding = replace(event.body.binding, read_serial="LY7120450399")  # type: ignore[union-attr]
    installer.act(replace(event.body, binding=binding))  # type: ignore[arg-type]
    done = prove(Evidence(order, installer.signer.public_key, tuple(installer.sealed), None, None))
    (card,) = (one for one in compose(done, "en", made_at=AT, photos={}).blocks if isinstance(one, Card))
    assert any(text.tone is Tone.WRONG and text.text == "LY7120450399" for _, text in card.blocks[0].rows)  # type: ignore[union-attr]


def installed(*acts: object) -> tuple[Installer, bytes]:
    site = surveyed_site()
    voucher, order = order_for(site, "gw-a")
    installer = Installer("gw-a", site=site)
    installer.voucher = digest_of(voucher)
    for name in ("m-bldg-a", "m-u-a101", "m-lift"):
        installer.bind(name)
    for number, act in enumerate(acts, start=1):
        installer.act(act, later(number))  # type: ignore[arg-type]
    return installer, order


def seen(kwh: int) -> tuple[RegisterSeen, ...]:
    return (RegisterSeen(ENERGY_IMPORT, Shown(kwh * 100, -2, Unit.KWH), ReadingSource.TYPED),)


def test_later_acts_are_told_and_change_what_hangs_there() -> None:
    gone = Decommission(meter=MeterId("m-lift"), at=later(1), closing=seen(5))
    ratio = RatioChange(
        meter=MeterId("m-bldg-a"), new=MeterId("m-bldg-a-2"), ct=60, pt=1, at=later(2), registers=seen(7)
    )
    moved = Reparent(node=NodeId("u-a101"), parent=NodeId("common"), at=later(3))
    installer, order = installed(gone, ratio, moved)
    done = prove(Evidence(order, installer.signer.public_key, tuple(installer.sealed), None, None))
    assert done.unfitting == ()
    assert [one.meter.id for one in done.bound] == ["m-u-a101", "m-bldg-a"]
    text = text_of(compose(done, "en", made_at=AT, photos={}))
    assert "took m-lift away" in text
    assert "ratio of m-bldg-a changed to 60 × 1" in text
    assert "u-a101 moved below common" in text


def test_an_act_that_the_site_does_not_allow_is_told_and_the_rest_goes_on() -> None:
    installer, order = installed(Reparent(node=NodeId("u-a101"), parent=NodeId("nowhere"), at=later(1)))
    done = prove(Evidence(order, installer.signer.public_key, tuple(installer.sealed), None, None))
    assert [event.number for event, _ in done.unfitting] == [4]
    report = compose(done, "en", made_at=AT, photos={})
    assert "Acts that the site does not allow" in text_of(report)
    assert report.blocks[0].items[3][0] == "1"  # type: ignore[union-attr]


def test_the_centres_answer_is_told_once_it_has_come() -> None:
    evidence, _, signer = surveyed()
    installation = prove(evidence)
    grant = Grant(installation.gateway, 1, signer.key_id, b"\x5a" * 32, (), CENTRE.public_key, AT)
    assert "waits for the centre" in text_of(told())
    assert "admitted by the centre 2026-07-01 20:00" in text_of(told(grant=seal_grant(grant, CENTRE)))


def test_a_grant_of_another_key_or_centre_is_refused() -> None:
    evidence, _, signer = surveyed()
    other = FileSigner.from_seed(bytes([99]) * 32)
    wrong = Grant(prove(evidence).gateway, 1, other.key_id, b"\x5a" * 32, (), CENTRE.public_key, AT)
    with pytest.raises(ReportImpossible, match="another key or epoch"):
        told(grant=seal_grant(wrong, CENTRE))
    right = replace(wrong, key_id=signer.key_id)
    with pytest.raises(SignatureInvalid):
        told(grant=seal_grant(right, other))


def test_acts_of_another_key_are_refused() -> None:
    with pytest.raises(SignatureInvalid):
        told(public_key=FileSigner.from_seed(bytes([1]) * 32).public_key)


@pytest.mark.parametrize("lost", [0, 3, 8])
def test_an_act_that_is_left_out_is_noticed_unless_it_is_the_last(lost: int) -> None:
    events = surveyed()[0].events
    kept = tuple(one for number, one in enumerate(events) if number != lost)
    if lost == len(events) - 1:
        assert len(prove(replace(surveyed()[0], events=kept)).events) == len(kept)
        return
    with pytest.raises(MeteringError, match="does not follow"):
        told(events=kept)


def test_an_order_of_another_centre_is_no_anchor() -> None:
    evidence, _, _ = surveyed()
    assert prove(evidence, CENTRE.verifier()).order.voucher.is_anchored
    with pytest.raises(SignatureInvalid):
        prove(evidence, FileSigner.from_seed(bytes([3]) * 32).verifier())


def test_the_order_of_another_gateway_is_refused() -> None:
    _, order = order_for(surveyed_site(), "gw-b")
    with pytest.raises(MeteringError):
        told(order=order)


def test_nothing_done_gives_no_report() -> None:
    with pytest.raises(ReportImpossible, match="bind a meter first"):
        told(events=())


def test_a_package_gives_the_evidence_and_never_the_claim() -> None:
    installer, order = installed()
    claim = Claim.fresh()
    bundle = installer.bundle(claim)
    package = Package(order, bundle, tuple(installer.sealed), ())
    evidence = evidence_of(package, public_key=None, grant=None, order=None)
    assert evidence.public_key == installer.signer.public_key
    assert evidence.bundle_digest == digest_of(bundle)
    assert claim.text.encode() not in evidence.to_wire()
    assert Evidence.from_wire(evidence.to_wire()) == evidence
    with pytest.raises(ReportImpossible, match="--order FILE"):
        evidence_of(replace(package, order=None), public_key=None, grant=None, order=None)
    with pytest.raises(ReportImpossible, match="--gateway-key FILE"):
        evidence_of(replace(package, bundle=None), public_key=None, grant=None, order=None)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_needs_nothing_else_and_escapes_what_people_wrote(language: str) -> None:
    page = to_html(told(language)).decode()
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "<script" not in page
    assert "http" not in re.sub(r'xmlns="http://www\.w3\.org/2000/svg"|http-equiv', "", page)
    assert "弱电井 <A&B>" in html.unescape(page)
    assert "<A&" not in page


def test_photos_at_hand_are_shown_and_others_named() -> None:
    evidence, photos, _ = surveyed()
    page = to_html(told()).decode()
    assert page.count("<img ") == len(photos) - 2  # those of the meter that was exchanged since are not shown
    bare = to_html(compose(prove(evidence), "en", made_at=AT, photos={})).decode()
    assert "<img " not in bare
    assert bare.count("the picture is not in this file") == len(photos) - 2


def test_the_tree_is_drawn_with_its_states_and_goes_on_when_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    (drawing,) = (one for one in told().blocks if isinstance(one, Drawing) and "Main meter" in one.svg)
    assert drawing.svg.count("stroke-dasharray") == 2
    assert drawing.svg.count("<circle") == 8
    monkeypatch.setattr("provisioning.report.drawings.ROWS_OF_THE_FIRST", 4)
    monkeypatch.setattr("provisioning.report.drawings.ROWS_OF_A_DRAWING", 5)
    parts = [one for one in told().blocks if isinstance(one, Drawing) and "<circle" in one.svg]
    assert sum(one.svg.count("<circle") for one in parts) == 8
    assert [bool(one.caption) for one in parts] == [False, False, True]


def test_a_map_without_coordinates_says_so() -> None:
    site = surveyed_site()
    voucher, order = order_for(site, "gw-a")
    installer = Installer("gw-a", site=site)
    installer.voucher = digest_of(voucher)
    event = installer.event(installer.bind("m-lift").body)
    installer.sealed.clear()
    installer.act(replace(event.body, binding=replace(event.body.binding, place=None)))  # type: ignore[union-attr, arg-type]
    done = prove(Evidence(order, installer.signer.public_key, tuple(installer.sealed), None, None))
    assert "No coordinates were recorded." in text_of(compose(done, "en", made_at=AT, photos={}))


def test_meters_of_one_cabinet_share_a_pin() -> None:
    (drawing,) = (one for one in told().blocks if isinstance(one, Drawing) and "20 m" in one.svg)
    assert ">1, 8<" in drawing.svg


@pytest.mark.parametrize(("numbers", "text"), [([1], "1"), ([1, 2, 3], "1–3"), ([7, 1, 2, 9], "1–2, 7, 9")])
def test_numbers_are_written_as_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_a_text_is_cut_to_its_box() -> None:
    assert fitted("配电间", 12, 100) == "配电间"
    cut = fitted("一号厂房三层东侧配电间", 12, 60)
    assert cut.endswith("…")
    assert width_of(cut, 12) <= 60


def test_signs_that_a_drawing_cannot_hold_are_shown_as_such_and_wide_spaces_as_spaces() -> None:
    assert ">a b\ufffd&lt;&amp;<" in text(0, 0, "a\u3000b\x01<&")


def test_every_word_is_there_in_both_languages() -> None:
    assert all(words.keys() == {"zh", "en"} and all(words.values()) for words in _words().values())


def test_equal_reports_are_equal_octets() -> None:
    assert to_html(told()) == to_html(told())


def test_all_rows_of_a_grid_have_its_columns() -> None:
    for block in told().blocks:
        if isinstance(block, Grid):
            assert len(block.widths) == len(block.headings)
            assert {len(row) for row in block.rows} == {len(block.headings)}
