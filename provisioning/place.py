"""Places on the ground in whole numbers: WGS-84 in 10^-7 degree, about a centimetre, so that no two readers round."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from metering.errors import MeteringError
from provisioning.document import LEFT_OUT

E7 = 10_000_000
NOTE_LENGTH_MAX = 200
_DEGREES = re.compile(r"(-?)([0-9]{1,3})(?:\.([0-9]{1,7}))?\Z")
OUTLINE_POINTS_MAX = 1000
"""A building is drawn with tens of corners; a thousand is a survey of its bricks."""


class PlaceInvalid(MeteringError):
    """A place does not lie on the earth, or an outline encloses nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something hangs: latitude and longitude [10^-7 degree], WGS-84.

    accuracy_cm   how far off it may be, as the phone said [cm]; None where a person set it on a plan
    note          in words, for the last metres: "3rd floor, riser B"
    """

    lat_e7: int
    lon_e7: int
    accuracy_cm: int | None = field(default=None, metadata=LEFT_OUT)
    note: str | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        check_point((self.lat_e7, self.lon_e7))
        if self.accuracy_cm is not None and self.accuracy_cm < 0:
            raise PlaceInvalid(f"accuracy {self.accuracy_cm} cm: give 0 or more")
        if self.note is not None and not 1 <= len(self.note) <= NOTE_LENGTH_MAX:
            raise PlaceInvalid(f"a note has 1 to {NOTE_LENGTH_MAX} characters, or is left out")


def degrees_e7(text: str) -> int:
    """Read degrees as a person writes them, "31.2989500"; gives 10^-7 degree exactly. Raises PlaceInvalid."""
    written = _DEGREES.match(text)
    if written is None:
        raise PlaceInvalid(f'{text!r} is no angle: write degrees with at most 7 decimals, such as "31.29895"')
    sign, whole, decimals = written.groups(default="")
    return (-1 if sign else 1) * (int(whole) * E7 + int(decimals.ljust(7, "0")))


def degrees_text(angle_e7: int) -> str:
    """Write an angle of 10^-7 degree as `degrees_e7` reads it."""
    return f"{'-' if angle_e7 < 0 else ''}{abs(angle_e7) // E7}.{abs(angle_e7) % E7:07d}"


def check_point(point: tuple[int, ...]) -> None:
    """Require (latitude, longitude) [10^-7 degree] on the earth; raises PlaceInvalid."""
    if len(point) != 2:
        raise PlaceInvalid(f"{point} is no point: give latitude and longitude")
    lat_e7, lon_e7 = point
    if not (-90 * E7 <= lat_e7 <= 90 * E7 and -180 * E7 <= lon_e7 <= 180 * E7):
        raise PlaceInvalid(f"{point} does not lie on the earth: give latitude, then longitude, in 10^-7 degree")


def check_outline(outline: tuple[tuple[int, ...], ...]) -> None:
    """Require at least three corners, each once; the last joins the first by itself. Raises PlaceInvalid."""
    for point in outline:
        check_point(point)
    if not 3 <= len(outline) <= OUTLINE_POINTS_MAX or len(set(outline)) != len(outline):
        raise PlaceInvalid(f"an outline has 3 to {OUTLINE_POINTS_MAX} corners, each once, and closes by itself")
