"""What the books do not allow. Each error says where it stands and how to mend it."""

from __future__ import annotations

from metering.errors import BooksError


class PeriodNotReady(BooksError):
    """A period cannot be closed yet; `reasons` lists everything that stands in the way, one sentence each."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


class InputsInvalid(BooksError):
    """The inputs of a period contradict each other (shapes, unknown ids, occupancies that overlap or leave holes)."""


class AllWeightsZero(BooksError):
    """A pool has a cost, nobody has a weight, and the rule declares no fallback."""


class NotConserved(BooksError):
    """Lines and residual do not add up to the pool's cost. This is never caught: it stops the run."""


class OutOfRange(BooksError):
    """A number is too large for exact 64-bit arithmetic."""


class SeriesIncomplete(BooksError):
    """A daily series has no number for a day that a rule needs, and its missing-day rule says to refuse."""


class TariffIncomplete(BooksError):
    """No tariff version, or no band, holds for a slot of the period."""
