"""The line a backup of minutes shows on a terminal: what it is busy with, and how far."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class BackupProgress:
    """Shows itself while inside, on standard error, and only if that is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        shown = console or Console(stderr=True)
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()),
            *(TimeElapsedColumn(), TimeRemainingColumn()),
        )
        self._progress = Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> BackupProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, what: str, done: int, of: int) -> None:
        """Show what is being done, and how far it has come; of 0: nobody knows."""
        self._progress.update(self._task, description=what, completed=done, total=of or None)
