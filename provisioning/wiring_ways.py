"""Every way to wire current transformers to a meter's inputs, and which of them explain what it shows.

Input j sees the current of phase m(j), reversed or not. With positive sequence the current that reaches input j lags
voltage j by  120 (m(j) - j) + phi(m)  degrees, plus 180 where reversed, phi being the angle of the load. A way is
plausible when the angles it implies for the loads are those of loads: up to 60 degrees inductive, 30 capacitive, and
not farther apart than 50. Voltage leads interchanged look the same as transformers interchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product

from provisioning.phase_figures import Phase

_LEAST_DEG, _MOST_DEG = -30.0, 60.0
_APART_DEG = 50.0
PROPER_DEG = 60.0
"""As it is wired, a load of power factor 0.5 to either side is believed."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way: which phase's current each input sees, and whether it is reversed.

    order         of the phases 0, 1, 2 at the inputs 0, 1, 2
    reversed_at   inputs whose transformer is the wrong way round
    """

    order: tuple[int, ...]
    reversed_at: tuple[int, ...]

    @property
    def moved(self) -> tuple[int, ...]:
        """Inputs that see another phase than their own."""
        return tuple(at for at, phase in enumerate(self.order) if at != phase)

    @property
    def is_turned(self) -> bool:
        """Say whether everything is reversed: import and export interchanged."""
        return len(self.reversed_at) == len(self.order)

    @property
    def mistakes(self) -> int:
        """Weigh what must have gone wrong: a reversal is the commonest; all reversed is one mistake, not three."""
        reversals = 1 if self.is_turned else len(self.reversed_at)
        return 2 * reversals + (0, 0, 3, 4)[len(self.moved)]


def is_proper(phases: Sequence[Phase]) -> bool:
    """Say whether every loaded phase looks like a load wired as it should be."""
    return all(min(abs(angle) for angle in phase.angles_deg) <= PROPER_DEG for phase in phases if phase.is_loaded)


def plausible_ways(phases: Sequence[Phase]) -> tuple[Way, ...]:
    """Give the ways with the fewest mistakes that explain all loaded phases; none if nothing does."""
    ways = sorted((way for way in _ways(len(phases)) if _explains(way, phases)), key=lambda way: way.mistakes)
    return tuple(way for way in ways if way.mistakes == ways[0].mistakes)


def _ways(inputs: int) -> Iterator[Way]:
    for order in permutations(range(inputs)):
        for signs in product((False, True), repeat=inputs):
            yield Way(order, tuple(at for at, is_reversed in enumerate(signs) if is_reversed))


def _explains(way: Way, phases: Sequence[Phase]) -> bool:
    """Only loaded phases have a say; a mistake on any other costs, so that none is laid on it."""
    each = [
        [_load_deg(angle, way, at) for angle in phase.angles_deg] for at, phase in enumerate(phases) if phase.is_loaded
    ]
    return any(_are_loads(loads) for loads in product(*each))


def _load_deg(angle_deg: float, way: Way, at: int) -> float:
    """Give the angle of the load that would show as `angle_deg` at input `at`."""
    turned = angle_deg - 120 * (way.order[at] - at) - (180 if at in way.reversed_at else 0)
    return (turned + 180) % 360 - 180


def _are_loads(angles_deg: tuple[float, ...]) -> bool:
    return all(_LEAST_DEG <= angle <= _MOST_DEG for angle in angles_deg) and (
        not angles_deg or max(angles_deg) - min(angles_deg) <= _APART_DEG
    )
