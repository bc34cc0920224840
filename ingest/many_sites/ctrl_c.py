"""A terminal sends Ctrl-C to every process of a command; the one that a person started says what it means."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes and threads started inside, and whatever they start, never see Ctrl-C: they inherit the mask.

    The tracker that `multiprocessing` starts with its first process lifts the mask, so it is started before.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
