"""Log lines for a gateway's console and journal: an event's name and its fields, one line each."""

from __future__ import annotations

import logging

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogLine(logging.Formatter):
    """Renders `log.warning("port-lost", extra={"port": "line-a"})` as `WARNING port-lost port=line-a`."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; a traceback follows on lines of its own."""
        fields = "".join(f" {name}={part}" for name, part in vars(record).items() if name not in _OWN_FIELDS)
        line = f"{self.formatTime(record)} {record.levelname} {record.getMessage()}{fields}"
        return line if record.exc_info is None else f"{line}\n{self.formatException(record.exc_info)}"


def start_logging(level: int) -> None:
    """Send log lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
