"""Keeps one intake worker running as a child: starts it, starts it again when it ends, ends it with this program.

A thread for each child: the kernel ends a child whose parent died, and to the kernel the parent is the thread that
started it. A worker may be killed at any moment, so it is started again for ever, with a growing pause.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from threading import Event

from ingest import tethered
from ingest.config import INTAKE_SHARE

PAUSE_S = 0.5
PAUSE_S_MAX = 30.0
OLD_S = 60.0
"""A child that lived this long is started again without a growing pause [s]."""
STEP_S = 0.2
END_S = 17.0
"""Longest wait for a child to end by itself [s]: it ends itself by force after 15."""
ANSWER_S = 3.0
"""Longest wait for a child's own readiness [s]."""
_log = logging.getLogger(__name__)
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WorkerKeeper:
    """Keeps one worker. `share` is k/n; `words` are those of its command line before the share.

    probe       its readiness over HTTP; empty: it is ready while it runs
    on_restart  called whenever it had to be started again
    """

    def __init__(self, share: str, words: Sequence[str], *, probe: str, on_restart: Callable[[], None]) -> None:
        self.share = share
        self._words = (sys.executable, "-m", "ingest.cli", *words, f"{INTAKE_SHARE.flag}={share}")
        self._probe = probe
        self._on_restart = on_restart
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of the child that runs now."""
        child = self._child
        return None if child is None or child.poll() is not None else child.pid

    def is_ready(self) -> bool:
        """Say whether the worker runs, and says itself that it is ready."""
        if self.pid is None:
            return False
        if not self._probe:
            return True
        try:
            with _direct.open(self._probe, timeout=ANSWER_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def run(self, stop: Event) -> None:
        """Keep the worker until `stop` is set, then end it."""
        pause_s = PAUSE_S
        while not stop.is_set():
            begun_s = time.monotonic()
            child = self._child = self._start()
            while child.poll() is None and not stop.wait(STEP_S):
                pass
            if stop.is_set():
                break
            _log.warning("intake_worker.ended share=%s code=%s pause_s=%s", self.share, child.returncode, pause_s)
            self._on_restart()
            pause_s = PAUSE_S if time.monotonic() - begun_s > OLD_S else min(2 * pause_s, PAUSE_S_MAX)
            stop.wait(pause_s)
        self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        tether = (sys.executable, "-I", "-S", tethered.__file__, str(os.getpid()), "-")
        # In a session of its own: Ctrl-C at the terminal is for this program, which then ends its workers.
        child = subprocess.Popen((*tether, *self._words), stdin=subprocess.DEVNULL, start_new_session=True)
        _log.info("intake_worker.started share=%s child=%s", self.share, child.pid)
        return child

    def _end(self) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
