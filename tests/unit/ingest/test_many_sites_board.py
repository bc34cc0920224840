"""What a person sees of many sites: lines, what is at work, the summary."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from ingest.many_sites.board import AT_WORK_SHOWN, IDS_SHOWN, REASONS_SHOWN, Board, outcome_lines
from ingest.many_sites.order import Again, Begun, Event, Outcome, Reached, Result
from metering.identity import SiteId

A, B, LONG = SiteId("a"), SiteId("b"), SiteId("long-name")
RUN = "0123456789abcdef" * 4
CLOSED = Outcome(A, Result.NEW, RUN, "computed", 7, 1, 123456, "CNY", 2.34)


def shown(*events: Event, sites: tuple[SiteId, ...] = (A, B), is_terminal: bool = False) -> tuple[Board, str]:
    """Show events on a console of 120 columns; give the board and everything written."""
    written = io.StringIO()
    console = Console(file=written, width=120, force_terminal=is_terminal, color_system=None, highlight=False)
    with Board(console, sites) as board:
        for event in events:
            board.show(event)
        if is_terminal:
            board._live.refresh()
    return board, written.getvalue()


def test_a_closed_site_is_one_line_with_run_lines_total_and_seconds() -> None:
    [line] = outcome_lines(CLOSED, 9)
    assert line.plain == "a          new            0123456789abcdef  7 lines  1234.56 CNY  1 case  2.3 s"


def test_a_refused_site_is_followed_by_its_reasons_and_the_rest_is_counted() -> None:
    reasons = tuple(f"reason {number}" for number in range(REASONS_SHOWN + 2))
    lines = [line.plain for line in outcome_lines(Outcome(B, Result.REFUSED, seconds=0.25, reasons=reasons), 1)]
    assert lines[0] == "b  refused        0.2 s"
    assert lines[1:-1] == [f"    {reason}" for reason in reasons[:REASONS_SHOWN]]
    assert lines[-1] == "    and 2 more reasons; --json has them all"


def test_where_there_is_no_terminal_only_lines_are_written(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _, written = shown(Begun(A, "process 7", 1), Reached(A, "seal"), CLOSED)
    assert written.splitlines() == [line.plain for line in outcome_lines(CLOSED, 1)]
    assert caplog.messages == ["a: taken by process 7, try 1"]


def test_on_a_terminal_each_site_at_work_stands_with_stage_and_worker() -> None:
    _, written = shown(Begun(A, "process 7", 2), Reached(A, "seal 3/9"), is_terminal=True)
    at_work = next(line for line in reversed(written.splitlines()) if "process 7" in line)
    assert at_work.rpartition("\x1b[2K")[2].split() == ["a", "seal", "3/9", "0", "s", "process", "7", "try", "2"]
    assert "0 closed, 0 not, 1 at work, 1 waiting" in written


def test_sites_at_work_do_not_fill_the_screen() -> None:
    sites = tuple(SiteId(f"s{number}") for number in range(AT_WORK_SHOWN + 4))
    _, written = shown(*(Begun(site, f"process {site}", 1) for site in sites), sites=sites, is_terminal=True)
    assert f"process s{AT_WORK_SHOWN - 1} " in written
    assert f"process s{AT_WORK_SHOWN} " not in written
    assert f"{len(sites)} at work, 0 waiting" in written


def test_a_lost_worker_is_told_and_its_site_waits_again() -> None:
    board, written = shown(Begun(A, "process 7", 1), Again(A, "its worker was killed"), Reached(A, "late"))
    assert written == "a  tried again: its worker was killed\n"
    assert board._at_work == {}


def test_a_site_that_never_ended_is_not_closed() -> None:
    board, _ = shown(CLOSED)
    assert board.outcomes == (CLOSED, Outcome(B, Result.OPEN))
    assert [outcome.result.is_good for outcome in board.outcomes] == [True, False]


def test_the_summary_adds_up_each_currency_and_says_how_to_go_on() -> None:
    other = Outcome(B, Result.NEW, RUN, "computed", 2, 0, 50, "USD")
    more = Outcome(LONG, Result.NEW, RUN, "computed", 1, 0, 44, "CNY")
    refused = Outcome(SiteId("c"), Result.REFUSED, reasons=("why",))
    written = io.StringIO()
    board = Board(Console(file=written, width=120), (A, B, LONG, SiteId("c"), SiteId("d")))
    for outcome in (CLOSED, other, more, refused):
        board.show(outcome)
    written.truncate(0)
    board.print_summary()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in written.getvalue().splitlines() if "│" in line]
    assert rows == [
        ["new", "3", "10", "1235.00 CNY, 0.50 USD"],
        ["refused", "1", "0", ""],
        ["not closed", "1", "0", ""],
    ]
    assert "2 not closed. Mend what is named and give the same command with: --sites c,d" in written.getvalue()


def test_a_long_list_of_what_is_left_goes_into_a_file() -> None:
    written = io.StringIO()
    Board(Console(file=written, width=120), [SiteId(f"s{number}") for number in range(IDS_SHOWN + 1)]).print_summary()
    assert "give the same command with: --sites FILE" in written.getvalue()


def test_when_all_is_closed_there_is_nothing_left_to_do() -> None:
    written = io.StringIO()
    board = Board(Console(file=written, width=120), [A])
    board.show(CLOSED)
    board.print_summary()
    assert "not closed" not in written.getvalue()
