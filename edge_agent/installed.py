"""The agent in a home that the desk fills: it waits for the seal, then measures, and begins anew with each change.

    home without gateway.toml --seal--> measuring --later seal, grant--> measuring with the new file

The desk is open all the while: its page, if there is one, is served from here, and what it signed is brought to the
centre with growing pauses. A file that cannot be used does not end the program, since the desk is how it is mended.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from device_profiles.catalogue import Catalogue
from edge_agent.app import Lives, keep_living, sole_use_of, told_to_service
from edge_agent.installation.desk import Desk
from edge_agent.installation.home import Home
from metering.clock import SystemClock
from metering.errors import MeteringError
from provisioning.gateway_config import GatewayConfig

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often it is looked whether there is a file, or another one [s]."""
RETRY_S = 30.0
"""Pause after a file that cannot be used [s]."""
DELIVERY_S = (5.0, 900.0)
"""First and longest pause between attempts to reach the centre [s]."""
NOTHING_S = 2.0
"""How often it is looked whether there is something to deliver [s]."""

Page = Callable[[Desk], AbstractContextManager[object]]


def no_page(_desk: Desk) -> AbstractContextManager[object]:
    """Serve nothing."""
    return nullcontext()


def run_at_home(home: Home, profiles: list[Path], stop: threading.Event, page: Page = no_page) -> None:
    """Run until `stop` is set.

    page   serves the desk to a telephone while inside
    """
    folders = [*profiles, *([home.profiles] if home.profiles.is_dir() else [])]
    catalogue = Catalogue.load(*folders)
    lives: Lives = []
    with (
        sole_use_of(home.state),
        told_to_service(lives),
        closing(Desk(home, catalogue, SystemClock())) as desk,
        page(desk),
    ):
        threading.Thread(target=keep_delivering, args=(desk, stop), name="delivery", daemon=True).start()
        while not stop.is_set():
            _live(home, catalogue, stop, lives)


def _live(home: Home, catalogue: Catalogue, stop: threading.Event, lives: Lives) -> None:
    """Run with the file that is there until it is another one; wait for one where there is none."""
    seen = _signature(home.config)
    if seen is None:
        stop.wait(LOOK_S)
        return
    life = threading.Event()
    threading.Thread(target=_end_life, args=(home.config, seen, stop, life), name="file", daemon=True).start()
    try:
        keep_living(GatewayConfig.read(home.config), catalogue, life, lives)
    except MeteringError as error:
        log.error("configuration-unfit", extra={"reason": str(error)})
        life.wait(RETRY_S)
    finally:
        life.set()


def _end_life(path: Path, seen: tuple[int, int], stop: threading.Event, life: threading.Event) -> None:
    while not life.wait(LOOK_S):
        if stop.is_set() or _signature(path) != seen:
            life.set()


def _signature(path: Path) -> tuple[int, int] | None:
    """Tell one file from the next that takes its place."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def keep_delivering(desk: Desk, stop: threading.Event) -> None:
    """Bring to the centre what the desk signed, until `stop` is set."""
    pause_s, before = DELIVERY_S[0], 0
    while not stop.is_set():
        try:
            waiting = desk.waiting()
            if not waiting:
                before = 0
                stop.wait(NOTHING_S)
                continue
            if waiting != before:
                pause_s = DELIVERY_S[0]
            told = desk.deliver()
            before = told.waiting
            log.info("installation-delivered", extra={"waiting": told.waiting, "reason": told.problem or ""})
        except MeteringError as error:
            log.warning("delivery-failed", extra={"reason": str(error)})
        if stop.wait(pause_s * random.uniform(0.8, 1.2)):  # a fleet that was cut off together does not come back so
            return
        pause_s = min(2 * pause_s, DELIVERY_S[1])
