"""Notices to systemd: ready, alive, stopping. It hears of us only while the poll cycle is at work.

A sweep touches the clock at every exchange and every second of waiting; a thread that hangs in a driver does not. Then
the notices stop, and systemd starts the gateway anew: the outbox holds what was sealed.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

from edge_agent.config import ServiceNotices

log = logging.getLogger(__name__)

SIGNS_PER_WATCH = 3
"""Signs of life in the time after which systemd would act."""


class ServiceManager:
    """One program's line to systemd; without systemd it does nothing.

    idle_s       since when the poll cycle gave no sign [s]
    """

    def __init__(self, notices: ServiceNotices, idle_s: Callable[[], float]) -> None:
        self._notices = notices
        self._idle_s = idle_s
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def ready(self) -> None:
        """Say that the gateway runs, and go on giving signs of life."""
        self._tell("READY=1")
        if self._notices.watchdog_s is not None:
            self._thread = threading.Thread(target=self._keep_alive, name="watchdog", daemon=True)
            self._thread.start()

    def stopping(self) -> None:
        """Say that the gateway ends."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._tell("STOPPING=1")

    def _keep_alive(self) -> None:
        watchdog_s = self._notices.watchdog_s or 0.0
        while not self._ended.wait(watchdog_s / SIGNS_PER_WATCH):
            if self._idle_s() < watchdog_s / 2:
                self._tell("WATCHDOG=1")
            else:
                log.error("poll-cycle-hangs", extra={"idle_s": round(self._idle_s())})

    def _tell(self, notice: str) -> None:
        if self._notices.socket is None:
            return
        address = self._notices.socket
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.sendto(notice.encode(), address)
        except OSError as error:
            log.warning("service-manager-deaf", extra={"reason": str(error)})
