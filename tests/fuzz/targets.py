"""What is fuzzed: the answer of every step of every conversation with every shipped profile, and all that is opened.

A target is tried with one case after another. It may give anything or raise an error of ours; everything else, and a
conversation that does not end, is a find.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import codec_of
from device_profiles.framing.cjt188 import Cjt188Read
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.profile import ChannelKind, Group, Profile, Protocol, ReadRequest
from device_profiles.profile_file import profile_from_canonical, profile_from_toml
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.envelope import parse_sealed, parse_sign1, seal, sign1
from metering.errors import MeteringError
from metering.hand_note import HandNote, HandSource, note_of
from metering.identity import GatewayId, MeterId
from metering.obis import Obis
from metering.order import SettingsOrder, open_order, seal_order
from metering.reading import MeterReading, ReadQuality
from metering.receipt import Receipt, open_receipt, seal_receipt
from metering.toml_source import TomlSource
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig, gateway_config
from provisioning.photo_file import plain_photo
from provisioning.site_file import read_site
from tests.conftest import MARK, SeededSigner, build_envelope
from tests.doubles.plain_photos import jpeg, png
from tests.fuzz.certificate_targets import certificate_targets
from tests.fuzz.checks import MENDS, Mend
from tests.fuzz.installation_targets import installation_targets

ROOT = Path(__file__).parents[2]
EXCHANGES_MAX = 500
CENTRE = SeededSigner("metertree test centre")
GATEWAY = GatewayId("gw-a")
MENDED = 0.8
"""Share of the changed frames whose check is made right again."""


@dataclass(frozen=True)
class Case:
    """Octets for one place of a target; `place` is a step of a conversation with one profile, or 0."""

    octets: bytes
    place: int = 0


@dataclass(frozen=True)
class Target:
    """A decoder: what it begins from, how it is tried, and how a changed case passes its checks."""

    name: str
    seeds: tuple[Case, ...]
    attempt: Callable[[Case], object]
    mend: Mend = lambda _draw, octets: octets


class NeverEnds(Exception):
    """A conversation went on and on: a find."""


class World:
    """A register for every channel: noon on clocks, a small number elsewhere."""

    def __init__(self, profile: Profile) -> None:
        self._times = {
            channel.obis for group in profile.groups for channel in group.channels if channel.kind is ChannelKind.TIME
        }

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return 1_785_585_600 if obis in self._times else 120


@dataclass(frozen=True)
class Step:
    """The answer numbered `spoilt` of reading one group of one profile by one protocol."""

    profile: Profile
    protocol: Protocol
    group: Group
    spoilt: int

    def read(self, heard: bytes | None) -> list[bytes]:
        """Read with `heard` instead of that answer (None: with the true one); give the true answers."""
        vectors = sorted(self.profile.vectors, key=lambda vector: vector.protocol is not self.protocol)
        meter = SimulatedMeter(MeterId("m-1"), self.profile, self.protocol, vectors[0].address)
        world, answers = World(self.profile), list[bytes]()

        def carry(exchange: Exchange) -> bytes:
            if len(answers) == EXCHANGES_MAX:
                raise NeverEnds
            answers.append(meter.answer(exchange.request, world) or b"")
            if heard is None or len(answers) - 1 != self.spoilt:
                return answers[-1]
            _ask_as_a_line_does(exchange, heard)
            return heard

        bodies = [
            drive(codec_of(self.protocol).converse(meter.address, _numbered(read), PublishedSecrets()), carry)
            for read in plan_reads(self.profile, self.protocol, self.group)
        ]
        decode_group(self.profile, self.protocol, self.group, bodies)
        return answers


def _numbered(read: ReadRequest) -> ReadRequest:
    """Always send the same number under CJ/T 188, so that an answer can be given again."""
    return replace(read, serial=7) if isinstance(read, Cjt188Read) else read


def _ask_as_a_line_does(exchange: Exchange, heard: bytes) -> None:
    """Ask how much is still to come, and whether this is the answer."""
    for received in (heard, heard[: len(heard) // 2]):
        try:
            exchange.octets_expected(received)
            if exchange.check is not None:
                exchange.check(received)
        except MeteringError:
            continue


def targets() -> dict[str, Target]:
    """Give every target by name."""
    made = [*_conversations(), *_sealed(), *_files(), *_installation(), *_of_people()]
    return {target.name: target for target in made}


def _conversations() -> Iterator[Target]:
    profiles = Catalogue.shipped().profiles
    for protocol in Protocol:
        steps: list[Step] = []
        seeds: list[Case] = []
        for profile in profiles:
            if protocol in profile.links and profile.vectors:
                for group in profile.groups:
                    _add_steps(Step(profile, protocol, group, 0), steps, seeds)
        if steps:
            mend = MENDS.get(protocol, lambda _draw, octets: octets)
            yield Target(str(protocol), tuple(seeds), _attempt_of(steps), mend)


def _add_steps(first: Step, steps: list[Step], seeds: list[Case]) -> None:
    try:
        answers = first.read(None)
    except MeteringError:  # a simulated meter need not have everything, as no meter has
        return
    for spoilt, answer in enumerate(answers):
        seeds.append(Case(answer, len(steps)))
        steps.append(replace(first, spoilt=spoilt))


def _attempt_of(steps: list[Step]) -> Callable[[Case], object]:
    return lambda case: steps[case.place].read(case.octets)


def _sealed() -> Iterator[Target]:
    envelope = seal(build_envelope(), SeededSigner("metertree test gateway"))
    yield Target("envelope", (Case(envelope),), lambda case: parse_sealed(case.octets))
    receipt = seal_receipt(Receipt(GATEWAY, 1, 7, bytes(32), MARK, ((5, "refused"),)), CENTRE)
    yield _signed("receipt", receipt, lambda octets: open_receipt(octets, CENTRE.verifier))
    order = seal_order(SettingsOrder(GATEWAY, 1, 3, MARK, "[poll]\nevery_s = 900\n"), CENTRE)
    yield _signed("order", order, lambda octets: open_order(octets, CENTRE.verifier))


def _of_people() -> Iterator[Target]:
    """Photos, and the notes beside what people read."""
    yield Target("photo", (Case(jpeg()), Case(png())), lambda case: plain_photo(case.octets))
    note = HandNote(HandSource.PHOTO, "012345.6", bytes(32), "0123456", 987, bytes(32)).to_frame()

    def read(case: Case) -> object:
        quality = ReadQuality.MEASURED
        return note_of(MeterReading(MeterId("m"), bytes(32), 0, MARK, MARK, quality, (1,), (case.octets,)))

    yield Target("hand-note", (Case(note),), read)


def _installation() -> Iterator[Target]:
    for name, seeds, opened, signed in (*installation_targets(), *certificate_targets()):
        yield Target(
            name,
            tuple(map(Case, seeds)),
            lambda case, opened=opened: opened(case.octets),  # type: ignore[misc]
            lambda _draw, octets, signed=signed: signed(octets),  # type: ignore[misc]
        )


def _signed(name: str, sealed: bytes, opened: Callable[[bytes], object]) -> Target:
    """What the centre signs: most changed contents are signed again, or nothing behind the signature were tried."""
    content = parse_sign1(sealed).payload
    return Target(name, (Case(content),), lambda case: opened(case.octets), lambda _draw, octets: sign1(octets, CENTRE))


def _files() -> Iterator[Target]:
    folder = ROOT / "device_profiles" / "meters"
    files = [path.read_bytes() for path in sorted(folder.glob("*/*.toml"))[::4]]
    yield Target("profile-file", tuple(map(Case, files)), lambda case: profile_from_toml(_toml(case.octets)))
    canonical = [profile.canonical for profile in Catalogue.shipped().profiles[::4]]
    yield Target("profile", tuple(map(Case, canonical)), lambda case: profile_from_canonical(case.octets))
    yield Target("gateway-config", (Case(_config()),), lambda case: GatewayConfig.from_toml(_toml(case.octets)))


def _config() -> bytes:
    config = gateway_config(
        read_site(ROOT / "examples" / "park"),
        GATEWAY,
        epoch=2,
        boot=bytes(16),
        state_dir=Path("/var/lib/metertree"),
        signing_key=Path("/etc/metertree/signing.key"),
        centre_public_key=Path("/etc/metertree/centre.pub"),
        broker=BrokerConfig("127.0.0.1", 1883, "gw", "password"),
        clock=SYSTEM_CLOCK,
        every_s=900,
        group="billing",
        places={},
    )
    return config.to_toml().encode()


def _toml(octets: bytes) -> TomlSource:
    return TomlSource.parse(octets.decode("utf-8", "replace"), "fuzzed.toml")


def mended(draw: random.Random, target: Target, octets: bytes) -> bytes:
    """Make the checks of most changed cases right again."""
    return target.mend(draw, octets) if draw.random() < MENDED else octets
