"""Settings that the centre ordered: taken on trial, kept or rolled back, and never taken twice.

Theory of operation. An order is believed if the centre signed it for this gateway and epoch, and its number is above
every number seen. It is written down before anything changes, in one file that is replaced as a whole; then the gateway
starts anew with it, on trial. It is kept once the centre was heard and meters answered; else, when its time is up, when
it cannot be opened or when the gateway ended twice meanwhile, the settings before it are back. What an engineer changed
at the site since (`outranks` in the gateway's file) stands above older orders. Whatever becomes of an order is reported
in the gateway's chain; the report waits in the same file until it is sealed.

    arrived --written--> on trial --proven--> in force --report--> (centre)
                             `----failed----> as before --report--> (centre)
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metering.envelope import Verifier
from metering.errors import MeteringError, SenderError
from metering.order import SettingsOrder, open_order
from metering.report import Outcome, SettingsReport
from provisioning.gateway_config import GatewayConfig
from provisioning.remote_settings import RemoteSettings

log = logging.getLogger(__name__)

SHELF_FILE = "settings.json"
STARTS_MAX = 2
"""A gateway that ended this often while settings were on trial goes back: perhaps they end it."""


class ShelfDamaged(MeteringError):
    """The file of ordered settings cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """What stands in the file.

    seen       the highest number of an order that was ever believed
    in_force   the sealed order that is in force, None: the gateway's own configuration file
    trial      the sealed order that is on trial, `starts` times begun
    reports    what the centre is to be told
    """

    seen: int = 0
    in_force: bytes | None = None
    trial: bytes | None = None
    starts: int = 0
    reports: tuple[SettingsReport, ...] = field(default=())

    def to_text(self) -> str:
        """Give the file's text."""
        return json.dumps(
            {
                "seen": self.seen,
                "in_force": None if self.in_force is None else self.in_force.hex(),
                "trial": None if self.trial is None else self.trial.hex(),
                "starts": self.starts,
                "reports": [[one.version, str(one.outcome), one.reason] for one in self.reports],
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Shelf:
        """Read the file's text; raises ShelfDamaged."""
        try:
            content = json.loads(text)
            return cls(
                int(content["seen"]),
                _octets(content["in_force"]),
                _octets(content["trial"]),
                int(content["starts"]),
                tuple(SettingsReport(int(one), Outcome(two), str(three)) for one, two, three in content["reports"]),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ShelfDamaged(f"is no file of ordered settings: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Begin:
    """What to start with; `trial` is the order that has to prove itself, None where nothing has."""

    config: GatewayConfig
    trial: SettingsOrder | None = None
    trial_s: int = 0


class OrderedSettings:
    """The orders of one gateway. Safe for several threads.

    base     the gateway's own configuration, from its file
    centre   the centre's public key
    """

    def __init__(self, base: GatewayConfig, centre: Verifier) -> None:
        self._base = base
        self._centre = centre
        self._path = base.state_dir / SHELF_FILE
        self._lock = threading.Lock()
        self._damage: str | None = None
        self._shelf = self._load()

    @property
    def shelf(self) -> Shelf:
        """What stands in the file."""
        return self._shelf

    def arrived(self, octets: bytes) -> bool:
        """Take what came from the broker; say whether the gateway has to start anew with it. There may be a report."""
        try:
            order = open_order(octets, self._centre)
        except SenderError as error:
            log.warning("order-not-believed", extra={"reason": str(error)})
            return False
        with self._lock:
            if not self._is_ours_and_new(order):
                return False
            try:
                RemoteSettings.from_text(order.settings).applied_to(self._base)
            except MeteringError as error:
                self._write(_reported(replace(self._shelf, seen=order.version), order, Outcome.REFUSED, str(error)))
                return False
            self._write(replace(self._shelf, seen=order.version, trial=octets, starts=0))
        log.warning("settings-on-trial", extra={"version": order.version})
        return True

    def begin(self) -> Begin:
        """Say what to start with; every call counts as a start of what is on trial. A full disk allows no trial."""
        try:
            return self._begin()
        except ShelfDamaged as error:
            log.error("settings-not-tried", extra={"reason": str(error)})
            return self._proven()

    def _begin(self) -> Begin:
        with self._lock:
            shelf = self._shelf
            if shelf.trial is None:
                return self._proven()
            try:
                order = open_order(shelf.trial, self._centre)
            except SenderError as error:  # its octets, or the centre's key, changed since it came
                told = SettingsReport(shelf.seen, Outcome.ROLLED_BACK, str(error))
                self._write(replace(shelf, trial=None, starts=0, reports=(*shelf.reports, told)))
                return self._proven()
            if self._is_outranked(order):
                self._write(_rolled_back(shelf, order, "the installation at the site was changed since"))
                return self._proven()
            if shelf.starts >= STARTS_MAX:
                self._write(_rolled_back(shelf, order, f"the gateway ended {shelf.starts} times while trying them"))
                return self._proven()
            self._write(replace(shelf, starts=shelf.starts + 1))
            try:
                settings = RemoteSettings.from_text(order.settings)
                return Begin(settings.applied_to(self._base), order, settings.trial_s)
            except MeteringError as error:
                self._write(_rolled_back(self._shelf, order, str(error)))
                return self._proven()

    def in_force(self) -> GatewayConfig:
        """Give what is proven, and change nothing: what the gateway goes back to."""
        return self._proven().config

    def keep(self, order: SettingsOrder) -> None:
        """The order on trial proved itself: it is in force."""
        with self._lock:
            shelf = replace(self._shelf, in_force=self._shelf.trial, trial=None, starts=0)
            self._write(_reported(shelf, order, Outcome.APPLIED, ""))
        log.warning("settings-applied", extra={"version": order.version})

    def roll_back(self, order: SettingsOrder, reason: str) -> None:
        """The order on trial failed: what was in force before it is so again."""
        with self._lock:
            self._write(_rolled_back(self._shelf, order, reason))
        log.error("settings-rolled-back", extra={"version": order.version, "reason": reason})

    def report(self, seal: Callable[[tuple[SettingsReport, ...]], None]) -> None:
        """Let `seal` put what the centre is to be told into the chain; told twice is better than not told."""
        with self._lock:
            if self._shelf.reports:
                seal(self._shelf.reports)
                self._write(replace(self._shelf, reports=()))

    def _is_ours_and_new(self, order: SettingsOrder) -> bool:
        if self._damage is not None:
            log.error("order-not-taken", extra={"reason": self._damage})
            return False
        if (order.gateway, order.epoch) != (self._base.gateway, self._base.epoch):
            log.warning("order-not-ours", extra={"gateway": order.gateway, "epoch": order.epoch})
            return False
        return order.version > self._shelf.seen

    def _is_outranked(self, order: SettingsOrder) -> bool:
        """Say whether the gateway's own file is newer: the desk wrote it after this order was in force."""
        return order.version <= (self._base.outranks or 0)

    def _proven(self) -> Begin:
        if self._shelf.in_force is None:
            return Begin(self._base)
        try:
            order = open_order(self._shelf.in_force, self._centre)
            if self._is_outranked(order):
                return Begin(self._base)
            return Begin(RemoteSettings.from_text(order.settings).applied_to(self._base))
        except MeteringError as error:
            log.error("settings-in-force-unfit", extra={"reason": str(error)})
            return Begin(self._base)

    def _load(self) -> Shelf:
        try:
            return Shelf.from_text(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Shelf()
        except (OSError, UnicodeDecodeError, ShelfDamaged) as error:
            # Which numbers were seen is not known any more: an old order could be played again, so none is taken.
            self._damage = f"{self._path} {error}: remove it when the centre's newest order is known to be wanted"
            log.error("settings-damaged", extra={"reason": self._damage})
            return Shelf()

    def _write(self, shelf: Shelf) -> None:
        """Replace the file: after a power cut it is the old one or the new one."""
        if self._damage is not None:
            return
        spare = self._path.with_suffix(".new")
        try:
            with spare.open("w", encoding="utf-8") as file:
                file.write(shelf.to_text())
                file.flush()
                os.fsync(file.fileno())
            spare.replace(self._path)
            _sync_directory(self._path.parent)
        except OSError as error:
            raise ShelfDamaged(f"{self._path} cannot be written: {error}") from error
        self._shelf = shelf


def _rolled_back(shelf: Shelf, order: SettingsOrder, reason: str) -> Shelf:
    return _reported(replace(shelf, trial=None, starts=0), order, Outcome.ROLLED_BACK, reason)


def _reported(shelf: Shelf, order: SettingsOrder, outcome: Outcome, reason: str) -> Shelf:
    return replace(shelf, reports=(*shelf.reports, SettingsReport(order.version, outcome, reason)))


def _octets(content: Any) -> bytes | None:
    return None if content is None else bytes.fromhex(content)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
