"""What the programs write to standard error: text for people, or one JSON object a line for machines.

Theory of operation. A log call reads `"event.name field=%s field=%s: %s"`: its first word is the event, each `field=` a
field, and what follows the colon a remark. The JSON form is made from that same template, so that nothing is written
twice and both forms say the same. A line of a library, which has no event, is `log` with its text.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ingest.tracing import trace_ids

_EVENT = re.compile(r"[a-z_]+(?:\.[a-z_]+)+\Z")
_PLACE = re.compile(r"%(?:%|[sdr])")
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_TALKATIVE = ("httpx", "psycopg.pool", "numba", "urllib3")

_NO_IDS: Mapping[str, str] = {}
_ids: ContextVar[Mapping[str, str]] = ContextVar("ids of log lines", default=_NO_IDS)


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


def put_ids(**ids: str) -> None:
    """Put these ids on every line that is written in this context from now on, as that of one call."""
    _ids.set({**_ids.get(), **ids})


def ids_put() -> Mapping[str, str]:
    """Give the ids of this context."""
    return _ids.get()


class JsonLines(logging.Formatter):
    """One event a line. Times are UTC; `fields` stand on every line, as the name of the program does."""

    def __init__(self, **fields: str) -> None:
        super().__init__()
        self._fields = {name: text for name, text in fields.items() if text}

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without its end."""
        event, told, remark = parted(record)
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": event,
            **self._fields,
            "pid": os.getpid(),
            "thread": record.threadName,
            "logger": record.name,
        }
        for name, content in (*_ids.get().items(), *trace_ids().items(), *told):
            line.setdefault(name, content)
        if remark:
            line["text"] = remark
        if record.exc_info and record.exc_info[0] is not None:
            line["fault"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return json.dumps(line, ensure_ascii=False, default=str)


def parted(record: logging.LogRecord) -> tuple[str, list[tuple[str, Any]], str]:
    """Part a record into its event, its fields and the remark."""
    template, arguments = str(record.msg), record.args if isinstance(record.args, tuple) else None
    head, colon, tail = template.partition(": ")
    event, *words = head.split(" ")
    if arguments is None or not _EVENT.match(event) or any("=" not in word for word in words):
        return "log", [], record.getMessage()
    if not arguments:  # then a percent sign is one
        return event, [(name, form) for name, form in (word.split("=", 1) for word in words)], tail
    left, fields = list(arguments), []
    for name, form in (word.split("=", 1) for word in words):
        fields.append((name, _filled(form, left)))
    if _places(tail) != len(left):
        return "log", [], record.getMessage()
    return event, fields, tail % tuple(left) if colon else ""


def _filled(form: str, left: list[Any]) -> Any:
    """Fill one field; a number alone stays a number."""
    count = _places(form)
    taken, left[:] = left[:count], left[count:]
    if form in ("%s", "%d") and taken and isinstance(taken[0], int | float):
        return taken[0]
    return form % tuple(taken)


def _places(form: str) -> int:
    return sum(place != "%%" for place in _PLACE.findall(form))


def set_up_logging(form: LogFormat, *, verbose: bool, **fields: str) -> None:
    """Write log lines to standard error in this form; `fields` stand on every JSON line."""
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if verbose else logging.INFO, format=_TEXT)
    if form is LogFormat.JSON:
        for receiver in logging.getLogger().handlers:
            receiver.setFormatter(JsonLines(**fields))
    for talkative in _TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.WARNING)
