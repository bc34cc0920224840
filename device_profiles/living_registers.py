"""Registers of a simulated meter that live: counters rise by a load, gauges stand where they do in a building. Pure.

Theory of operation. A load for each hour of the day is drawn from the seed. A counter is its base and the load over the
seconds that have passed in each hour, so it never falls, and a power register shows the very load that makes it rise.
Each hour belongs to one tariff: the tariffs' registers always add up to their total, in base units; each shown one is
floored, so shown ones may miss the shown total by their last digits, as those of real meters do. What the meter does
that it should not (docs/simulator.md) is in `Misbehaviour`: roll-over, reset, exchange, clock jump.
"""

from __future__ import annotations

import random
from functools import lru_cache
from math import ceil, floor

from device_profiles.misbehaviour import HONEST, Misbehaviour
from device_profiles.profile import Channel, ChannelKind, Profile
from metering.identity import MeterId
from metering.obis import Obis

HOURS = 24
HOUR_S = 3600
DAY_S = HOURS * HOUR_S
PERIOD_S = 30 * DAY_S
"""A billing period: registers of the n-th one before show the counter that many periods ago."""
PERIODS_MAX = 99
"""Group F above this is what a freeze keeps: the meter's end asks for it at the moment of the freeze."""
QUARTER_S = 900

_LOADS = {
    "Wh": (200, 3_000),
    "VAh": (200, 3_000),
    "varh": (20, 300),
    "mL": (5_000, 200_000),
    "kJ": (7_200, 72_000),
}
"""Least and most of what a counter rises in an hour [its base unit]."""
_HOURS_BEFORE = (1_000, 20_000)
"""How many hours of its mean load a counter has behind it at the start."""
_GAUGES = {
    "mV": (230_000, 2_500),
    "mHz": (50_000, 30),
    "m°C": (55_000, 3_000),
    "1/1000": (970, 20),
    "s": (3_600_000, 0),
}
"""Middle and greatest distance from it [base units], where no load says more."""
_PHASES = 3
_LINE_V = 230
_FLOW, _RETURN = 10, 11
_SERIAL_NUMBER = 96
_CLOCK = 1


