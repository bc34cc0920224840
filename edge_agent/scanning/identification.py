"""Which model a meter is: its signs are asked, and those of every model that would pass for it.

Theory of operation. Models are tried in the order of how likely they are. One whose signs contradict is out. One that
passes is believed only after its rivals have been asked for their own signs: a rival is a model whose simulated meter
passes the other's signs, which is found out by asking that simulated meter, not by comparing maps. Then the greater
score wins; equal scores are told as equals. Each read is asked once, whatever number of models want to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from device_profiles.decode import decode_group
from device_profiles.families.family import PlanImpossible
from device_profiles.framing import cjt188_frame, codec_of
from device_profiles.framing.cjt188 import Cjt188Read
from device_profiles.framing.conversation import MeterSecrets, SecretMissing
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.identification import Sign, signs_of, with_identity
from device_profiles.living_registers import LivingRegisters
from device_profiles.profile import NotInProfile, Profile, Protocol, ReadRequest
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.scanning.listening import Heard, Sound, rehearse
from edge_agent.scanning.result import Candidate, SerialSource
from metering.errors import MeterError
from metering.identity import MeterId
from metering.obis import Obis
from metering.quantity import Shown

A_TIME_S = 1_782_864_000
"""What clocks show in a rehearsal: 2026-07-01 [s since 1970]."""
A_METER_OF = {
    Protocol.DLT645_2007: "000000000001",
    Protocol.DLT645_1997: "000000000001",
    Protocol.CJT188_2004: "00000000000001",
    Protocol.CJT188_2018: "00000000000001",
}
"""Addresses for rehearsals, where 1 is none."""

AskRead = Callable[[ReadRequest, MeterSecrets], Heard]
"""Puts one read to the meter."""


@dataclass(slots=True)
class _Case:
    """What is known of one model as the model of this meter."""

    profile: Profile
    score: float = 0.0
    matched: int = 0
    asked: int = 0
    is_out: bool = False
    serial: int | None = None
    shown: dict[Obis, Shown] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a meter is, as far as the catalogue knows.

    broken   reads that came broken whenever they were asked: more than one meter may answer
    """

    candidates: tuple[Candidate, ...] = ()
    serial: str | None = None
    serial_source: SerialSource | None = None
    registers: tuple[tuple[Obis, Shown], ...] = ()
    broken: tuple[Heard, ...] = ()
    turnaround_s: float = 0.0


class Examination:
    """One meter under examination; every answer is kept, so that no read is asked twice."""

    def __init__(self, protocol: Protocol, ask: AskRead) -> None:
        self._protocol = protocol
        self._ask = ask
        self._heard: dict[ReadRequest, Heard] = {}

    def identify(self, models: Iterable[Profile]) -> Identity:
        """Try `models`, the likeliest first."""
        order = list(models)
        cases: dict[str, _Case] = {}
        for profile in order:
            if profile.id in cases:
                continue
            case = cases[profile.id] = self._examine(profile)
            if case.is_out or not case.matched:
                continue
            for rival in rivals_of(profile, self._protocol, tuple(order)):
                if rival.id not in cases:
                    cases[rival.id] = self._examine(rival)
            break
        return self._judged(list(cases.values()), order)

    def _examine(self, profile: Profile) -> _Case:
        case = _Case(profile)
        for sign in signs_of(profile):
            case.asked += 1
            sound, mantissa = self._read(profile, sign)
            _weigh(case, sign, sound, mantissa)
            if case.is_out:
                break
        return case

    def _read(self, profile: Profile, sign: Sign) -> tuple[Sound, int | None]:
        """Read a sign; what the meter answers and cannot be the model's own is an answer without mantissa."""
        whole = with_identity(profile)
        try:
            reads = plan_reads(whole, self._protocol, sign.group)
        except (PlanImpossible, NotInProfile):
            return Sound.SILENCE, None
        bodies: list[bytes] = []
        for read in reads:
            heard = self._heard_of(read)
            if heard.sound is not Sound.ANSWER:
                return heard.sound, None
            bodies.append(heard.body)
        try:
            return Sound.ANSWER, decode_group(whole, self._protocol, sign.group, bodies)[0]
        except MeterError:
            return Sound.ANSWER, None

    def _heard_of(self, read: ReadRequest) -> Heard:
        if read not in self._heard:
            try:
                heard = self._ask(read, PublishedSecrets())
                if heard.sound in (Sound.BROKEN, Sound.SILENCE):
                    heard = self._ask(read, PublishedSecrets())
            except SecretMissing:
                heard = Heard(Sound.REFUSAL)
            if heard.sound is Sound.ANSWER and not _is_of_kind(read, heard.octets):
                heard = replace(heard, sound=Sound.OTHER, body=b"")
            self._heard[read] = heard
        return self._heard[read]

    def _judged(self, cases: list[_Case], order: list[Profile]) -> Identity:
        standing = [case for case in cases if not case.is_out and case.matched]
        place = {profile.id: number for number, profile in enumerate(order)}
        standing.sort(key=lambda case: (-case.score, place[case.profile.id]))
        answers = self._heard.values()
        broken = tuple(each for each in answers if each.sound is Sound.BROKEN)
        slowest_s = max((each.turnaround_s for each in answers), default=0.0)
        if not standing:
            return Identity(broken=broken, turnaround_s=slowest_s)
        best = standing[0]
        serials = [case.serial for case in standing if case.score == best.score and case.serial is not None]
        serial = serials[0] if serials and len(set(serials)) == 1 else None
        return Identity(
            candidates=tuple(
                Candidate(case.profile.id, round(case.score), case.matched, case.asked) for case in standing
            ),
            serial=None if serial is None else str(serial),
            serial_source=None if serial is None else SerialSource.REGISTER,
            registers=tuple(best.shown.items()),
            broken=broken,
            turnaround_s=slowest_s,
        )


