"""What takes longer than a page may: a scan, a look at everything. One of each key at a time, in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from metering.errors import MeteringError

STOP_S = 5.0


class JobState(StrEnum):
    """How far a job is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class Job:
    """One piece of work.

    progress   the newest word of it, None before the first
    outcome    what it gave, when it is done
    problem    why it failed
    """

    state: JobState = JobState.RUNNING
    progress: Any = None
    outcome: Any = None
    problem: MeteringError | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def tell(self, progress: Any) -> None:
        """Keep the newest word."""
        self.progress = progress


Work = Callable[[Job], Any]


class Jobs:
    """The jobs of one page; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, tuple[Job, threading.Thread]] = {}

    def start(self, key: str, work: Work) -> bool:
        """Begin unless one of this key runs; say whether it was begun."""
        with self._lock:
            running = self._jobs.get(key)
            if running is not None and running[1].is_alive():
                return False
            job = Job()
            thread = threading.Thread(target=_run, args=(job, work), name=f"page {key}", daemon=True)
            self._jobs[key] = job, thread
            thread.start()
            return True

    def find(self, key: str) -> Job | None:
        """Give the newest job of a key."""
        with self._lock:
            found = self._jobs.get(key)
            return None if found is None else found[0]

    def wait(self, key: str, seconds: float) -> Job | None:
        """Give the newest job of a key, once it has ended or after `seconds` [s]."""
        with self._lock:
            found = self._jobs.get(key)
        if found is None:
            return None
        found[1].join(seconds)
        return found[0]

    def stop_all(self) -> None:
        """Ask all to stop, and wait a moment for them."""
        with self._lock:
            running = list(self._jobs.values())
        for job, _ in running:
            job.stop.set()
        for _, thread in running:
            thread.join(STOP_S)


def _run(job: Job, work: Work) -> None:
    """Work to the end; whatever goes wrong, the job does not look as if it still ran."""
    state = JobState.FAILED
    try:
        job.outcome = work(job)
        state = JobState.DONE
    except MeteringError as error:
        job.problem = error
    finally:
        job.state = state
