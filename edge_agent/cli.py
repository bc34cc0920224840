"""`metertree-gateway`: run the gateway, look into its outbox, read its meters once."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from device_profiles.catalogue import Catalogue
from device_profiles.decode import register_readings
from edge_agent import plan_command
from edge_agent.adapters.sqlite_outbox import EpochExtent, read_extents
from edge_agent.app import OUTBOX_FILE, port_readers, run_with_orders, sole_use_of
from edge_agent.commands import address, doctor, hand_over, install, profile, scan, search, simulate, status
from edge_agent.commands.page import page_for
from edge_agent.installation.home import Home
from edge_agent.installed import run_at_home
from edge_agent.log_lines import start_logging
from edge_agent.ports import OutboxDamaged
from metering.clock import SystemClock
from metering.errors import MeteringError
from metering.reading import MeterReading, ReadQuality
from provisioning.gateway_config import SYSTEM_CLOCK, GatewayConfig
from provisioning.site import ALWAYS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 on success, 1 when a meter did not answer, 2 on a mistake explained."""
    args = _parser().parse_args(arguments)
    start_logging(logging.INFO if args.verbose else logging.WARNING)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except MeteringError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read what is shown, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="metertree-gateway", description="Read meters, sign, store and forward.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, required=True, help="the gateway's TOML file")
    common.add_argument(
        "--profiles", type=Path, action="append", default=[], help="directory of further meter profiles"
    )
    common.add_argument("--verbose", action="store_true", help="log ordinary events too")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="read the meters at every mark until SIGTERM")
    where = run.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", type=Path, help="the gateway's TOML file")
    where.add_argument("--home", type=Path, help="a home that `install` fills; measuring begins at its seal")
    shown = "with --home: show the installation's page there, such as 192.168.4.1:8443, an address of this machine"
    run.add_argument("--page", metavar="HOST:PORT", help=shown)
    run.add_argument("--profiles", type=Path, action="append", default=[], help="directory of further meter profiles")
    run.add_argument("--verbose", action="store_true", help="log ordinary events too")
    run.set_defaults(run=_run)
    outbox = commands.add_parser("outbox", parents=[common], help="show what is stored and what is receipted")
    outbox.add_argument("--json", action="store_true", help="print JSON")
    outbox.set_defaults(run=_outbox)
    probe = commands.add_parser(
        "probe", parents=[common], help="read the meters once and print what they show; stop the gateway first"
    )
    probe.add_argument("--meter", help="this meter only")
    probe.add_argument("--group", help="another channel group of the profiles, such as status")
    probe.add_argument("--json", action="store_true", help="print JSON")
    probe.set_defaults(run=_probe)
    plan = commands.add_parser("plan", help="say whether all that is to be read fits the lines, before it is wired")
    plan_command.add_arguments(plan)
    plan.set_defaults(run=_plan, verbose=False)
    profile.register(commands)
    status.register(commands, common)
    doctor.register(commands, common)
    search.register(commands, common)
    install.register(commands)
    address.register(commands, common)
    hand_over.register(commands, common)
    simulate.register(commands)
    scan.register(commands)
    return parser


def _run(args: argparse.Namespace) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if args.home is not None:
        run_at_home(Home(args.home.resolve()), args.profiles, stop, page_for(args.page, args.profiles))
        return 0
    config = GatewayConfig.read(args.config)
    with sole_use_of(config.state_dir):
        run_with_orders(config, Catalogue.load(*args.profiles), stop)
    return 0


def _outbox(args: argparse.Namespace) -> int:
    config = GatewayConfig.read(args.config)
    path = config.state_dir / OUTBOX_FILE
    if not path.exists():
        raise OutboxDamaged(f"{path} does not exist yet: the gateway has not run")
    epochs = [_to_document(extent) for extent in read_extents(path)]
    if args.json:
        print(json.dumps({"gateway": config.gateway, "epochs": epochs}))
        return 0
    print(f"{config.gateway}: {path}")
    for epoch in epochs:
        print("  " + "  ".join(f"{name} {part}" for name, part in epoch.items()))
    return 0


def _to_document(extent: EpochExtent) -> dict[str, Any]:
    head = extent.head
    return {
        "epoch": head.epoch,
        "last_seq": head.seq,
        "last_mark": None if head.mark is None else head.mark.isoformat(),
        "receipted_seq": extent.receipted_seq,
        "waiting": head.seq - extent.receipted_seq,
        "entries": extent.entries,
        "octets": extent.octets,
        "tombstones": extent.evicted,
        "head": head.digest.hex(),
    }


def _plan(args: argparse.Namespace) -> int:
    plans = plan_command.plan(args, SystemClock().now())
    print(json.dumps(plan_command.document(plans)) if args.json else plan_command.told(plans, args.lang))
    return plan_command.exit_code(plans)


def _probe(args: argparse.Namespace) -> int:
    config = GatewayConfig.read(args.config)
    meters = tuple(replace(meter, span=ALWAYS) for meter in config.meters if args.meter in (None, meter.id))
    if not meters:
        raise MeteringError(f"{args.config} has no meter {args.meter}")
    wanted = {meter.port for meter in meters}
    ports = tuple(replace(port, tolerance_s=0) for port in config.ports if port.id in wanted)
    config = replace(config, clock=SYSTEM_CLOCK, meters=meters, ports=ports, group=args.group or config.group)
    catalogue = Catalogue.load(*args.profiles)
    readings: list[MeterReading] = []
    with sole_use_of(config.state_dir) if config.state_dir.is_dir() else contextlib.nullcontext():
        for reader in port_readers(config, catalogue, threading.Event()):
            readings.extend(reader.sweep(SystemClock().now()).readings)
            reader.close()
    shown = [_shown(catalogue, reading) for reading in readings]
    if args.json:
        print(json.dumps(shown, ensure_ascii=False))
    else:
        for meter in shown:
            registers = "  ".join(f"{obis} {text}" for obis, text in meter["registers"].items())
            print(f"{meter['meter']:<24} {meter['quality']:<10} {registers}")
    answered = all(reading.quality in (ReadQuality.MEASURED, ReadQuality.LATE) for reading in readings)
    return 0 if answered else 1


def _shown(catalogue: Catalogue, reading: MeterReading) -> dict[str, Any]:
    registers = register_readings(catalogue.by_hash(reading.profile_hash), reading, None)
    return {
        "meter": reading.meter,
        "quality": ReadQuality.MEASURED.name if reading.quality is ReadQuality.LATE else reading.quality.name,
        "registers": {str(each.obis): None if each.shown is None else str(each.shown) for each in registers},
    }


if __name__ == "__main__":
    sys.exit(main())
