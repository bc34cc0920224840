"""What meters taught, in a small JSON file of the state directory, written anew whole at each lesson."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

from device_profiles.families.modbus_plan import RegisterRange
from edge_agent.learnt import AS_WRITTEN, Limits

log = logging.getLogger(__name__)


class LearntFile:
    """Limits by meter. A file that cannot be read costs the lessons, not the measuring: meters teach them again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._limits = _read(path)

    def of(self, key: str) -> Limits:
        """Give what is known; AS_WRITTEN if nothing is."""
        return self._limits.get(key, AS_WRITTEN)

    def keep(self, key: str, limits: Limits) -> None:
        """Remember, past a power cut too."""
        with self._lock:
            self._limits[key] = limits
            lines = {each: _written(one) for each, one in self._limits.items()}
            aside = self._path.with_suffix(".new")
            with aside.open("w", encoding="utf-8") as file:
                json.dump(lines, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)


def _read(path: Path) -> dict[str, Limits]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: _limits(one) for key, one in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("lessons-unreadable", extra={"path": str(path), "reason": str(error)})
        return {}


def _written(one: Limits) -> dict[str, Any]:
    apart = [[each.function, each.first, each.last] for each in one.apart]
    return {"registers_max": one.registers_max, "apart": apart}


def _limits(one: dict[str, Any]) -> Limits:
    most = one["registers_max"]
    if most is not None and (type(most) is not int or most < 1):
        raise ValueError(f"{most!r} registers")
    return Limits(most, tuple(RegisterRange(*map(int, each)) for each in one["apart"]))
