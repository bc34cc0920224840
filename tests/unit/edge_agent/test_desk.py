"""The installation desk: what it takes, what it refuses, what it signs, and what the gateway reads afterwards."""

from __future__ import annotations

import io
import itertools
import os
import signal
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from string import Formatter

import pytest

from edge_agent.adapters import act_file
from edge_agent.installation import acts, gateway_file, journal, signing, words
from edge_agent.installation.desk import Desk
from edge_agent.installation.view import DeskRefused, Step, Typed, Who
from edge_agent.installation.words import codes, refused
from edge_agent.key_handover import HandoverRefused, hand_over
from metering.clock import ManualClock
from metering.envelope import SignatureInvalid
from metering.errors import SenderError
from metering.identity import MeterId, UnitId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis
from provisioning.enrolment import Claim, open_bundle
from provisioning.gateway_config import GatewayConfig, HttpWay
from provisioning.grant import open_grant, seal_grant
from provisioning.installation import Bind, Exchange, RatioChange, Severity
from provisioning.installation_events import open_events
from provisioning.keys import FileSigner, key_id_of, write_public_key
from provisioning.package import photos_in, read_package
from tests.doubles import desk as doubles
from tests.doubles.desk import (
    CLAIM,
    FINGERPRINT,
    GATEWAY,
    PORT,
    START,
    WHO,
    Cabinet,
    DeskCentre,
    accept_all,
    begun,
    cabinet,
    desk_at,
    grant_for,
    node,
    order_file,
    request,
    sealed,
    typed,
)
from tests.doubles.surveyed_park import CENTRE, picture, surveyed_site

STRANGER = FileSigner.from_seed(bytes([77]) * 32)
COUNT = "m-bldg-b"
WAIT_S = 30.0


