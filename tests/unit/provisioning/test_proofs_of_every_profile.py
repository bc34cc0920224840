"""Every shipped model, by every link: its registers become a snapshot, and display and wiring are judged by it."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import pytest

from device_profiles.framing import broadcasts_of, codec_of
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.profile import BILLING, Channel, ChannelKind, Profile, Protocol, ReadRequest
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.identity import NodeId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, SETTLED_QUANTITIES
from metering.quantity import Shown
from provisioning.display_proof import Verdict, prove_display
from provisioning.installation_checks import window_energy
from provisioning.meter_snapshot import MeterSnapshot, snapshot
from provisioning.phase_figures import phase_figures
from provisioning.wiring_proof import Flow, prove_wiring
from tests.doubles.proof_meter import READ_AT
from tests.unit.device_profiles.test_every_profile import LINKS, METER, World, address_of


@cache
def taken(profile: Profile, protocol: Protocol, *, more: int = 0, name: str = "m-1", later_s: int = 0) -> MeterSnapshot:
    """Read all groups over frames and keep what came; every settled register counts `more` steps further."""
    answers: list[tuple[ReadRequest, bytes]] = []
    for group in profile.groups:
        meter = SimulatedMeter(METER, profile, protocol, address_of(profile, protocol))
        world = World(profile, group)
        for channel in counters(profile):
            exact = more / channel.scale
            world.registers[channel.obis] += -(-exact.numerator // exact.denominator)

        def carry(exchange: Exchange, meter: SimulatedMeter = meter, world: World = world) -> bytes:
            return meter.answer(exchange.request, world) or b""

        if group.after_freeze:
            broadcasts = broadcasts_of(protocol)
            if broadcasts is not None:
                drive(broadcasts.freeze(), carry)
        for read in plan_reads(profile, protocol, group):
            body = drive(codec_of(protocol).converse(meter.address, read, PublishedSecrets()), carry)
            answers.append((read, body))
    at = READ_AT + timedelta(seconds=later_s)
    return snapshot(meter=name, profile=profile, protocol=protocol, ct=1, pt=1, read_at=at, answers=answers)


def counters(profile: Profile) -> list[Channel]:
    """The registers that are settled."""
    channels = [channel for group in profile.groups if group.name == BILLING for channel in group.channels]
    return [one for one in channels if one.kind is ChannelKind.COUNTER and one.obis in SETTLED_QUANTITIES]


def as_typed(shown: Shown) -> str:
    """As a display shows it, unit included."""
    return str(shown)


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_every_register_of_the_model_is_in_its_snapshot(profile: Profile, protocol: Protocol) -> None:
    seen = taken(profile, protocol)
    world = World(profile, profile.groups[0])
    for channel in counters(profile):
        assert seen.shown[channel.obis].mantissa == channel.mantissa_at(world.registers[channel.obis])
        assert seen.step(channel.obis) > 0
        assert seen.ratio_of(channel.obis) == 1
    assert seen.raw


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_what_its_display_shows_agrees_and_a_tenfold_does_not(profile: Profile, protocol: Protocol) -> None:
    seen = taken(profile, protocol, more=1234)
    for channel in counters(profile):
        shown = seen.shown[channel.obis]
        proof = prove_display(as_typed(shown), channel.obis, own=(seen,), at=READ_AT)
        assert proof.verdict is Verdict.EQUAL
        tenfold = as_typed(Shown(shown.mantissa * 10, shown.exponent, shown.unit))
        wrong = prove_display(tenfold, channel.obis, own=(seen,), at=READ_AT)
        assert wrong.verdict is not Verdict.EQUAL
        assert Verdict.SCALE in [one.verdict for one in wrong.explanations]


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_the_display_of_a_sister_is_told_as_that(profile: Profile, protocol: Protocol) -> None:
    mine, sister = taken(profile, protocol), taken(profile, protocol, more=54321, name="m-2")
    for channel in counters(profile)[:1]:
        typed = as_typed(sister.shown[channel.obis])
        proof = prove_display(typed, channel.obis, own=(mine,), others=(sister,), at=READ_AT)
        assert proof.verdict is Verdict.OTHER_METER
        assert "m-2" in proof.findings[0].told.en


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_its_wiring_is_judged_or_told_as_not_judged(profile: Profile, protocol: Protocol) -> None:
    """Nothing is green by silence: whatever was not judged has a finding."""
    seen = taken(profile, protocol)
    figures = phase_figures(seen)
    assert len(figures.phases) in (0, 1, 3)
    proof = prove_wiring(seen, flow=Flow.IMPORT)
    codes = {finding.code for finding in proof.findings}
    unjudged = {phase.name for phase in figures.phases} - set(proof.judged)
    untold = {"wiring-not-told", "wiring-power-untold", "wiring-light-load", "wiring-phase-missing"}
    if not figures.phases or unjudged:
        assert codes & untold


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_energy_between_two_readings_is_what_it_counted(profile: Profile, protocol: Protocol) -> None:
    first, last = taken(profile, protocol), taken(profile, protocol, more=500, later_s=600)
    energy = window_energy(first, last, NodeId("u-1"))
    known = {channel.obis for channel in counters(profile)}
    assert (energy is None) is (ENERGY_IMPORT not in known)
    if energy is not None:
        step_wh = last.step(ENERGY_IMPORT)
        net_steps = 0 if ENERGY_EXPORT in known else 500  # what comes in and goes out again is no energy of the node
        assert abs(energy.energy_wh - net_steps * step_wh) <= 2 * max(step_wh, energy.step_wh)
        assert energy.ratio == 1
        assert (energy.start, energy.end) == (first.read_at, last.read_at)
