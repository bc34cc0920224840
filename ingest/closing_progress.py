"""The line a closing of minutes shows on a terminal: what it is busy with, and how far."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ingest.closing import Stage

WORDS = {
    Stage.SETTLE: "settling what arrived",
    Stage.GATHER: "reading the period and its evidence",
    Stage.COMPUTE: "computing",
    Stage.COMMIT: "committing to every line",
    Stage.STORE: "storing the run",
    Stage.SEAL: "sealing statements",
}


class ClosingProgress:
    """A `Watch` that shows itself while inside, on standard error, and only if that is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        shown = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal)
        self._task: TaskID | None = None
        self._stage: Stage | None = None

    def __enter__(self) -> ClosingProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, stage: Stage, done: int, of: int) -> None:
        """Show how far a stage has come; stages of one part have no bar of their own to fill."""
        if self._task is None or stage is not self._stage:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._stage = self._progress.add_task(WORDS[stage], total=of if of > 1 else None), stage
        self._progress.update(self._task, completed=done)
