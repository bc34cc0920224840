"""What the service manager says in the environment: where to send notices, and how often it wants to hear of us."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceNotices:
    """systemd's words (sd_notify(3), sd_watchdog_enabled(3)).

    socket       where notices go, None: nobody wants any
    watchdog_s   without a sign for so long the service is started anew [s], None: there is no watchdog
    """

    socket: str | None
    watchdog_s: float | None

    @classmethod
    def from_environment(cls) -> ServiceNotices:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        socket = os.environ.get("NOTIFY_SOCKET") or None
        wait_us = os.environ.get("WATCHDOG_USEC", "")
        is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(wait_us) / 1_000_000 if wait_us.isdecimal() and int(wait_us) and is_ours else None
        return cls(socket, watchdog_s if socket is not None else None)
