"""What a person sees while the demo works: steps, a bar for each gateway; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from metering.identity import GatewayId

LINE_EVERY_PERCENT = 10


class Show:
    """Tells of steps and progress on one console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        """Tell what is being done now."""
        self._console.print(text, highlight=False, markup=False)

    @contextmanager
    def bars(self, totals: Mapping[GatewayId, int], caption: str) -> Iterator[Bars | Lines]:
        """Show how far each gateway is; give an object whose `show` takes the counts."""
        if not self._console.is_terminal:
            yield Lines(self._console, totals, caption)
            return
        columns = (TextColumn("  {task.description}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            tasks = {
                gateway: progress.add_task(f"{gateway} {caption}", total=total) for gateway, total in totals.items()
            }
            yield Bars(progress, tasks)


class Bars:
    """One bar for each gateway."""

    def __init__(self, progress: Progress, tasks: Mapping[GatewayId, TaskID]) -> None:
        self._progress = progress
        self._tasks = tasks

    def show(self, counts: Mapping[GatewayId, int]) -> None:
        """Move the bars."""
        for gateway, task in self._tasks.items():
            self._progress.update(task, completed=counts.get(gateway, 0))


class Lines:
    """A line each time another tenth of the whole is done, for logs."""

    def __init__(self, console: Console, totals: Mapping[GatewayId, int], caption: str) -> None:
        self._console = console
        self._totals = totals
        self._caption = caption
        self._shown_percent = -1

    def show(self, counts: Mapping[GatewayId, int]) -> None:
        """Print a line if enough has come since the last one."""
        percent = 100 * sum(counts.values()) // max(sum(self._totals.values()), 1)
        if percent // LINE_EVERY_PERCENT > self._shown_percent // LINE_EVERY_PERCENT:
            self._shown_percent = percent
            each = ", ".join(f"{name} {counts.get(name, 0)}/{total}" for name, total in self._totals.items())
            self._console.print(f"  {percent:3d} %  {self._caption}: {each}", highlight=False, markup=False)