def _is_of_kind(read: ReadRequest, octets: bytes) -> bool:
    """Say whether the answer is from a meter of the kind that was asked: CJ/T 188 has gas and water in one map."""
    if not isinstance(read, Cjt188Read):
        return True
    frames, _ = cjt188_frame.scan(octets)
    return all(frame.meter_type == read.meter_type for frame in frames)


def _weigh(case: _Case, sign: Sign, sound: Sound, mantissa: int | None) -> None:
    """Add what a sign says: a contradiction is out, an absence costs half of its score."""
    probe = sign.probe
    if mantissa is not None and not sign.is_written:
        case.shown.setdefault(sign.channel.obis, sign.channel.shown(mantissa))
    if mantissa is not None and sign.fits(mantissa):
        case.matched += 1
        case.score += sign.score
        if probe.is_serial:
            case.serial = mantissa
    elif _contradicts(sign, sound, mantissa):
        case.is_out = True
    else:
        case.score -= sign.score / 2


def _contradicts(sign: Sign, sound: Sound, mantissa: int | None) -> bool:
    """Say whether what came cannot come from a meter of the model. Broken octets and silence say nothing."""
    if sign.probe.is_serial or sound in (Sound.SILENCE, Sound.BROKEN):
        return False
    if sound is Sound.REFUSAL:
        return sign.is_needed
    return mantissa != 0 or sign.is_written  # a supply that is not connected shows 0


@lru_cache(maxsize=256)
def rivals_of(profile: Profile, protocol: Protocol, models: tuple[Profile, ...]) -> tuple[Profile, ...]:
    """Give the models whose meters would pass for one of `profile`."""
    return tuple(model for model in models if model.id != profile.id and _passes(model, profile, protocol))


def _passes(impostor: Profile, profile: Profile, protocol: Protocol) -> bool:
    """Say whether a meter of model `impostor` shows the signs of `profile`."""
    address = A_METER_OF.get(protocol, "1")
    registers = LivingRegisters(impostor, "rehearsal", A_TIME_S)
    try:
        meter = SimulatedMeter(MeterId("rehearsal"), impostor, protocol, address)
    except MeterError:
        return False

    def ask(read: ReadRequest, secrets: MeterSecrets) -> Heard:
        conversation = codec_of(protocol).converse(address, read, secrets)
        return rehearse(conversation, lambda octets: meter.answer(octets, registers))

    case = Examination(protocol, ask)._examine(profile)
    return not case.is_out and case.matched > 0
