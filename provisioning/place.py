"""Places on the ground in whole numbers: WGS-84 in 10^-7 degree, about a centimetre, so that no two readers round."""

from __future__ import annotations

from dataclasses import dataclass, field

from metering.errors import MeteringError
from provisioning.document import LEFT_OUT

E7 = 10_000_000
NOTE_LENGTH_MAX = 200
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


def check_point(point: tuple[int, int]) -> None:
    """Require (latitude, longitude) [10^-7 degree] on the earth; raises PlaceInvalid."""
    if len(point) != 2:
        raise PlaceInvalid(f"{point} is no point: give latitude and longitude")
    lat_e7, lon_e7 = point
    if not (-90 * E7 <= lat_e7 <= 90 * E7 and -180 * E7 <= lon_e7 <= 180 * E7):
        raise PlaceInvalid(f"{point} does not lie on the earth: give latitude, then longitude, in 10^-7 degree")


def check_outline(outline: tuple[tuple[int, int], ...]) -> None:
    """Require at least three corners, each once; the last joins the first by itself. Raises PlaceInvalid."""
    for point in outline:
        check_point(point)
    if not 3 <= len(outline) <= OUTLINE_POINTS_MAX or len(set(outline)) != len(outline):
        raise PlaceInvalid(f"an outline has 3 to {OUTLINE_POINTS_MAX} corners, each once, and closes by itself")
