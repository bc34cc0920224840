"""What a person sees while many sites are closed: who is at work on what, and one line for each site that has ended.

On a terminal what is at work stands below the lines and moves; elsewhere there are only the lines, for logs.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from allocation_engine.money import show_minor
from ingest.many_sites.order import Again, Begun, Event, Outcome, Reached, Result
from metering.identity import SiteId

REASONS_SHOWN = 5
"""Reasons of one site on the screen; --json has them all."""
AT_WORK_SHOWN = 16
"""Sites at work on the screen: more would push the lines off it."""
IDS_SHOWN = 20

_STYLES = {Result.REFUSED: "red", Result.FAILED: "red", Result.OPEN: "yellow"}
_LOG = logging.getLogger(__name__)


class Board:
    """Shows events as they come and keeps how each site ended."""

    def __init__(self, console: Console, sites: Sequence[SiteId]) -> None:
        self._console = console
        self._sites = tuple(sites)
        self._width = max(map(len, sites))
        self._at_work: dict[SiteId, tuple[Begun, str, float]] = {}
        self._ended: dict[SiteId, Outcome] = {}
        self._started_s = time.monotonic()
        self._live = Live(get_renderable=self._moving, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """How each site ended, by site; one that has not ended is not closed."""
        return tuple(self._ended.get(site, Outcome(site, Result.OPEN)) for site in sorted(self._sites))

    @property
    def seconds(self) -> float:
        """What all of it took until now [s]."""
        return time.monotonic() - self._started_s

    def show(self, event: Event) -> None:
        """Take an event up."""
        if isinstance(event, Begun):
            _LOG.debug("%s: taken by %s, try %d", event.site, event.worker, event.tries)
            self._at_work[event.site] = (event, "starting", time.monotonic())
        elif isinstance(event, Reached):
            if event.site in self._at_work:
                begun, _, since_s = self._at_work[event.site]
                self._at_work[event.site] = (begun, event.stage, since_s)
        elif isinstance(event, Again):
            self._at_work.pop(event.site, None)
            self._print(Text(f"{event.site:{self._width}}  tried again: {event.why}", style="yellow"))
        else:
            self._at_work.pop(event.site, None)
            self._ended[event.site] = event
            for line in outcome_lines(event, self._width):
                self._print(line)

    def print_summary(self) -> None:
        """Print how many sites ended how, with their totals, and what is left to do."""
        self._print(summary_table(self.outcomes, self.seconds))
        left = [outcome.site for outcome in self.outcomes if not outcome.result.is_good]
        if left:
            named = ",".join(left) if len(left) <= IDS_SHOWN else "FILE"
            self._print(
                Text(f"{len(left)} not closed. Mend what is named and give the same command with: --sites {named}")
            )

    def _print(self, shown: RenderableType) -> None:
        self._console.print(shown, soft_wrap=isinstance(shown, Text))

    def _moving(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        at_work = list(self._at_work.items())
        for site, (begun, stage, since_s) in at_work[:AT_WORK_SHOWN]:
            tries = "" if begun.tries == 1 else f"try {begun.tries}"
            table.add_row(Text(site, style="bold"), stage, f"{time.monotonic() - since_s:.0f} s", begun.worker, tries)
        counts = Counter(outcome.result.is_good for outcome in self._ended.values())
        waiting = len(self._sites) - len(self._ended) - len(at_work)
        told = f"{counts[True]} closed, {counts[False]} not, {len(at_work)} at work, {waiting} waiting"
        return Group(table, Text(f"{told}; {self.seconds:.0f} s", style="dim"))


def outcome_lines(outcome: Outcome, width: int) -> Iterator[Text]:
    """Tell how one site ended: one line, and one more for each reason."""
    head = f"{outcome.site:{width}}  {outcome.result:13}"
    if outcome.run:
        total = f"{show_minor(outcome.total_minor, outcome.currency)} {outcome.currency}"
        cases = f"  {outcome.cases} case{'s' * (outcome.cases > 1)}" if outcome.cases else ""
        head += f"  {outcome.run[:16]}  {outcome.lines} lines  {total}{cases}"
    yield Text(f"{head}  {outcome.seconds:.1f} s", style=_STYLES.get(outcome.result, ""))
    for reason in outcome.reasons[:REASONS_SHOWN]:
        yield Text(f"    {reason}")
    if len(outcome.reasons) > REASONS_SHOWN:
        yield Text(f"    and {len(outcome.reasons) - REASONS_SHOWN} more reasons; --json has them all")


def summary_table(outcomes: Iterable[Outcome], seconds: float) -> Table:
    """Give the number of sites, lines and money for each result, and what all of it took [s]."""
    table = Table("result", "sites", "lines", "total", title=f"{seconds:.1f} s in all", title_justify="left")
    by_result: dict[Result, list[Outcome]] = {}
    for outcome in outcomes:
        by_result.setdefault(outcome.result, []).append(outcome)
    for result in Result:
        found = by_result.get(result, [])
        if found:
            lines = sum(outcome.lines for outcome in found)
            table.add_row(result, str(len(found)), str(lines), ", ".join(_totals(found)))
    return table


def _totals(outcomes: Iterable[Outcome]) -> Iterator[str]:
    totals = Counter[str]()
    for outcome in outcomes:
        if outcome.currency:
            totals[outcome.currency] += outcome.total_minor
    for currency, total in sorted(totals.items()):
        yield f"{show_minor(total, currency)} {currency}"