class LivingRegisters:
    """The registers of one meter; `at_s`, set by whoever owns the line, is how long the meter has been there [s].

    wall_s   what the meter's clock shows at the start [s since 1970 of its own wall clock]
    """

    def __init__(self, profile: Profile, seed: str, wall_s: int, ways: Misbehaviour = HONEST) -> None:
        self.at_s = 0.0
        self._seed = seed
        self._wall_s = wall_s
        self._ways = ways
        self._channels: dict[Obis, Channel] = {}
        for group in profile.groups:
            for channel in group.channels:
                self._channels.setdefault(channel.obis, channel)
        self._tariffs: dict[tuple[int, ...], tuple[int, ...]] = {}
        for obis, channel in self._channels.items():
            if channel.kind is ChannelKind.COUNTER and obis.e:
                known = self._tariffs.get(_quantity(obis), ())
                self._tariffs[_quantity(obis)] = tuple(sorted({*known, obis.e}))

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the true register in base units; 0 for one that the profile does not name."""
        del meter
        channel = self._channels.get(obis)
        if channel is None:
            return 0
        if channel.kind is ChannelKind.COUNTER:
            return self._counter(channel)
        if channel.kind is ChannelKind.TIME:
            return self._time(obis)
        if channel.kind is ChannelKind.STATE:
            return 0
        return _within(channel, self._gauge(channel))

    @property
    def _whole_s(self) -> int:
        return int(self.at_s)

    @property
    def _is_exchanged(self) -> bool:
        return self._ways.exchange_at_s is not None and self._whole_s >= self._ways.exchange_at_s

    @property
    def _who(self) -> str:
        return f"{self._seed}/exchanged" if self._is_exchanged else self._seed

    @property
    def _since_s(self) -> int:
        """When what hangs there began to count [s]."""
        begun = [0]
        if self._ways.exchange_at_s is not None and self._is_exchanged:
            begun.append(self._ways.exchange_at_s)
        if self._is_reset and self._ways.reset_at_s is not None:
            begun.append(self._ways.reset_at_s)
        return max(begun)

    @property
    def _is_reset(self) -> bool:
        return (
            self._ways.reset_at_s is not None
            and self._whole_s >= self._ways.reset_at_s
            and not (self._is_exchanged and (self._ways.exchange_at_s or 0) > self._ways.reset_at_s)
        )

    def _counter(self, channel: Channel) -> int:
        """Give base and what has been counted since; of a total with tariffs, their sum."""
        obis = channel.obis
        tariffs = self._tariffs.get(_quantity(obis), ())
        if obis.e:
            return self._counted(channel, (obis.e,))
        return self._counted(channel, tariffs or (0,))

    def _counted(self, channel: Channel, tariffs: tuple[int, ...]) -> int:
        obis = channel.obis
        loads = _loads(self._who, channel.unit.base_symbol, _quantity(obis))
        since_s, until_s = self._wall_s + self._since_s, self._wall_s + self._whole_s
        if obis.f <= PERIODS_MAX:
            until_s = since_s
        of_tariff = self._tariffs.get(_quantity(obis), (0,))
        total = 0
        for tariff in tariffs:
            hours = [hour for hour in range(HOURS) if of_tariff[hour % len(of_tariff)] == tariff]
            risen = sum(loads[hour] * _seconds_in(hour, since_s, until_s) for hour in hours) // HOUR_S
            total += self._base(channel, loads, tariff, is_first=tariff == tariffs[0]) + risen
        return total

    def _base(self, channel: Channel, loads: tuple[int, ...], tariff: int, *, is_first: bool) -> int:
        """Give what a counter showed at the start; with `wrap_after_s` what makes it roll over so much later.

        Only totals, and counters without one, are made to roll over at that very moment.
        """
        obis = channel.obis
        mean = sum(loads) // HOURS
        if self._is_reset:
            return 0
        wrap_after_s = None if self._is_exchanged else self._ways.wrap_after_s
        if wrap_after_s is not None and channel.modulus is not None and not obis.e:
            limit = floor(channel.modulus / channel.scale)
            return max(limit - _risen(loads, self._wall_s, self._wall_s + wrap_after_s), 0) if is_first else 0
        draw = random.Random(f"{self._who}/{_quantity(obis)}/{tariff}/base")
        hours = draw.randrange(*_HOURS_BEFORE) // (1000 if self._is_exchanged else 1)
        base = mean * hours - (mean * PERIOD_S // HOUR_S * obis.f if obis.f <= PERIODS_MAX else 0)
        return max(base, 0)

    def _time(self, obis: Obis) -> int:
        now = self._wall_s + self._whole_s
        if self._ways.clock_jump_at_s is not None and self._whole_s >= self._ways.clock_jump_at_s:
            now += self._ways.clock_jump_s
        is_clock = (obis.c, obis.d) == (_CLOCK, 0)
        return max(now, 0) if is_clock else self._wall_s - self._wall_s % QUARTER_S

    def _gauge(self, channel: Channel) -> int:
        """Give what a gauge stands at [base units]."""
        obis, base = channel.obis, channel.unit.base_symbol
        if obis.c == _SERIAL_NUMBER:
            return 1000 * random.Random(f"{self._who}/serial").randrange(1, 10**8)
        load_w = _loads(self._who, "Wh", (1, 0, 1, 8))[(self._wall_s + self._whole_s) % DAY_S // HOUR_S]
        is_phase = obis.c > 20  # OBIS: 21 to 40 first phase, 41 to 60 second, 61 to 80 third
        if base in ("W", "VA"):
            return 0 if obis.c == 2 else load_w // (_PHASES if is_phase else 1)
        if base == "var":
            return load_w // 10 // (_PHASES if is_phase else 1)
        if base == "mA":
            return load_w * 1000 // _LINE_V // _PHASES
        if base == "mL/h":
            hourly = _loads(self._who, "mL", (obis.a, 0, 1, 0))
            return hourly[(self._wall_s + self._whole_s) % DAY_S // HOUR_S]
        middle, span = _GAUGES.get(base, (0, 0))
        if base == "s":
            return middle + self._whole_s
        if base == "m°C" and obis.c == _RETURN:
            middle -= 15_000
        draw = random.Random(f"{self._who}/{obis}/{self._whole_s}")
        return middle + draw.randint(-span, span)


def _quantity(obis: Obis) -> tuple[int, ...]:
    """Give what a total and its tariffs share."""
    return (obis.a, obis.b, obis.c, obis.d, obis.f)


@lru_cache(maxsize=4096)
def _loads(who: str, base: str, quantity: tuple[int, ...]) -> tuple[int, ...]:
    """Draw what a counter rises in each hour of the day [base unit an hour]; export is a tenth of import."""
    least, most = _LOADS.get(base, (1, 10))
    draw = random.Random(f"{who}/{quantity[:4]}/load")
    share = 10 if base == "Wh" and quantity[2] == 2 else 1
    return tuple(draw.randint(least, most) // share for _ in range(HOURS))


def _risen(loads: tuple[int, ...], since_s: int, until_s: int) -> int:
    return sum(loads[hour] * _seconds_in(hour, since_s, until_s) for hour in range(HOURS)) // HOUR_S


def _seconds_in(hour: int, since_s: int, until_s: int) -> int:
    """Give how many seconds of [since_s, until_s) lie in this hour of a day."""
    return _seconds_before(hour, until_s) - _seconds_before(hour, since_s)


def _seconds_before(hour: int, until_s: int) -> int:
    days, rest = divmod(until_s, DAY_S)
    return days * HOUR_S + min(max(rest - hour * HOUR_S, 0), HOUR_S)


def _within(channel: Channel, register: int) -> int:
    """Keep what a gauge shows within what the profile believes."""
    least, most = channel.limits
    return min(max(register, ceil(least / channel.scale)), floor(most / channel.scale))
