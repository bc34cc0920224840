"""What a pool's division rests on: an agreement while it holds, and what the law says where there is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class LegalDefault:
    """The clause that divides a cost by floor area when nothing was agreed; `clause` is its text by language."""

    id: str
    clause: tuple[tuple[str, str], ...]
    source: str

    @property
    def text(self) -> str:
        """The clause in English, with its source."""
        return f"{dict(self.clause)['en']} ({self.source})"


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """How long an agreement holds: local days `valid_from` <= day < `valid_to`; None where it is open.

    default   what holds before and after, or always where there is no agreement; None where that refuses the run
    """

    valid_from: date | None
    valid_to: date | None
    default: LegalDefault | None

    def holds(self, day: date) -> bool:
        """Say whether the agreement holds on local `day`."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)
