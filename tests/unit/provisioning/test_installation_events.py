"""Installation events, vouchers, order files, grants and bundles with a survey: one form each, nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from metering.envelope import EnvelopeMalformed, SignatureInvalid, decode_canonical, encode, parse_sign1, sign1
from metering.errors import SenderError
from metering.identity import GatewayId, KeyId, MeterId, NodeId, SiteId, UnitId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from metering.quantity import Shown, Unit
from provisioning.enrolment import Claim, Survey, open_bundle, seal_bundle
from provisioning.grant import Grant, open_grant, seal_grant
from provisioning.installation import (
    Bind,
    Binding,
    Comparison,
    Decommission,
    Exchange,
    Finding,
    InstallationInvalid,
    Photo,
    PhotoKind,
    PortChange,
    RatioChange,
    ReadingSource,
    RegisterSeen,
    Reparent,
    Replace,
    Severity,
    photos_of,
    registers_of,
)
from provisioning.installation_events import (
    EVENT_TAG,
    EventChainBroken,
    event_digest,
    open_event,
    open_events,
    parse_event,
    seal_event,
    signer_of,
)
from provisioning.keys import FileSigner
from provisioning.order_file import ExpectedMeter, Plan, PlanInvalid, open_order_file, plan_of, seal_order_file
from provisioning.site import Names, Span
from provisioning.voucher import Voucher, open_voucher, seal_voucher
from tests.doubles.installer import NOW, SOUTH_GATE, Installer, binding, later, park, showed

CENTRE = FileSigner.from_seed(b"\x01" * 32)
STRANGER = FileSigner.from_seed(b"\x02" * 32)
CLAIM = Claim.of_number(99)
VOUCHER = Voucher(
    "order-1", SiteId("park"), GatewayId("gw-a"), Names("园区", "Park"), "http://centre:8080", "centre:1883",
    CENTRE.public_key, (b"\x30\x00",), later(24)
)  # fmt: skip


def full_binding() -> Binding:
    """A binding in which every field says something."""
    meter = park().meter(MeterId("m-u-a101"))
    shown = Shown(123456, -2, Unit.KWH)
    return replace(
        binding(meter, NOW, unit="a101"),
        photos=(Photo(b"\x05" * 32, PhotoKind.DISPLAY, NOW, 90_000, "image/jpeg"),),
        comparisons=(Comparison(ENERGY_IMPORT, "1234.56", shown, shown, "equal", NOW),),
        findings=(Finding("no-seal", Severity.NOTE, "m-u-a101", Names("无铅封", "no seal"), "sealed tomorrow"),),
    )


def every_body() -> dict[str, Any]:
    meter = park().meter(MeterId("m-u-a101"))
    new = binding(replace(meter, id=MeterId("m-u-a101-2"), serial="900"), later(1))
    return {
        "bind": Bind(binding=full_binding()),
        "exchange": Exchange(old=meter.id, closing=(showed(10),), new=new, opening=(showed(0),)),
        "reparent": Reparent(node=NodeId("u-a101"), parent=NodeId("common"), at=NOW),
        "ratio-change": RatioChange(meter=meter.id, new=MeterId("m-x"), ct=20, pt=1, at=NOW, registers=(showed(3),)),
        "decommission": Decommission(meter=meter.id, at=NOW, closing=(showed(10),)),
        "replace": Replace(old_epoch=1, reason="flooded"),
        "port-change": PortChange(port=park().ports_of(GatewayId("gw-a"))[0]),
    }


@pytest.mark.parametrize("kind", list(every_body()))
def test_an_event_of_every_kind_opens_as_what_was_sealed(kind: str) -> None:
    installer = Installer()
    event = installer.act(every_body()[kind])
    assert str(event.body.kind) == kind
    (octets,) = installer.sealed
    assert open_event(octets, installer.signer.verifier()) == event == parse_event(octets)
    assert seal_event(event, installer.signer) == octets
    assert signer_of(octets) == installer.signer.key_id
    assert event.id == "gw-a-1-1"


def test_another_key_is_not_the_gateways() -> None:
    installer = Installer()
    installer.bind("m-u-a101")
    with pytest.raises(SignatureInvalid):
        open_event(installer.sealed[0], STRANGER.verifier())


def test_every_changed_octet_of_an_event_is_refused() -> None:
    installer = Installer()
    installer.bind("m-u-a101")
    octets = installer.sealed[0]
    for index in range(len(octets)):
        broken = octets[:index] + bytes([octets[index] ^ 1]) + octets[index + 1 :]
        with pytest.raises(SenderError):
            open_event(broken, installer.signer.verifier())


def _resealed(octets: bytes, change: Callable[[dict[str, Any]], Any], tag: str = EVENT_TAG) -> bytes:
    import cbor2

    _, document = cbor2.loads(parse_sign1(octets).payload)
    content = cbor2.loads(document)
    change(content)
    return sign1(encode([tag, encode(content)]), Installer().signer)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(extra=1),
        lambda one: one.pop("by"),
        lambda one: one.update(by=""),
        lambda one: one.update(number=0),
        lambda one: one.update(previous=one["previous"].upper() + "AA"),
        lambda one: one.update(at="2026-07-01T08:00:00+00:00"),
        lambda one: one.update(at="2026-07-01T08:00:00"),
        lambda one: one["body"].update(kind="burn"),
        lambda one: one["body"]["binding"]["meter"].update(line=None),
        lambda one: one["body"]["binding"]["meter"].update(ct=0),
        lambda one: one["body"]["binding"]["meter"]["span"].update(start=None),
        lambda one: one["body"]["binding"]["place"].update(lat_e7=1.5),
        lambda one: one["body"]["binding"]["place"].update(lat_e7=900_000_001),
    ],
)
def test_an_event_has_one_form_only(change: Callable[[dict[str, Any]], Any]) -> None:
    installer = Installer()
    installer.bind("m-u-a101")
    with pytest.raises(EnvelopeMalformed):
        open_event(_resealed(installer.sealed[0], change), installer.signer.verifier())


def test_no_other_message_of_the_key_is_taken_for_an_event() -> None:
    installer = Installer()
    installer.bind("m-u-a101")
    other = _resealed(installer.sealed[0], len, tag="metertree-grant/1")
    with pytest.raises(EnvelopeMalformed, match="not a message"):
        open_event(other, installer.signer.verifier())


def test_events_that_do_not_follow_one_another_are_refused() -> None:
    installer = Installer()
    for meter in ("m-u-a101", "m-u-a201", "m-u-a301"):
        installer.bind(meter)
    verifier = installer.signer.verifier()
    assert [event.number for event in open_events(installer.sealed, verifier)] == [1, 2, 3]
    first, second, third = installer.sealed
    for wrong in ([first, third], [second], [first, second, second], [second, first]):
        with pytest.raises(EventChainBroken, match="does not follow"):
            open_events(wrong, verifier)
    after = open_events([second, third], verifier, previous=event_digest(first), number=2)
    assert [event.number for event in after] == [2, 3]
    with pytest.raises(EventChainBroken):
        open_events([second], verifier, previous=bytes(32), number=2)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: RegisterSeen(ENERGY_IMPORT, Shown(-1, 0, Unit.WH), ReadingSource.TYPED), "never below 0"),
        (lambda: RegisterSeen(ENERGY_IMPORT, Shown(1, 0, Unit.WH), ReadingSource.PHOTO), "names none"),
        (lambda: Photo(b"", PhotoKind.METER, NOW, 1, "image/jpeg"), "32 octets"),
        (lambda: Photo(bytes(32), PhotoKind.METER, NOW, 10**9, "image/jpeg"), "are allowed"),
        (lambda: Photo(bytes(32), PhotoKind.METER, datetime(2026, 7, 1), 1, "image/jpeg"), "time zone"),
        (lambda: replace(full_binding(), meter=replace(full_binding().meter, span=Span())), "a start and no end"),
        (lambda: replace(full_binding(), seal=" \n"), "printable"),
        (lambda: replace(full_binding(), node=park().node(NodeId("lift"))), "not that of meter"),
        (
            lambda: Exchange(old=MeterId("m-u-a101"), closing=(), new=full_binding(), opening=()),
            "cannot replace itself",
        ),
        (
            lambda: Decommission(meter=MeterId("m"), at=NOW, closing=(showed(1), showed(2))),
            "told twice",
        ),
        (lambda: RatioChange(meter=MeterId("m"), new=MeterId("m"), ct=1, pt=1, at=NOW, registers=()), "another id"),
        (lambda: Replace(old_epoch=0, reason="x"), "count from 1"),
        (lambda: replace(Installer().event(Replace(old_epoch=1, reason="x")), number=0), "count from 1"),
    ],
)
def test_an_act_that_contradicts_itself_cannot_be_made(wrong: Callable[[], object], told: str) -> None:
    with pytest.raises(InstallationInvalid, match=told):
        wrong()


def test_an_exchange_tells_what_both_meters_showed() -> None:
    body = every_body()["exchange"]
    assert registers_of(body) == (
        ("m-u-a101", later(1), (showed(10),)),
        ("m-u-a101-2", later(1), (showed(0),)),
    )
    assert registers_of(every_body()["bind"]) == ()
    assert [photo.kind for photo in photos_of(Installer().event(every_body()["bind"]))] == [PhotoKind.DISPLAY]


def test_a_voucher_is_believed_by_its_anchor_or_shown_to_a_person() -> None:
    sealed = seal_voucher(VOUCHER, CENTRE)
    anchored = open_voucher(sealed, CENTRE.verifier())
    shown = open_voucher(sealed, None)
    assert (anchored.voucher, anchored.is_anchored, shown.is_anchored) == (VOUCHER, True, False)
    assert len(shown.fingerprint.split()) == 16
    with pytest.raises(SignatureInvalid):
        open_voucher(sealed, STRANGER.verifier())
    with pytest.raises(SignatureInvalid):
        open_voucher(seal_voucher(VOUCHER, STRANGER), None)


def test_an_order_file_holds_neither_tenants_nor_other_gateways() -> None:
    plan = plan_of(park(), GatewayId("gw-a"))
    octets = seal_order_file(seal_voucher(VOUCHER, CENTRE), plan, CENTRE)
    opened = open_order_file(octets, CENTRE.verifier())
    assert (opened.plan, opened.voucher.voucher) == (plan, VOUCHER)
    assert not open_order_file(octets, None).voucher.is_anchored
    for secret in ("t-01", "gw-b", "tcp-b", CLAIM.text):
        assert secret.encode() not in octets
    expected = {one.meter: one for one in plan.expected}
    assert expected[MeterId("m-u-a101")].unit == "a101"
    assert MeterId("m-u-a102") not in expected, "it was exchanged; its successor is expected"
    assert MeterId("m-u-a102-2") in expected


def test_a_plan_signed_by_another_than_the_voucher_is_refused() -> None:
    octets = seal_order_file(seal_voucher(VOUCHER, CENTRE), plan_of(park(), GatewayId("gw-a")), STRANGER)
    for anchor in (None, CENTRE.verifier()):
        with pytest.raises(SignatureInvalid):
            open_order_file(octets, anchor)


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (ExpectedMeter(MeterId("m-1"), NodeId("nowhere")), "no node"),
        (ExpectedMeter(MeterId("m-u-a101"), NodeId("u-a101"), UnitId("a102")), "not the node of a102"),
    ],
)
def test_a_plan_that_contradicts_the_site_cannot_be_made(expected: ExpectedMeter, told: str) -> None:
    with pytest.raises(PlanInvalid, match=told):
        plan_of(park(), GatewayId("gw-a"), [expected])


@pytest.mark.parametrize("second", [("m-1", "lift", None), ("m-2", "u-a101", None), ("m-2", "lift", "7")])
def test_nothing_is_expected_twice(second: tuple[str, str, str | None]) -> None:
    meter, node, serial = second
    one = ExpectedMeter(MeterId("m-1"), NodeId("u-a101"), serial="7")
    other = ExpectedMeter(MeterId(meter), NodeId(node), serial=serial)
    with pytest.raises(PlanInvalid, match="expected twice"):
        plan_of(park(), GatewayId("gw-a"), [one, other])


def test_expected_meters_may_be_told_instead_of_those_of_the_site() -> None:
    told = ExpectedMeter(MeterId("m-u-a101"), NodeId("u-a101"), serial="77")
    plan = plan_of(park(), GatewayId("gw-a"), [told])
    assert told in plan.expected
    other = ExpectedMeter(MeterId("m-new"), NodeId("u-a101"), serial="78")
    assert MeterId("m-u-a101") not in plan_of(park(), GatewayId("gw-a"), [other]).planned
    assert isinstance(plan, Plan)
    assert told.meter in plan.planned


def test_a_grant_is_the_centres() -> None:
    grant = Grant(GatewayId("gw-a"), 1, KeyId(b"k" * 8), bytes(32), (b"cert",), CENTRE.public_key, NOW)
    sealed = seal_grant(grant, CENTRE)
    assert open_grant(sealed, CENTRE.verifier()) == grant
    with pytest.raises(SignatureInvalid):
        open_grant(sealed, STRANGER.verifier())


def test_a_bundle_carries_its_survey() -> None:
    installer = Installer()
    installer.voucher = event_digest(seal_voucher(VOUCHER, CENTRE))
    events = (installer.bind("m-u-a101"), installer.bind("m-u-a201"))
    bundle = open_bundle(installer.bundle(CLAIM, csr=b"csr"))
    assert bundle.events == events
    assert bundle.survey == Survey(installer.voucher, b"csr", tuple(installer.sealed))
    assert open_bundle(installer.bundle(CLAIM)).survey is not None


def test_the_claim_itself_is_nowhere_in_a_bundle() -> None:
    """It lies on a telephone, and in a report, before it is burned: nobody may enrol with what he finds there."""
    installer = Installer()
    installer.bind("m-u-a101")
    octets = installer.bundle(CLAIM)
    for secret in (CLAIM.text, CLAIM.text.replace("-", "")):
        assert secret.encode() not in octets
    assert CLAIM.hash not in octets
    bundle = open_bundle(octets)
    assert (bundle.claim_hash, bundle.claim_key) == (None, CLAIM.signer.public_key)
    assert CLAIM.signer.public_key != Claim.of_number(100).signer.public_key


def _bundle_with(change: Callable[[list[Any]], None], signer: FileSigner) -> bytes:
    """A bundle of which something was changed and that its gateway signed again."""
    content = list(decode_canonical(parse_sign1(Installer().bundle(CLAIM)).payload))
    change(content)
    return sign1(encode(content), signer)


def test_a_thief_cannot_put_his_own_key_beside_a_claim_he_found() -> None:
    def his_own(content: list[Any]) -> None:
        content[4] = STRANGER.public_key

    with pytest.raises(SignatureInvalid, match="proof of the claim"):
        open_bundle(_bundle_with(his_own, STRANGER))


@pytest.mark.parametrize("place", [5, 6, 9, 10])
def test_the_proof_of_the_claim_covers_everything(place: int) -> None:
    def changed(content: list[Any]) -> None:
        was = content[place]
        content[place] = b"\x07" * 32 if was is None else "token" if was == "file" else bytes(len(was))

    with pytest.raises(SenderError):
        open_bundle(_bundle_with(changed, Installer().signer))


@pytest.mark.parametrize("level", [[], 3, "vault", None])
def test_a_key_is_kept_in_a_file_or_a_token(level: object) -> None:
    def said(content: list[Any]) -> None:
        content[9] = level
        content[10] = CLAIM.signer.sign(encode(content[:10]))

    with pytest.raises(EnvelopeMalformed):
        open_bundle(_bundle_with(said, Installer().signer))


def test_a_bundle_without_survey_is_what_it_always_was() -> None:
    signer = Installer().signer
    octets = seal_bundle(GatewayId("gw-a"), epoch=1, claim=CLAIM, public_key=signer.public_key, signer=signer)
    bundle = open_bundle(octets)
    assert (bundle.survey, bundle.events) == (None, ())
    assert b"metertree-enrolment/1" in octets


@pytest.mark.parametrize("fault", ["other voucher", "left out", "other gateway", "other epoch", "stranger", "long csr"])
def test_a_bundle_whose_events_are_not_its_own_is_refused(fault: str) -> None:
    installer = Installer()
    installer.bind("m-u-a101")
    installer.bind("m-u-a201")
    csr: bytes | None = None
    match fault:
        case "other voucher":
            installer.voucher = b"\x01" * 32
        case "left out":
            del installer.sealed[0]
        case "other gateway":
            installer.gateway = GatewayId("gw-b")
        case "other epoch":
            installer.epoch = 2
        case "stranger":
            installer.signer = STRANGER
        case "long csr":
            csr = bytes(10_000)
    with pytest.raises(SenderError):
        open_bundle(installer.bundle(CLAIM, csr))


def test_an_instant_is_kept_in_utc() -> None:
    shifted = NOW.astimezone(park().calendar.tz)
    event = Installer().event(Reparent(node=NodeId("a"), parent=NodeId("b"), at=shifted), shifted)
    assert event.at.utcoffset() == timedelta(0)
    assert event.body.at == NOW  # type: ignore[union-attr]


def test_export_and_import_are_two_registers() -> None:
    two = (showed(1), replace(showed(2), obis=ENERGY_EXPORT))
    assert Decommission(meter=MeterId("m"), at=NOW, closing=two).closing == two


@pytest.mark.parametrize("sign", ["\0", "\x1b[2J", "\n", "\u202e", "\u2028", "\ud800"])
def test_no_text_of_an_act_steers_a_terminal_or_stops_the_books(sign: str) -> None:
    installer, meter = Installer(), park().meter(MeterId("m-u-a101"))
    plain = binding(meter, NOW)
    node = replace(park().node(meter.node), names=Names(f"风机{sign}", "fan"))
    for bad in (
        replace(plain, meter=replace(plain.meter, serial=f"9{sign}"), read_serial=None),
        replace(plain, meter=replace(plain.meter, address=sign)),
        replace(plain, unit=UnitId(f"a{sign}")),
        replace(plain, place=replace(SOUTH_GATE, note=f"riser {sign}")),
        replace(plain, node=node),
    ):
        with pytest.raises(InstallationInvalid, match="control signs"):
            installer.act(Bind(binding=bad))
    with pytest.raises(InstallationInvalid, match="control signs"):
        installer.act(Reparent(node=NodeId(f"x{sign}"), parent=NodeId("main"), at=NOW))
    # What an input method makes is no control sign.
    installer.act(Bind(binding=replace(plain, place=replace(SOUTH_GATE, note="三层\u3000弱电间 👷\u200d♂️"))))
