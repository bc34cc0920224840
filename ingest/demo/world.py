"""What every simulated meter's registers show at each instant of the play.

The world keeps no state. A register at an instant is its anchor plus the energy that has flowed through its node since,
so a world that was killed and started again shows the same as one that ran through. One PlayedRegisters serves the
meters of one gateway, because each gateway has its own instant of the play.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Side
from ingest.demo.loads_file import Play
from metering.identity import GatewayId, MeterId
from metering.interval import SLOT, SLOT_S, Interval
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, POWER_NET, Obis
from provisioning.site import Meter, Site

BEFORE_PLAY = timedelta(seconds=60)
"""Where time stands until a gateway first advances it: before the first mark, so that no mark is skipped."""
SLOTS_PER_HOUR = 4


@dataclass(frozen=True, slots=True)
class EnergyCourse:
    """Energy since the start of `month` at each mark [Wh], and along a straight line between marks."""

    month: Interval
    at_marks_wh: Sequence[int]

    def at(self, instant: datetime) -> int:
        """Give the energy at `instant` [Wh], rounded down; 0 before the month, the last mark's after it."""
        slot, rest = divmod(instant - self.month.start, SLOT)
        if slot < 0:
            return 0
        if slot >= len(self.at_marks_wh) - 1:
            return self.at_marks_wh[-1]
        before, after = self.at_marks_wh[slot], self.at_marks_wh[slot + 1]
        return before + (after - before) * (rest // timedelta(seconds=1)) // SLOT_S

    def power_w(self, instant: datetime) -> int:
        """Give the mean power of the slot that `instant` lies in [W]; 0 outside the month."""
        slot = (instant - self.month.start) // SLOT
        if not 0 <= slot < len(self.at_marks_wh) - 1:
            return 0
        return (self.at_marks_wh[slot + 1] - self.at_marks_wh[slot]) * SLOTS_PER_HOUR


class PlayedMeter:
    """The registers of one meter over the month, as it shows them: behind its transformers, unless it knows better."""

    def __init__(self, meter: Meter, side: Side, play: Play) -> None:
        energy = play.energies[meter.node]
        self._span = meter.span
        self._multiplier = meter.multiplier if side is Side.SECONDARY else 1
        self._courses = {
            ENERGY_IMPORT: EnergyCourse(play.month, energy.import_wh.tolist()),
            ENERGY_EXPORT: EnergyCourse(play.month, energy.export_wh.tolist()),
        }
        # A register stands at its anchor when the anchor's energy has flowed.
        anchors = {obis: play.anchors[meter.id, obis] for obis in self._courses}
        self._anchors = {obis: (one.register_wh, self._courses[obis].at(one.at)) for obis, one in anchors.items()}
        gaps = play.gaps.get(meter.node, ())
        self._mute_at = frozenset(play.month.start + mark * SLOT for gap in gaps for mark in gap.mute_marks)

    def register(self, obis: Obis, now: datetime) -> int | None:
        """Give what `obis` shows at `now` in integer base units; None while the meter is off the bus."""
        if now not in self._span or now in self._mute_at:
            return None
        if obis in self._courses:
            register_wh, energy_wh = self._anchors[obis]
            return register_wh + (self._courses[obis].at(now) - energy_wh) // self._multiplier
        if obis == POWER_NET:
            net_w = self._courses[ENERGY_IMPORT].power_w(now) - self._courses[ENERGY_EXPORT].power_w(now)
            return net_w // self._multiplier
        # Nothing in the loads says what any other register shows: it stands at zero and is never billed.
        return 0


class PlayedRegisters:
    """The registers of one gateway's meters as of that gateway's played instant; a RegisterSource."""

    def __init__(self, play: Play, site: Site, gateway: GatewayId, catalogue: Catalogue) -> None:
        self._meters = {
            meter.id: PlayedMeter(meter, catalogue.by_id(meter.profile).side, play) for meter in site.meters_of(gateway)
        }
        self._end = play.played.end
        self._now = play.played.start - BEFORE_PLAY

    @property
    def now(self) -> datetime:
        """This gateway's instant of the play."""
        return self._now

    def advance_to(self, instant: datetime) -> bool:
        """Set this gateway's instant; say no, and change nothing, for an instant beyond the play's end.

        Time may be set back: a gateway that was killed repeats its last sweep.
        """
        if instant > self._end:
            return False
        self._now = instant
        return True

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give what a register shows now in integer base units; None while the meter is off the bus."""
        return self._meters[meter].register(obis, self._now)
