"""Every shipped model among all others of its protocol: never taken for one that it is not."""

from __future__ import annotations

import pytest

from device_profiles.framing import codec_of
from device_profiles.framing.conversation import MeterSecrets
from device_profiles.profile import Profile, Protocol, ReadRequest
from edge_agent.scanning.identification import A_METER_OF, Examination, Identity, rivals_of
from edge_agent.scanning.listening import Heard, Sound, rehearse
from tests.doubles.scanned_line import CATALOGUE, on_line

MODELS = {
    protocol: tuple(each for each in CATALOGUE.profiles if protocol in each.links and not each.id.startswith("hand/"))
    for protocol in Protocol
    if protocol.is_serial
}
CASES = [
    pytest.param(profile, protocol, id=f"{profile.id}-{protocol}")
    for protocol, models in MODELS.items()
    for profile in models
]
EQUALS = [
    {"carlo-gavazzi/em340", "carlo-gavazzi/em530"},
    {"eastron/sdm120", "eastron/sdm230"},
    {"finder/7m38", "iskra/ie38"},
    {"inepro/pro380", "wago/879-3000"},
    {"janitza/b23", "janitza/umg511", "janitza/umg604", "janitza/umg96rm-e"},
    {"schneider/iem3155", "schneider/iem3255"},
    {"siemens/pac2200", "siemens/pac3200", "siemens/pac4200"},
    {"socomec/countis-e34", "socomec/diris-a14"},
    {"acrel/dtsd1352-645", "chint/dtsu666-645", "dlt645/three-phase"},
    {"dlt645/three-phase-full", "hexing/three-phase", "linyang/three-phase", "wasion/dtz341"},
    {"dlt645/single-phase", "linyang/single-phase"},
    {"dlt645-1997/three-phase", "hexing/dsz208", "wasion/dssd331-1997"},
    {"emh/diz", "mbus/electricity-1-tariff"},
    {"mbus/heat-gj", "mbus/heat-kwh"},
    {"dlms/hexing", "dlms/password"},
]
"""Models that have the same registers in the same places: only a label tells them apart."""


class Asked:
    """One simulated meter under examination."""

    def __init__(self, profile: Profile, protocol: Protocol, *, broken: tuple[int, ...] = ()) -> None:
        self.reads = 0
        self._address = A_METER_OF.get(protocol, "1")
        self._protocol = protocol
        self._broken = broken
        self._on_line = on_line(profile.id, self._address, serial=23_001_234, protocol=protocol)

    def ask(self, read: ReadRequest, secrets: MeterSecrets) -> Heard:
        """Put a read to it."""
        self.reads += 1
        if self.reads in self._broken:
            return Heard(Sound.BROKEN, b"\x01\x83")
        meter, registers = self._on_line.meter, self._on_line.registers
        conversation = codec_of(self._protocol).converse(self._address, read, secrets)
        return rehearse(conversation, lambda octets: meter.answer(octets, registers))

    def identify(self, *first: Profile) -> Identity:
        """Identify it, `first` tried before all others."""
        return Examination(self._protocol, self.ask).identify((*first, *MODELS[self._protocol]))


def best_of(identity: Identity) -> set[str]:
    """The models that fit best."""
    return {each.profile for each in identity.candidates if each.score == identity.candidates[0].score}


@pytest.mark.parametrize(("profile", "protocol"), CASES)
def test_a_meter_is_known_for_its_model_or_for_one_with_the_same_registers(
    profile: Profile, protocol: Protocol
) -> None:
    best = best_of(Asked(profile, protocol).identify())
    assert profile.id in best
    assert best <= next((equals for equals in EQUALS if profile.id in equals), {profile.id})


@pytest.mark.parametrize("profile_id", ["eastron/sdm630", "acrel/adl3000", "carlo-gavazzi/em24", "abb/b24"])
def test_a_model_that_is_expected_and_is_not_there_is_not_believed(profile_id: str) -> None:
    rivals = rivals_of(CATALOGUE.by_id(profile_id), Protocol.MODBUS_RTU, MODELS[Protocol.MODBUS_RTU])
    for wrong in (*rivals, *MODELS[Protocol.MODBUS_RTU][::9]):
        asked = Asked(CATALOGUE.by_id(profile_id), Protocol.MODBUS_RTU)
        assert profile_id in best_of(asked.identify(wrong)), wrong.id


def test_a_model_that_was_found_before_costs_a_few_reads() -> None:
    profile = CATALOGUE.by_id("chint/dtsu666")
    asked = Asked(profile, Protocol.MODBUS_RTU)
    assert best_of(asked.identify(profile)) == {"chint/dtsu666"}
    assert asked.reads <= 8


def test_rivals_are_those_whose_meters_would_pass() -> None:
    models = MODELS[Protocol.MODBUS_RTU]
    rivals = {each.id for each in rivals_of(CATALOGUE.by_id("eastron/sdm120"), Protocol.MODBUS_RTU, models)}
    assert rivals == {"eastron/sdm230", "eastron/sdm630", "eastron/sdm72dm-v2"}
    assert rivals_of(CATALOGUE.by_id("abb/b23"), Protocol.MODBUS_RTU, models) == ()


def test_a_broken_answer_is_asked_for_again_and_a_meter_is_known_all_the_same() -> None:
    identity = Asked(CATALOGUE.by_id("abb/b23"), Protocol.MODBUS_RTU, broken=(1, 4, 9)).identify()
    assert best_of(identity) == {"abb/b23"}
    assert identity.broken == ()


def test_what_stays_broken_is_told() -> None:
    identity = Asked(CATALOGUE.by_id("abb/b23"), Protocol.MODBUS_RTU, broken=(1, 2)).identify()
    assert [each.octets for each in identity.broken] == [b"\x01\x83"]


def test_a_meter_that_answers_nothing_has_no_model() -> None:
    identity = Asked(CATALOGUE.by_id("abb/b23"), Protocol.MODBUS_RTU, broken=tuple(range(500))).identify()
    assert identity.candidates == ()


def test_the_registers_of_the_best_model_are_told() -> None:
    identity = Asked(CATALOGUE.by_id("chint/dtsu666"), Protocol.MODBUS_RTU).identify()
    shown = {str(obis): each for obis, each in identity.registers}
    assert shown["1-0:1.8.0"].unit.symbol == "kWh"
    assert 4_500 < shown["1-0:14.7.0"].mantissa < 6_550
