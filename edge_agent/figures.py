"""What a line has carried, counted: for metrics and for the person who asks why a bus is slow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LineFigures:
    """Counts since the program started; written by the line's own thread, read by any.

    exchanges  requests sent; `silent` and `spoiled`: conversations that failed for want of an answer, or by a wrong one
    refused    conversations that a meter ended by an error reply
    strays     octets that belonged to no answer: late ones, foreign ones, noise
    echoes     requests that an adapter repeated
    switches   changes of speed or parity between meters
    busy_s     time with a conversation on the line, quarantine included [s]; its share of the clock is the utilisation
    """

    exchanges: int = 0
    silent: int = 0
    spoiled: int = 0
    refused: int = 0
    strays: int = 0
    echoes: int = 0
    switches: int = 0
    busy_s: float = 0.0

    def note_failure(self, *, is_silence: bool) -> None:
        """Count a conversation that failed."""
        if is_silence:
            self.silent += 1
        else:
            self.spoiled += 1