@pytest.fixture(scope="module")
def meters() -> Iterator[Cabinet]:
    """The meters of gw-b."""
    with cabinet() as found:
        yield found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk in a fresh home."""
    with desk_at(tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def _all_on(meters: Cabinet) -> Iterator[None]:
    yield
    meters.registers.off.clear()
    meters.registers.added_wh = 0


def refusal(act: Callable[[], object]) -> DeskRefused:
    """What the desk says to an act that it refuses."""
    with pytest.raises(DeskRefused) as caught:
        act()
    assert caught.value.told.zh != caught.value.told.en
    assert "{" not in caught.value.told.zh + caught.value.told.en
    return caught.value


def test_a_fresh_home_waits_for_its_order(desk: Desk) -> None:
    assert desk.state().step is Step.ORDER
    for act in (
        lambda: desk.bind(request(COUNT), WHO),
        lambda: desk.seal(WHO),
        lambda: desk.deliver(),
        lambda: desk.claim(CLAIM, WHO),
    ):
        assert refusal(act).code == "no-order"
    assert refusal(desk.package).code == "not-sealed"


def test_an_order_is_taken_when_its_fingerprint_was_compared(desk: Desk, tmp_path: Path) -> None:
    octets = order_file()
    shown = desk.look_at(octets)
    assert (shown.gateway, shown.fingerprint, shown.is_anchored) == (GATEWAY, FINGERPRINT, False)
    assert desk.state().step is Step.ORDER
    assert refusal(lambda: desk.begin(octets, WHO)).code == "unconfirmed"
    assert refusal(lambda: desk.begin(octets, WHO, confirmed="00" * 32)).code == "wrong-fingerprint"
    assert not (tmp_path / "keys" / "signing.key").exists()
    state = desk.begin(octets, WHO, confirmed=FINGERPRINT.upper().replace(" ", ""))
    assert state.step is Step.SCAN
    assert state.key_fingerprint is not None
    assert not state.has_claim
    assert desk.begin(octets, WHO, confirmed=FINGERPRINT, claim=CLAIM.lower()).has_claim
    other = order_file(order="order-000000000000")
    assert refusal(lambda: desk.begin(other, WHO, confirmed=FINGERPRINT)).code == "order-already"


def test_a_machine_with_an_anchor_believes_it_alone(tmp_path: Path) -> None:
    with desk_at(tmp_path / "ours") as desk:
        write_public_key(desk.home.anchor, CENTRE.verifier())
        assert desk.look_at(order_file()).is_anchored
        assert desk.begin(order_file(), WHO).order is not None
    with desk_at(tmp_path / "ours") as again:
        assert again.state().order is not None
    with desk_at(tmp_path / "theirs") as desk:
        write_public_key(desk.home.anchor, STRANGER.verifier())
        with pytest.raises(SignatureInvalid):
            desk.begin(order_file(), WHO, confirmed=FINGERPRINT)
        assert desk.state().step is Step.ORDER


def test_a_changed_order_is_refused(desk: Desk) -> None:
    octets = order_file()
    for place in range(0, len(octets), 211):
        with pytest.raises(SenderError):
            desk.look_at(octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :])


def test_plan_fills_in_what_was_not_said(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    binding = desk.bind(request("m-u-b101"), WHO)
    assert binding.meter.id == "m-u-b101"
    assert binding.unit == "b101"
    assert (binding.meter.ct, binding.meter.pt) == (1, 1)
    assert binding.meter.span.start == START
    assert desk.state().step is Step.BIND


def test_what_does_not_fit_is_refused_with_the_mend(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    other = request("m-u-b102")
    planned = surveyed_site().meter(MeterId("m-u-b101"))

    def code(**changes: object) -> str:
        return refusal(lambda: desk.bind(replace(other, **changes), WHO)).code

    assert code(node=node("u-b1o2")) == "unknown-node"
    assert code(unit=UnitId("b999")) == "unknown-unit"
    assert code(unit=UnitId("b201")) == "unit-elsewhere"
    assert code(port="line-z") == "unknown-port"
    assert code(found="4711") == "unknown-found"
    assert code(address=None) == "incomplete"
    assert code(serial=None) == "no-serial"
    assert code(address=planned.address) == "address-taken"
    assert code(serial=planned.serial) == "serial-taken"
    assert code(serial="0" + planned.serial) == "serial-taken"
    assert refusal(lambda: desk.unbind(MeterId("m-nobody"), WHO)).code == "unknown-meter"
    assert refusal(lambda: desk.photograph(MeterId("m-u-b101"), "selfie", picture(1), WHO)).code == "photo-kind"
    assert refusal(lambda: desk.set_port("line-z", "/dev/null", WHO)).code == "unknown-port"  # type: ignore[arg-type]
    assert refusal(lambda: desk.drop("node x", WHO)).code == "unknown-draft"
    assert [one.meter.id for one in desk.state().bindings] == ["m-u-b101"]


def test_a_ratio_is_said_or_planned_and_never_guessed(desk: Desk, meters: Cabinet) -> None:
    site = surveyed_site()
    bare = [replace(one, ct=None, pt=None) for one in (doubles.plan_of(site, GATEWAY).expected)]
    plan = replace(doubles.plan_of(site, GATEWAY), expected=tuple(bare))
    voucher = doubles.voucher_of(order_file())
    desk.begin(doubles.seal_order_file(voucher, plan, CENTRE), WHO, confirmed=FINGERPRINT)
    asked = replace(request("m-bldg-b"), ct=None)
    assert refusal(lambda: desk.bind(asked, WHO)).code == "no-ratio"
    assert desk.bind(replace(asked, ct=40), WHO).meter.ct == 40


def test_a_node_bound_again_before_the_seal_takes_the_other_meter(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    other = replace(request("m-u-b102"), node=node("u-b101"), unit=None)
    binding = desk.bind(other, WHO)
    assert binding.meter.id == "m-u-b101"
    (bound,) = desk.state().bindings
    assert bound.meter.address == request("m-u-b102").address
    desk.unbind(bound.meter.id, WHO)
    assert desk.state().bindings == ()


def test_a_meter_is_read_for_people(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request(COUNT), WHO)
    live = desk.read(MeterId(COUNT))
    assert live.problem is None
    shown = {one.obis: one.shown for one in live.registers}[ENERGY_IMPORT]
    assert shown is not None
    assert f"{float(meters.shows(COUNT)):.1f}" in f"{shown.to_base() / 1000:.1f}"
    meters.registers.off.add(COUNT)
    assert refusal(lambda: desk.read(MeterId(COUNT))).code == "meter-silent"


def test_a_display_that_agrees_is_kept_as_proof(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    (proof,) = desk.compare(MeterId("m-u-b101"), typed(meters, "m-u-b101"), WHO)
    assert proof.verdict == "equal"
    (binding,) = desk.state().bindings
    assert binding.comparisons == (proof,)
    again = replace(request("m-u-b101"), seal="S-4711")
    assert desk.bind(again, WHO).comparisons == (proof,)


def test_the_display_of_a_neighbour_is_caught(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    desk.bind(request("m-u-b202"), WHO)
    (proof,) = desk.compare(MeterId("m-u-b101"), typed(meters, "m-u-b202"), WHO)
    assert proof.verdict == "other-meter"
    told = next(one for one in desk.state().open_findings if one.code == "display-other-meter")
    assert told.severity is Severity.WRONG
    assert "m-u-b202" in told.told.zh
    assert refusal(lambda: desk.seal(WHO)).code == "open-findings"
    (mended,) = desk.compare(MeterId("m-u-b101"), typed(meters, "m-u-b101"), WHO)
    assert mended.verdict == "equal"
    assert all(one.code != "display-other-meter" for one in desk.state().findings)


def test_what_is_accepted_needs_a_reason_which_is_signed(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    desk.bind(request("m-u-b202"), WHO)
    desk.compare(MeterId("m-u-b101"), typed(meters, "m-u-b202"), WHO)
    about = MeterId("m-u-b101")
    assert refusal(lambda: desk.accept("display-other-meter", about, "  ", WHO)).code == "no-reason"
    assert refusal(lambda: desk.accept("no-such", about, "yes", WHO)).code == "unknown-finding"
    desk.check(WHO)
    accept_all(desk)
    desk.seal(WHO)
    events = opened(desk)
    signed = next(one.binding for one in events if one.binding is not None and one.binding.meter.id == about)
    (finding,) = [one for one in signed.findings if one.code == "display-other-meter"]
    assert finding.accepted == "as the test wants it"


def test_a_reason_about_no_binding_is_signed_with_the_first(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, "m-u-b101")
    (binding,) = [one.binding for one in opened(desk) if one.binding is not None]
    missing = [one for one in binding.findings if one.code == "expected-missing"]
    assert "m-u-b202" in {one.subject for one in missing}
    assert {one.accepted for one in missing} == {"as the test wants it"}


def test_who_bound_and_when_stays_when_others_add_to_it(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    desk._clock.sleep(600)
    other = Who("eng-2", "telephone")
    desk.photograph(MeterId("m-u-b101"), "seal", picture(6), other)
    desk.check(other)
    accept_all(desk)
    desk.seal(other)
    bound = opened(desk)[-1]
    assert (bound.by, bound.device, bound.at) == (WHO.by, WHO.device, START)


def test_what_the_centre_would_not_read_is_not_signed(
    desk: Desk, meters: Cabinet, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    desk.check(WHO)
    accept_all(desk)
    for limit, code in (("BUNDLE_OCTETS_MAX", "bundle-too-large"), ("EVENT_OCTETS_MAX", "event-too-large")):
        monkeypatch.setattr(signing, limit, 100)
        assert refusal(lambda: desk.seal(WHO)).code == code
        assert desk.state().sealed is None
        monkeypatch.undo()
    assert desk.seal(WHO).events == 2


def test_silent_and_missing_meters_are_told(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request("m-u-b101"), WHO)
    desk.bind(request("m-u-b102"), WHO)
    meters.registers.off.add("m-u-b102")
    told = {(one.code, one.subject) for one in desk.check(WHO)}
    assert ("bound-silent", "m-u-b102") in told
    assert ("expected-missing", "m-u-b202") in told


def test_parents_smaller_than_their_children_are_told_over_a_window(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    for name in ("m-bldg-b", "m-u-b101", "m-u-b102"):
        desk.bind(replace(request(name), ct=1) if name == "m-bldg-b" else request(name), WHO)
    clock = desk._clock
    assert isinstance(clock, ManualClock)
    sleep = clock.sleep

    def slept(seconds: float) -> None:
        meters.registers.added_wh += 60_000 if seconds == 600 else 0
        sleep(seconds)

    clock.sleep = slept  # type: ignore[method-assign]
    told = desk.check(WHO, window_s=600)
    assert "parent-smaller" in {one.code for one in told}, told


def opened(desk: Desk):  # type: ignore[no-untyped-def]
    """The signed events, proven to be a chain on the voucher."""
    sheet = desk._journal.worksheet()
    assert sheet.order is not None
    verifier = desk.signer().verifier()
    return open_events([one.octets for one in sheet.events], verifier, previous=sheet.order.voucher.digest)


def test_the_seal_signs_everything_and_the_gateway_can_measure(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, "m-main", "m-u-b101")
    state = desk.state()
    assert state.step is Step.DELIVER
    assert state.sealed is not None
    events = opened(desk)
    assert [str(one.body.kind) for one in events] == ["port-change", "bind", "bind"]
    assert {(one.by, one.device) for one in events} == {(WHO.by, WHO.device)}
    sheet = desk._journal.worksheet()
    assert sheet.bundle is not None
    bundle = open_bundle(sheet.bundle)
    assert bundle.survey is not None
    assert (bundle.gateway, bundle.epoch, bundle.events) == (GATEWAY, 1, events)
    assert bundle.claim_key == Claim.parse(CLAIM).signer.public_key
    config = GatewayConfig.read(desk.home.config)
    assert config.bundle == state.sealed.digest == bundle.digest
    assert {one.id for one in config.meters} == {"m-main", "m-u-b101"}
    assert f"127.0.0.1:{meters.tcp.port}" == meters.place
    assert [getattr(one, "port", None) for one in config.ports] == [meters.tcp.port]
    assert oct(desk.home.config.stat().st_mode & 0o777) == "0o600"
    assert oct(desk.home.journal.stat().st_mode & 0o777) == "0o600"
    assert refusal(lambda: desk.seal(WHO)).code == "nothing-bound"
    assert refusal(lambda: desk.claim(CLAIM, WHO)).code == "sealed-already"
    assert refusal(lambda: desk.photograph(MeterId("m-main"), "meter", picture(1), WHO)).code == "signed-already"


def test_nothing_is_sealed_without_a_claim_or_by_a_clock_that_was_never_set(tmp_path: Path, meters: Cabinet) -> None:
    with desk_at(tmp_path) as desk:
        desk.begin(order_file(), WHO, confirmed=FINGERPRINT)
        desk.set_port(PORT, meters.place, WHO)
        desk.bind(request(COUNT), WHO)
        desk.check(WHO)
        accept_all(desk)
        assert refusal(lambda: desk.seal(WHO)).code == "no-claim"
        assert not desk.home.config.exists()
    early = ManualClock(START.replace(year=1970))
    with desk_at(tmp_path, early) as desk:
        assert refusal(lambda: desk.bind(request(COUNT), WHO)).code == "clock-unset"


def test_photos_are_kept_without_metadata_and_travel_in_the_package(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request(COUNT), WHO)
    plain = picture(3)
    told = b"tEXtAuthor\0eng-1"
    chunk = (len(told) - 4).to_bytes(4, "big") + told + zlib.crc32(told).to_bytes(4, "big")
    with_text = plain[:33] + chunk + plain[33:]
    photo = desk.photograph(MeterId(COUNT), "meter", with_text, WHO)
    assert desk.picture(photo.sha256) == plain
    assert desk.photograph(MeterId(COUNT), "meter", plain, WHO).sha256 == photo.sha256
    desk.check(WHO)
    accept_all(desk)
    desk.seal(WHO)
    octets = desk.package()
    package = read_package(io.BytesIO(octets))
    assert package.order == order_file()
    assert package.bundle == desk._journal.worksheet().bundle
    assert len(package.events) == 2
    assert dict(photos_in(io.BytesIO(octets))) == {photo.sha256: plain}
    assert CLAIM.encode() not in octets.replace(package.bundle or b"", b"")


def test_a_grant_is_taken_from_a_file_only_if_it_answers_our_bundle(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, COUNT)
    bundle = desk._journal.worksheet().bundle
    assert bundle is not None
    with pytest.raises(SenderError):
        desk.take_grant(grant_for(bundle, STRANGER))
    with pytest.raises(SenderError):
        desk.take_grant(grant_for(bundle)[:-1])
    other = doubles.other_bundle()
    assert refusal(lambda: desk.take_grant(grant_for(other))).code == "grant-foreign"
    ours = open_grant(grant_for(bundle), CENTRE.verifier())
    for parts in ({"bundle_digest": bytes(32)}, {"epoch": 2}, {"key_id": bytes(8)}, {"centre_public_key": bytes(32)}):
        foreign = seal_grant(replace(ours, **parts), CENTRE)  # type: ignore[arg-type]
        assert refusal(lambda octets=foreign: desk.take_grant(octets)).code == "grant-foreign"  # type: ignore[misc]
    assert not desk.state().delivery.is_granted
    state = desk.take_grant(grant_for(bundle))
    assert state.delivery.is_granted
    assert state.step is Step.DONE
    assert not state.has_claim
    assert desk.take_grant(grant_for(bundle)).step is Step.DONE


def test_the_network_is_tried_and_takes_everything_once(tmp_path: Path, meters: Cabinet) -> None:
    centre = DeskCentre()
    with centre.running(), desk_at(tmp_path) as desk:
        begun(desk, meters, centre_url=centre.url)
        assert refusal(desk.deliver).code == "not-sealed"
        desk.bind(request("m-u-b101"), WHO)
        photo = desk.photograph(MeterId("m-u-b101"), "meter", picture(5), WHO)
        desk.check(WHO)
        accept_all(desk)
        desk.seal(WHO)
        centre.refuses = True
        told = desk.deliver()
        assert told.problem == "this claim has served already (ask for a new order)"
        assert (told.is_granted, told.waiting) == (False, 2)
        centre.refuses = False
        told = desk.deliver()
        assert (told.is_granted, told.waiting, told.problem) == (True, 0, None)
        assert list(centre.photos) == [photo.sha256.hex()]
        desk._clock.sleep(60)
        desk.decommission(MeterId("m-u-b101"), WHO)
        assert desk.state().delivery.waiting == 1
        assert desk.deliver().waiting == 0
        assert desk.deliver().waiting == 0
    assert centre.events == [3]
    assert len(centre.bundles) == 1


def test_a_centre_that_is_away_is_no_error(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, COUNT)
    told = desk.deliver()
    assert told.problem is not None
    assert "no centre answers" in told.problem
    assert desk.state().delivery == told


def test_an_exchange_closes_the_old_meter_and_opens_the_new_one(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, "m-u-b101")
    new = replace(request("m-u-b202"), node=node("u-b101"), unit=None)
    desk.close_register(MeterId("m-u-b101"), WHO)
    meters.registers.off.add("m-u-b101")
    binding = desk.exchange(MeterId("m-u-b101"), new, WHO)
    assert binding.meter.id == "m-u-b101-2"
    desk.compare(binding.meter.id, typed(meters, "m-u-b202"), WHO)
    assert [one.meter.id for one in desk.state().bindings] == ["m-u-b101-2"]
    desk.check(WHO)
    accept_all(desk)
    assert desk.state().may_seal
    desk.seal(WHO)
    body = opened(desk)[-1].body
    assert isinstance(body, Exchange)
    assert {one.obis for one in body.closing} == {one.obis for one in body.opening}
    assert ENERGY_IMPORT in {one.obis for one in body.closing}
    assert body.new.comparisons[0].verdict == "equal"
    config = {one.id: one.span for one in GatewayConfig.read(desk.home.config).meters}
    assert config["m-u-b101"].end == config["m-u-b101-2"].start == binding.meter.span.start


def test_closing_registers_may_be_typed(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, "m-u-b101")
    new = replace(request("m-u-b202"), node=node("u-b101"), unit=None)
    old = MeterId("m-u-b101")
    meters.registers.off.add(old)
    assert refusal(lambda: desk.exchange(old, new, WHO)).code == "meter-silent"
    gas = [Typed(Obis.parse("7-0:3.0.0"), "1", "m3")]
    assert refusal(lambda: desk.exchange(old, new, WHO, closing=gas)).code == "no-register"
    nonsense = [Typed(ENERGY_IMPORT, "twelve", "kWh")]
    assert refusal(lambda: desk.exchange(old, new, WHO, closing=nonsense)).code == "display-unreadable"
    both = [Typed(ENERGY_IMPORT, "1234.5", "kWh"), Typed(ENERGY_EXPORT, "0", "kWh")]
    assert desk.exchange(old, new, WHO, closing=both).meter.id == "m-u-b101-2"


def test_ratio_move_and_end_are_signed_at_once(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, "m-bldg-b", "m-u-b101")
    clock = desk._clock
    assert isinstance(clock, ManualClock)
    clock.sleep(60)
    new = desk.change_ratio(MeterId("m-bldg-b"), 40, 1, WHO)
    desk.reparent(node("u-b101"), node("common"), WHO)
    clock.sleep(60)
    desk.decommission(MeterId("m-u-b101"), WHO)
    kinds = [str(one.body.kind) for one in opened(desk)][3:]
    assert kinds == ["ratio-change", "reparent", "decommission"]
    ratio = opened(desk)[3].body
    assert isinstance(ratio, RatioChange)
    assert (ratio.new, ratio.ct) == (new, 40)
    config = {one.id: one.span for one in GatewayConfig.read(desk.home.config).meters}
    assert config["m-bldg-b"].end == config[new].start
    assert config["m-u-b101"].end is not None


def test_a_machine_that_takes_anothers_place_reads_its_meters_in_the_next_epoch(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.replace_gateway(3, "struck by lightning", WHO)
    desk.check(WHO)
    accept_all(desk)
    sealed_as = desk.seal(WHO)
    assert sealed_as.epoch == 4
    config = GatewayConfig.read(desk.home.config)
    assert config.epoch == 4
    assert len(config.meters) == len(surveyed_site().meters_of(GATEWAY))
    assert refusal(lambda: desk.replace_gateway(4, "again", WHO)).code == "sealed-already"


def test_every_refusal_is_told_in_both_languages() -> None:
    for code in codes():
        names = dict.fromkeys(_names(code), "x")
        told = refused(code, **names).told
        assert told.zh != told.en


def _names(code: str) -> set[str]:
    zh, en = words._WORDS[code]
    fields = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (zh, en)]
    assert fields[0] == fields[1]
    return fields[0]


def test_the_key_of_the_gateway_is_the_one_it_shows(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, COUNT)
    bundle = desk._journal.worksheet().bundle
    assert bundle is not None
    assert open_bundle(bundle).key_id == key_id_of(desk.signer().public_key)
    assert isinstance(opened(desk)[1].body, Bind)


def test_a_changed_key_signs_on_in_its_own_epoch(desk: Desk, meters: Cabinet) -> None:
    sealed(desk, meters, "m-main", "m-u-b101")
    config = replace(GatewayConfig.read(desk.home.config), renewal=HttpWay("http://127.0.0.1:9"))
    desk.home.config.write_text(config.to_toml(), encoding="utf-8")
    with pytest.raises(HandoverRefused, match="1 signed acts of the installation"):
        hand_over(desk.home.config, None)
    bundle = desk._journal.worksheet().bundle
    assert bundle is not None
    desk.take_grant(grant_for(bundle))
    old = desk.signer().key_id
    done = hand_over(desk.home.config, None)
    assert desk.signer().key_id == done.new_key.key_id != old
    desk.decommission(MeterId("m-u-b101"), WHO)
    sheet = desk._journal.worksheet()
    assert sheet.order is not None
    (event,) = open_events([sheet.events[-1].octets], done.new_key.verifier(), previous=sheet.order.voucher.digest)
    assert (event.epoch, event.number) == (2, 1)
    assert [one.is_delivered for one in desk.state().events] == [True, True, True, False]
    config = GatewayConfig.read(desk.home.config)
    assert (config.epoch, config.bundle, config.signing_key) == (2, done.digest, done.config.signing_key)
    assert {one.id: one.span.end is None for one in config.meters} == {"m-main": True, "m-u-b101": False}
    package = read_package(io.BytesIO(desk.package()))
    assert (package.bundle, len(package.events)) == (None, 1)
    assert desk.take_grant(grant_for(bundle)).delivery.is_granted


def test_two_desks_see_each_others_acts(tmp_path: Path, meters: Cabinet) -> None:
    with desk_at(tmp_path) as one, desk_at(tmp_path) as other:
        begun(one, meters)
        other.bind(request("m-u-b101"), WHO)
        one.bind(request("m-u-b102"), WHO)
        assert one.state().bindings == other.state().bindings
        assert refusal(lambda: other.bind(replace(request("m-u-b102"), node=node("u-b202"), unit=None), WHO)).code in (
            "address-taken",
            "serial-taken",
        )


def test_who_writes_has_seen_everything_before(tmp_path: Path, meters: Cabinet) -> None:
    inside, entered = threading.Event(), threading.Event()
    with desk_at(tmp_path) as one, desk_at(tmp_path) as other:
        begun(one, meters)

        def second() -> None:
            inside.wait(WAIT_S)
            with other._journal.writing(WHO, START) as (sheet, _):
                assert sheet.claim == "first"
                entered.set()

        thread = threading.Thread(target=second)
        thread.start()
        with one._journal.writing(WHO, START) as (_, write):
            inside.set()
            assert not entered.wait(0.2)
            write(acts.Claimed("first"))
        thread.join()
        assert entered.is_set()


def test_a_damaged_journal_is_told_and_kept(tmp_path: Path, meters: Cabinet) -> None:
    with desk_at(tmp_path) as desk:
        begun(desk, meters)
        desk._journal._file._connection.execute("UPDATE act SET content = '{}' WHERE number = 2")
    octets = (tmp_path / "state" / "installation.db").read_bytes()
    assert "act 2" in str(refusal(lambda: desk_at(tmp_path).__enter__()).told.en)
    assert (tmp_path / "state" / "installation.db").read_bytes()[:100] == octets[:100]
    with desk_at(tmp_path / "other"):
        pass
    (tmp_path / "other" / "state" / "installation.db").write_bytes(b"no database" * 1000)
    assert refusal(lambda: desk_at(tmp_path / "other").__enter__()).code == "journal-damaged"


def test_a_refused_act_leaves_nothing_behind(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    before = desk._journal.worksheet()

    def fails() -> None:
        with desk._journal.writing(WHO, START) as (_, write):
            write(acts.Claimed("x"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert desk._journal.worksheet() is before
    with desk_at(desk.home.root) as again:
        assert again._journal.worksheet().claim == before.claim


def test_a_desk_that_is_killed_goes_on_where_it_was(tmp_path: Path, meters: Cabinet) -> None:
    """Every nineteenth place; `python -m tests.long.desk_kills` takes all."""
    assert killed_everywhere(tmp_path, meters, 19) > 5


def killed_everywhere(folder: Path, meters: Cabinet, stride: int) -> int:
    """Kill it before and after every commit and every file, open it anew, go on: the end is the same. Counts kills."""
    killed = 0
    for at in range(1, 1000, stride):
        home = folder / str(at)
        if _install_until(home, meters, at):
            break
        killed += 1
        assert _install_until(home, meters, 10_000), f"not resumed after kill {at}"
        with desk_at(home) as desk:
            _check_whole(desk)
    return killed


def _check_whole(desk: Desk) -> None:
    state = desk.state()
    assert state.sealed is not None
    assert [one.kind for one in state.events] == ["port-change", "bind", "bind", "decommission"]
    opened(desk)
    config = GatewayConfig.read(desk.home.config)
    assert config.bundle == state.sealed.digest
    assert {one.id: one.span.end is None for one in config.meters} == {"m-main": True, "m-u-b101": False}
    assert desk.picture(state.bindings[0].photos[0].sha256) == picture(9)
    assert state.delivery.is_granted


def _install_until(home: Path, meters: Cabinet, kill_at: int) -> bool:
    """Install in a child process that dies at the `kill_at`-th commit or file; say whether it came to its end."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        _die_at(kill_at)
        _install(home, meters)
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)


