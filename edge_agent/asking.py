"""One meter, one reading: ask as often as its patience allows, learn from refusals, decode, say how good it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import codec_of
from device_profiles.framing.conversation import NO_SECRETS, MeterSecrets
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.learning import Learned
from device_profiles.profile import Group, Profile, ReadRequest
from edge_agent.learnt import NOTHING, lesson, plan_within
from edge_agent.patience import Patience, SilentShare
from edge_agent.ports import Answer, AnswerCut, Bus, BusTimeout
from metering.clock import Clock
from metering.errors import MeterError
from metering.identity import MeterId
from metering.reading import MeterReading, ReadQuality
from provisioning.gateway_config import FittedMeter

log = logging.getLogger(__name__)

LESSONS_MAX = 4
"""A meter is asked again in another way at most so often within one reading."""


@dataclass(frozen=True, slots=True)
class AskedMeter:
    """A meter with all that asking it takes: what to read, how to decode it, how long to wait.

    learned   what the meter taught beyond its profile; `reads` are planned within it
    secrets   what its protocol needs and no profile holds
    """

    fitted: FittedMeter
    profile: Profile
    group: Group
    reads: tuple[ReadRequest, ...]
    patience: Patience
    learned: Learned = NOTHING
    secrets: MeterSecrets = NO_SECRETS

    @classmethod
    def prepare(
        cls,
        fitted: FittedMeter,
        catalogue: Catalogue,
        group_name: str,
        reply_stretch: float = 1.0,
        secrets: MeterSecrets = NO_SECRETS,
    ) -> AskedMeter:
        """Plan the reads of `fitted`; raises ProfileUnknown, NotInProfile, PlanImpossible or AddressInvalid.

        reply_stretch   factor on the profile's longest turnaround; where it is not 1, no shorter timeout is learnt
        """
        profile = catalogue.by_id(fitted.profile)
        group = profile.group(group_name)
        codec_of(fitted.protocol).check_address(fitted.address)
        reply_s_max = reply_stretch * profile.link(fitted.protocol).reply_ms_max / 1000
        patience = Patience(reply_s_max) if reply_stretch == 1 else Patience(reply_s_max, reply_s_max)
        reads = plan_within(NOTHING, profile, fitted.protocol, group)
        return cls(fitted, profile, group, reads, patience, secrets=secrets)

    @property
    def key(self) -> str:
        """Name the meter and how it is asked: what it taught holds no longer than this."""
        one = self.fitted
        return f"{one.id} {one.protocol} {one.address} {self.profile.hash.hex()[:16]}"

    def within(self, learned: Learned) -> AskedMeter:
        """Give the same meter asked as it taught; raises PlanImpossible."""
        return replace(
            self, learned=learned, reads=plan_within(learned, self.profile, self.fitted.protocol, self.group)
        )

    def for_group(self, group: Group) -> AskedMeter:
        """Give the same meter asked for another group; patience is shared. Raises PlanImpossible."""
        return replace(self, group=group, reads=plan_within(self.learned, self.profile, self.fitted.protocol, group))

    def reading(
        self,
        started_at: datetime,
        ended_at: datetime,
        quality: ReadQuality,
        mantissas: tuple[int | None, ...] = (),
    ) -> MeterReading:
        """Give a reading of this meter's group."""
        return MeterReading(
            meter=MeterId(self.fitted.id),
            profile_hash=self.profile.hash,
            group=self.group.index,
            started_at=started_at,
            ended_at=ended_at,
            quality=quality,
            mantissas=mantissas,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reading and what it taught.

    turnarounds_s   of each answer [s]
    silent_s        the port's time lost if no answer came at all [s]
    learned         how the meter wants to be asked from now on, if that is new
    """

    reading: MeterReading
    turnarounds_s: tuple[float, ...] = ()
    silent_s: float | None = None
    learned: Learned | None = None


class Asker:
    """Asks the meters of one port.

    reopen   has the port open; called with the instant that what is behind it must know, see `PortReader`
    """

    def __init__(self, bus: Bus, clock: Clock, silent_share: SilentShare, reopen: Callable[[datetime], None]) -> None:
        self._bus = bus
        self._clock = clock
        self._silent_share = silent_share
        self._reopen = reopen

    def read(self, meter: AskedMeter, mark: datetime, tolerance: timedelta | None) -> Outcome:
        """Read one meter; raises PortLost.

        tolerance   answers later than this after `mark` are LATE; None for a reading without a mark
        """
        began_at, began_s = self._clock.now(), time.monotonic()
        if not self.may_ask(meter, began_at):
            return Outcome(meter.reading(began_at, began_at, ReadQuality.NO_ANSWER))
        taught, turnarounds_s, is_heard = meter, list[float](), False
        for lessons_left in reversed(range(LESSONS_MAX + 1)):
            answers: list[Answer] = []
            try:
                mantissas = self._answers(taught, mark, answers, is_heard=is_heard)
            except MeterError as error:
                turnarounds_s += [answer.turnaround_s for answer in answers]
                other = _taught(taught, answers, error) if lessons_left else None
                if other is None:
                    is_lost = isinstance(error, BusTimeout) and not turnarounds_s and not is_heard
                    lost_s = time.monotonic() - began_s if is_lost else None
                    return self._failed(meter, began_at, error, tuple(turnarounds_s), lost_s)
                taught, is_heard = other, True
                continue
            turnarounds_s += [answer.turnaround_s for answer in answers]
            break
        started_at, ended_at = answers[0].started_at, answers[-1].ended_at
        is_late = tolerance is not None and ended_at - mark > tolerance
        quality = ReadQuality.LATE if is_late else ReadQuality.MEASURED
        learned = taught.learned if taught is not meter else None
        return Outcome(meter.reading(started_at, ended_at, quality, mantissas), tuple(turnarounds_s), None, learned)

    def may_ask(self, meter: AskedMeter, now: datetime) -> bool:
        """Say whether a meter may be asked: always, but for a silent one between probes or beyond their share."""
        patience = meter.patience
        return not patience.is_silent or (patience.is_due(now) and self._silent_share.allows(now))

    def _answers(
        self, meter: AskedMeter, mark: datetime, answers: list[Answer], *, is_heard: bool
    ) -> tuple[int | None, ...]:
        """Ask for all that the group takes, into `answers`, and decode it."""
        for request in meter.reads:
            answers.append(self._ask(meter, request, mark, has_answered=is_heard or bool(answers)))
        bodies = [answer.body for answer in answers]
        reads = None if meter.learned == NOTHING else meter.reads
        return decode_group(meter.profile, meter.fitted.protocol, meter.group, bodies, reads)

    def _ask(self, meter: AskedMeter, request: ReadRequest, mark: datetime, *, has_answered: bool) -> Answer:
        """Ask as often as the meter's patience allows; raises what the last attempt raised.

        An answer that is cut once is noise: AnswerCut is raised only when every attempt of several ended so.
        """
        failures: list[MeterError] = []
        fitted = meter.fitted
        late_s = meter.patience.reply_s_max
        for reply_s in meter.patience.timeouts_s(has_answered=has_answered):
            self._reopen(mark)
            try:
                return self._bus.ask(
                    fitted.protocol,
                    fitted.address,
                    request,
                    reply_s=reply_s,
                    late_s=late_s,
                    line=fitted.line,
                    secrets=meter.secrets,
                )
            except ExceptionReply:
                raise
            except MeterError as error:
                failures.append(error)
        if isinstance(failures[-1], AnswerCut) and not (len(failures) > 1 and all(map(_is_cut, failures))):
            raise FrameError(str(failures[-1])) from failures[-1]
        raise failures[-1]

    def _failed(
        self,
        meter: AskedMeter,
        began_at: datetime,
        error: MeterError,
        turnarounds_s: tuple[float, ...],
        lost_s: float | None,
    ) -> Outcome:
        quality = _quality_of(error)
        log.info("meter-failed", extra={"meter": meter.fitted.id, "quality": quality.name, "reason": str(error)})
        return Outcome(meter.reading(began_at, self._clock.now(), quality), turnarounds_s, lost_s)


def _taught(meter: AskedMeter, answers: list[Answer], error: MeterError) -> AskedMeter | None:
    """Give the meter as its failure at the read after `answers` teaches to ask it; None where it teaches nothing."""
    if len(answers) == len(meter.reads):
        return None
    read = meter.reads[len(answers)]
    learned = lesson(meter.learned, meter.profile, meter.fitted.protocol, meter.group, read, error)
    return None if learned is None else meter.within(learned)


def _is_cut(error: MeterError) -> bool:
    return isinstance(error, AnswerCut)


def _quality_of(error: MeterError) -> ReadQuality:
    if isinstance(error, BusTimeout):
        return ReadQuality.NO_ANSWER
    return ReadQuality.REFUSED if isinstance(error, ExceptionReply) else ReadQuality.INVALID
