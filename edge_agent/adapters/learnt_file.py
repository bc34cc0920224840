"""What meters taught, in a small JSON file of the state directory, written anew whole at each lesson."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

from device_profiles.learning import Learned
from edge_agent.learnt import NOTHING

log = logging.getLogger(__name__)


class LearntFile:
    """Lessons by meter. A file that cannot be read costs the lessons, not the measuring: meters teach them again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._learned = _read(path)

    def of(self, key: str) -> Learned:
        """Give what is known; NOTHING if nothing is."""
        return self._learned.get(key, NOTHING)

    def keep(self, key: str, learned: Learned) -> None:
        """Remember, past a power cut too; where nothing can be written, until the program ends."""
        with self._lock:
            self._learned[key] = learned
            lines = {each: _written(one) for each, one in self._learned.items()}
            aside = self._path.with_suffix(".new")
            try:
                with aside.open("w", encoding="utf-8") as file:
                    json.dump(lines, file, indent=1, sort_keys=True)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(self._path)
            except OSError as error:
                log.warning("lessons-not-kept", extra={"path": str(self._path), "reason": str(error)})


def _read(path: Path) -> dict[str, Learned]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: _learned_of(one) for key, one in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("lessons-unreadable", extra={"path": str(path), "reason": str(error)})
        return {}


def _written(one: Learned) -> dict[str, Any]:
    return {"registers_max": one.registers_max, "unbridged": one.unbridged}


def _learned_of(one: dict[str, Any]) -> Learned:
    most = one["registers_max"]
    if most is not None and (type(most) is not int or most < 1):
        raise ValueError(f"{most!r} registers")
    unbridged = tuple((int(function), int(first), int(last)) for function, first, last in one["unbridged"])
    return Learned(most, unbridged)