def _die_at(kill_at: int) -> None:
    """Count what changes the disk, from before it and from behind it, and die at one of them."""
    counted = itertools.count(1)

    def step() -> None:
        if next(counted) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(target: object, name: str) -> None:
        before = getattr(target, name)

        def doing(*arguments: object, **named: object) -> object:
            step()
            result = before(*arguments, **named)
            step()
            return result

        setattr(target, name, doing)

    watched(journal.Journal, "_add")
    watched(act_file.ActFile, "commit")
    watched(gateway_file, "replace_file")
    watched(os, "fsync")


def _install(home: Path, meters: Cabinet) -> None:
    """Do what is not done yet."""
    clock = ManualClock(START + timedelta(seconds=60 * len(list(home.glob("*")))))
    with desk_at(home, clock) as desk:
        state = desk.state()
        if not state.has_claim and state.sealed is None:
            desk.begin(order_file(), WHO, confirmed=FINGERPRINT, claim=CLAIM)
        if state.sealed is None:
            if all(getattr(one, "port", None) != meters.tcp.port for one in desk.state().ports):
                desk.set_port(PORT, meters.place, WHO)
            for name in ("m-main", "m-u-b101"):
                if name not in {one.meter.id for one in desk.state().bindings}:
                    desk.bind(request(name), WHO)
            if not desk.state().bindings[0].photos:
                desk.photograph(MeterId("m-main"), "meter", picture(9), WHO)
            desk.check(WHO, with_meters=False)
            accept_all(desk)
            desk.seal(WHO)
        clock.sleep(3600)
        if all(one.kind != "decommission" for one in desk.state().events):
            registers = [Typed(ENERGY_IMPORT, "12.5", "kWh")]
            desk.decommission(MeterId("m-u-b101"), WHO, closing=registers)
        bundle = desk._journal.worksheet().bundle
        assert bundle is not None
        desk.take_grant(grant_for(bundle))
