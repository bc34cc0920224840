"""`gateway.toml` as the journal has it: written whole, and again at the next opening where a kill came between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from edge_agent.adapters.sqlite_outbox import read_extents
from edge_agent.installation.configuration import first_configuration, reconfigured, with_way
from edge_agent.installation.home import Home
from edge_agent.installation.worksheet import Worksheet
from edge_agent.line_loan import LineLock
from edge_agent.ordered_settings import OrderedSettings
from edge_agent.ports import OutboxDamaged
from provisioning.gateway_config import GatewayConfig
from provisioning.keys import read_public_key, replace_file

OUTBOX_FILE = "outbox.db"
LOCK_FILE = "gateway.lock"
"""As the agent calls them; it imports the desk, not the desk it."""


class GatewayFile:
    """The configuration file of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def newest_order(self) -> int:
        """Give the number of the newest settings that the centre ordered, 0 where there is no file yet."""
        return 0 if not self._home.config.exists() else self._ordered().shelf.seen

    def newest_epoch(self) -> int:
        """Give the newest epoch that this machine has written in, 0 for none."""
        outbox = self._home.state / OUTBOX_FILE
        return max((one.head.epoch for one in read_extents(outbox)), default=0) if outbox.exists() else 0

    def has_agent(self) -> bool:
        """Say whether an agent runs in this home."""
        lock = LineLock(self._home.state / LOCK_FILE)
        is_free = lock.take(is_shared=True)
        lock.drop()
        return not is_free

    def marks_of_agent(self) -> timedelta | None:
        """Give the time between the marks of the agent that runs in this home; None where none runs or reads."""
        if not self._home.config.exists() or not self.has_agent():
            return None
        return timedelta(seconds=self._ordered().in_force().every_s)

    def epoch(self) -> int:
        """Give the epoch that the file is of; a key that was changed began another than the bundle's."""
        return GatewayConfig.read(self._home.config).epoch

    def signing_key(self) -> Path | None:
        """Give the key file that the gateway signs with, None where there is no file yet."""
        return GatewayConfig.read(self._home.config).signing_key if self._home.config.exists() else None

    def is_measuring(self) -> bool:
        """Say whether something was read and sealed in the epoch of the file."""
        if not self._home.config.exists():
            return False
        epoch = self.epoch()
        outbox = self._home.state / OUTBOX_FILE
        try:
            return outbox.exists() and any(one.head.epoch == epoch and one.head.seq for one in read_extents(outbox))
        except OutboxDamaged:  # the agent is making it at this moment, or will tell what is wrong with it
            return False

    def write(self, sheet: Worksheet) -> None:
        """Have the file say what the worksheet says; raises OSError."""
        config = self._first(sheet) if not self._is_of(sheet.epoch) else self._ordered().in_force()
        assert sheet.order is not None
        bodies = [one.event.body for one in sheet.events[sheet.configured :]]
        config = reconfigured(config, sheet.order.plan, bodies)
        if sheet.outranks:
            config = replace(config, outranks=sheet.outranks)
        config = with_way(
            config,
            self._home,
            sheet.order.voucher.voucher,
            has_certificate=self._home.tls.exists(),
            password=self._password(),
        )
        write_synced(self._home.config, config.to_toml())

    def _first(self, sheet: Worksheet) -> GatewayConfig:
        assert sheet.order is not None
        return first_configuration(
            self._home,
            sheet.order.voucher.voucher,
            sheet.order.plan,
            epoch=sheet.epoch,
            bundle=sheet.digest,
            has_certificate=self._home.tls.exists(),
            password=self._password(),
        )

    def _is_of(self, epoch: int) -> bool:
        """Say whether the file that is there is of `epoch` or later; one of an earlier installation is replaced."""
        return self._home.config.exists() and self.epoch() >= epoch

    def _ordered(self) -> OrderedSettings:
        return OrderedSettings(GatewayConfig.read(self._home.config), read_public_key(self._home.centre_public_key))

    def _password(self) -> str | None:
        path = self._home.broker_password
        return path.read_text(encoding="utf-8").strip() if path.exists() else None


def write_synced(path: Path, text: str) -> None:
    """Replace a file for its owner alone: after a power cut it is the old one or the new one."""
    write_octets(path, text.encode())


def write_octets(path: Path, octets: bytes) -> None:
    """Replace a file for its owner alone; raises KeyFileInvalid."""
    replace_file(path, octets, 0o600)
