"""Does a meter's display agree with the bus, and if not, which mistake explains it? (docs/adr/0086)

A counter is read on the bus before and after the display is read off, so the display lies between the two, give or
take its last digit and the register's step. Where it does not, every explanation is computed exactly and all that fit
are told. With fewer than three significant digits anything would fit, so nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from device_profiles.profile import Side
from metering.obis import Obis
from metering.quantity import Shown, Unit
from provisioning.display_explanations import Case, Explanation, Verdict
from provisioning.display_readout import DisplayUnreadable, read_display, usual_unit
from provisioning.finding_words import finding, listed, printable, verdict_words, worst_first
from provisioning.installation import Comparison, Finding
from provisioning.meter_snapshot import MeterSnapshot

__all__ = ["DisplayProof", "Explanation", "Verdict", "prove_display"]

FRESH = timedelta(minutes=10)
"""A display that was looked at longer ago proves little: anything between two readings would agree with it."""


@dataclass(frozen=True, slots=True)
class DisplayProof:
    """What came of comparing one register.

    comparison     for the signed binding
    findings       what to tell, worst first; empty where all is proven
    explanations   everything that fits, likeliest first; none where they agree as they are
    """

    comparison: Comparison
    findings: tuple[Finding, ...]
    explanations: tuple[Explanation, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What the comparison came to."""
        return Verdict(self.comparison.verdict)


def prove_display(
    typed: str,
    obis: Obis,
    *,
    own: Sequence[MeterSnapshot],
    at: datetime,
    others: Iterable[MeterSnapshot] = (),
    unit: Unit | None = None,
) -> DisplayProof:
    """Compare what was `typed` off the display with register `obis` of the meter on the bus.

    own      the meter, read before and after the display was; earlier readings than FRESH before the last are left out.
             With the last one alone, what its power moves in two minutes is allowed for
    others   every other meter at the gateway, as read last: the display may be one of theirs
    unit     of what was typed without one; None for what displays of such registers show
    at       when it was typed
    """
    own = [one for one in own if own[-1].read_at - one.read_at <= FRESH]
    meter = own[-1]
    channel = meter.channel(obis)
    seen = [one.shown[obis] for one in own if obis in one.shown]
    try:
        readout = read_display(typed, unit or (usual_unit(channel.unit) if channel else Unit.KWH))
    except DisplayUnreadable as error:
        told = finding("display-unreadable", meter.meter, typed=typed, why=error.told)
        return _proof(typed, obis, at, None, seen, Verdict.UNREADABLE, (told,))
    case = Case(obis, readout, tuple(own), tuple(one for one in others if one.meter != meter.meter))
    verdict, findings, explanations = _judged(case)
    return _proof(typed, obis, at, readout.shown, seen, verdict, findings, explanations)


def _judged(case: Case) -> tuple[Verdict, tuple[Finding, ...], tuple[Explanation, ...]]:
    bus = case.bus
    if bus is not None and case.fits(bus):
        return (
            (Verdict.EQUAL, _remarks(case), ())
            if case.proves(bus)
            else (Verdict.WEAK, (case.tell("display-weak"),), ())
        )
    if bus is not None and case.fits_primary:
        if not case.proves(bus.times(case.ratio)):
            return Verdict.WEAK, (case.tell("display-weak"),), ()
        return Verdict.PRIMARY, (case.tell("display-primary", multiplier=case.ratio),), ()
    explanations = tuple(case.explanations())
    if explanations:
        first, *more = explanations
        findings = [first.finding]
        if more and first.verdict is not Verdict.ROLLED:
            others = listed(verdict_words(one.verdict) for one in more)
            findings.append(case.tell("display-also", others=others))
        return first.verdict, tuple(findings), explanations
    if bus is None:
        return Verdict.NO_BUS, (case.tell("display-no-bus"),), ()
    if case.has_few_digits:
        return Verdict.FEW_DIGITS, (case.tell("display-few-digits"),), ()
    return Verdict.UNEXPLAINED, (case.tell("display-unexplained"),), ()


def _remarks(case: Case) -> tuple[Finding, ...]:
    """Say what an agreement does not prove."""
    findings = []
    others = [] if case.is_gauge else case.equal_others()
    if others:
        findings.append(case.tell("display-tells-no-meter", others=", ".join(others)))
    if case.ratio > 1 and case.meter.profile.side is Side.SECONDARY:
        findings.append(case.tell("ratio-unproven", multiplier=case.ratio))
    return tuple(findings)


def _proof(
    typed: str,
    obis: Obis,
    at: datetime,
    display: Shown | None,
    seen: Sequence[Shown],
    verdict: Verdict,
    findings: Iterable[Finding],
    explanations: tuple[Explanation, ...] = (),
) -> DisplayProof:
    comparison = Comparison(obis, printable(typed), display, seen[-1] if seen else None, str(verdict), at)
    return DisplayProof(comparison, worst_first(findings), explanations)
