"""`metertree doctor`: look at everything `metertree serve` needs, and say how to mend what is not right."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ingest.commands import Subparsers
from ingest.config import (
    ADMIN_TOKEN_FILE,
    CENTRE_KEY,
    DSN,
    PROFILES,
    SERVE_SETTINGS,
    STORAGE_SETTINGS,
    Settings,
    add_settings,
    read_broker_config,
    read_storage,
)
from metering.errors import DocumentError, MeteringError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from provisioning.broker_tls import BrokerTls

BROKER_WAIT_S = 5.0
DROPPED_WAIT_S = 1.0
"""Mosquitto answers at once, others never."""
CLIENT_ID = "metertree-doctor"


class Unwell(MeteringError):
    """Something is not as the service needs it; the text says how to mend it."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="check everything `serve` needs, and say how to mend it",
        description="Check profiles, keys, token, database and broker. Changes nothing. Exit code 1 if anything fails.",
    )
    add_settings(parser, *SERVE_SETTINGS, *STORAGE_SETTINGS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine one thing after another; what cannot be examined counts as failed."""
    settings = Settings(args)
    examinations: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("profiles", _profiles),
        ("centre key", _centre_key),
        ("admin token", _admin_token),
        ("database", _database),
        ("storage", _storage),
        ("broker", _broker),
    )
    failed = 0
    for name, examine in examinations:
        try:
            print(f"✓ {name}: {examine(settings)}")
        except DocumentError as error:
            failed += 1
            print(f"✗ {name}: " + "\n  ".join(str(fault) for fault in error.faults))
        except MeteringError as error:
            failed += 1
            print(f"✗ {name}: {error}")
    return 1 if failed else 0


def _profiles(settings: Settings) -> str:
    from device_profiles.catalogue import Catalogue

    folder = settings.text(PROFILES)
    catalogue = Catalogue.load(*([Path(folder)] if folder else []))
    return f"{len(catalogue.profiles)} meter models: " + ", ".join(profile.id for profile in catalogue.profiles)


def _centre_key(settings: Settings) -> str:
    from provisioning.keys import FileSigner, fingerprint

    return "fingerprint " + fingerprint(FileSigner.read(Path(settings.text(CENTRE_KEY))).public_key)


def _admin_token(settings: Settings) -> str:
    length = len(settings.secret(ADMIN_TOKEN_FILE))
    if length < 20:
        raise Unwell(f"{length} signs are easily guessed; write at least 20 random ones into the file")
    return f"{length} signs"


def _database(settings: Settings) -> str:
    from ingest.store.database import Database
    from ingest.store.migrate import is_migrated

    with Database(settings.text(DSN), connections=1) as database:
        if not is_migrated(database):
            raise Unwell("it answers, but is not up to date; run: metertree migrate")
    return "answers and is up to date"


def _storage(settings: Settings) -> str:
    """Say how the big tables are laid out; what `metertree maintain` would still have to make is a fault."""
    from ingest.store.database import Database
    from ingest.store.layout import Layout, find_layout, list_parts, list_policies, missing_steps, remark_on_chunks
    from metering.clock import SystemClock

    storage = read_storage(settings)
    with Database(settings.text(DSN), connections=1) as database, database.transaction() as connection:
        layout, missing = find_layout(connection), missing_steps(connection, storage, SystemClock().now())
        if layout is Layout.ABSENT:
            raise Unwell("there are no tables yet; run: metertree migrate")
        if missing:
            raise Unwell(f"{len(missing)} steps are missing ({missing[0].what} ...); run: metertree maintain")
        told = [
            f"{parts.table}: {parts.count} parts, {parts.compressed} compressed, {parts.octets / 1e6:.1f} MB"
            + (
                ""
                if parts.first is None or parts.last is None
                else f", {parts.first:%Y-%m-%d} to {parts.last:%Y-%m-%d}"
            )
            for parts in list_parts(connection)
        ]
        remark = remark_on_chunks(connection, storage)
        return "\n  ".join([str(layout), *told, *list_policies(connection), *([f"! {remark}"] if remark else [])])


def _broker(settings: Settings) -> str:
    """Log in, and subscribe to no envelopes: a session that lasts would keep them from here on."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    from ingest.adapters.broker_limits import SILENT, limits_too_low

    config = read_broker_config(settings)
    verdicts: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    version = mqtt.MQTTv5 if config.mqtt5 else mqtt.MQTTv311
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=CLIENT_ID, protocol=version)
    client.username_pw_set(config.user or None, config.password or None)
    if config.tls is not None:
        client.tls_set_context(config.tls.context())
    client.on_connect = lambda _client, _userdata, _flags, reason, told: verdicts.put((str(reason), told))
    try:
        client.connect(config.host, config.port)
        client.loop_start()
        verdict, told = verdicts.get(timeout=BROKER_WAIT_S)
        dropped = _dropped(client) if verdict == "Success" else []
    except (OSError, Empty) as error:
        raise Unwell(f"{config.host}:{config.port} does not answer: {str(error) or 'no CONNACK'}; start it") from error
    finally:
        client.loop_stop()
        client.disconnect()
    if verdict != "Success":
        raise Unwell(f"{config.host}:{config.port} refuses {config.user or 'an anonymous login'}: {verdict}")
    found = [*(limits_too_low(told) if config.mqtt5 else ()), *dropped]
    remarks = ("" if config.mqtt5 else f"; {SILENT}") + "".join(f"\n  ! {remark}" for remark in found)
    whom = config.user or ("the holder of our certificate" if config.tls and config.tls.certificate else "anyone")
    return f"{config.host}:{config.port} lets {whom} in{_tls_told(config.tls)}{remarks}"


def _dropped(client: Client) -> list[str]:
    """Ask what the broker dropped in silence; a broker that does not say so costs a moment."""
    from ingest.adapters.broker_limits import DROPPED_TOPIC, dropped_told

    heard: SimpleQueue[bytes] = SimpleQueue()
    client.on_message = lambda _client, _userdata, message: heard.put(bytes(message.payload))
    client.subscribe(DROPPED_TOPIC)
    try:
        return dropped_told(heard.get(timeout=DROPPED_WAIT_S))
    except Empty:
        return []


def _tls_told(tls: BrokerTls | None) -> str:
    """Say whether the way is encrypted, and how long our certificate is good for."""
    from metering.clock import SystemClock
    from provisioning.broker_tls import LAPSES_SOON_DAYS

    days = None if tls is None else tls.days_left(SystemClock().now())
    if days is None:
        return ", without TLS" if tls is None else ", over TLS"
    warning = "; renew it now" if days < LAPSES_SOON_DAYS else ""
    return f", over TLS; our certificate is good for {days} days{warning}"
