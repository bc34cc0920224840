"""The form of a log line."""

from __future__ import annotations

import logging
import sys

from edge_agent.log_lines import LogLine


def record(**fields: object) -> logging.LogRecord:
    """A record as `log.warning("port-lost", extra=fields)` makes it."""
    made = logging.getLogger("edge").makeRecord(
        "edge", logging.WARNING, __file__, 1, "port-lost", (), None, extra=fields
    )
    made.taskName = None
    return made


def test_a_line_names_the_event_and_its_fields() -> None:
    assert LogLine().format(record(port="line-a", seq=7)).endswith(" WARNING port-lost port=line-a seq=7")


def test_a_traceback_follows_its_line() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        made = record()
        made.exc_info = sys.exc_info()
    lines = LogLine().format(made).splitlines()
    assert lines[0].endswith("port-lost")
    assert lines[-1] == "ValueError: odd"
