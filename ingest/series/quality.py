"""How well the amount of a slot or a point is known."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]


class PointQuality(IntEnum):
    """As `SlotQuality` of the engine, and one more; the larger, the weaker. From MISSING on there is no amount."""

    MEASURED = 0
    ROLLOVER = 1
    EXCHANGE = 2
    ESTIMATED = 3
    MISSING = 4
    HELD = 5
    UNSETTLED = 6
    """Nothing is settled there: not read yet, not settled yet, or no meter was fitted."""


QUALITIES = tuple(quality.name.lower() for quality in PointQuality)
