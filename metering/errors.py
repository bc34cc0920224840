"""One root error and its families, named by whose fault it is."""

from __future__ import annotations


class MeteringError(Exception):
    """Root of every error that Metertree raises on purpose."""


class MeterError(MeteringError):
    """The meter, or the line to it, did not do what its profile says."""


class SenderError(MeteringError):
    """A message cannot be accepted: its sender made it so, or someone changed it on the way."""

    reason = "refused"


class BooksError(MeteringError):
    """The books (site, rules, readings of a period) do not allow what was asked."""


class DocumentError(MeteringError):
    """A document written by a person is wrong. Carries every fault that was found, each with its place."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class Fault:
    """One mistake in a document: where it stands, what is wrong, how to mend it."""

    __slots__ = ("line", "mend", "path", "problem")

    def __init__(self, *, path: str, line: int, problem: str, mend: str) -> None:
        self.path = path
        self.line = line
        self.problem = problem
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.problem} ({self.mend})"

    def __repr__(self) -> str:
        return f"Fault({self!s})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fault) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))
