"""`metertree intake`: one intake worker as a process of its own, beside `metertree serve` or other workers."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import (
    CENTRE_KEY,
    DSN,
    INTAKE_SETTINGS,
    INTAKE_SHARE,
    PROFILES,
    Settings,
    add_settings,
    read_broker_config,
)


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "intake",
        help="run one intake worker by itself",
        description="Take the envelopes of a share of the gateways from the broker: --intake-share 2/3 is the second "
        "of three workers. Each share must have one worker, `metertree serve` among them. Ends on SIGTERM.",
    )
    add_settings(parser, *INTAKE_SETTINGS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take envelopes until told to end."""
    import signal
    from pathlib import Path
    from threading import Event

    from device_profiles.catalogue import Catalogue
    from ingest.intake_worker import Worker, run_worker
    from metering.clock import SystemClock
    from provisioning.keys import FileSigner

    settings = Settings(args)
    folder, stop = settings.text(PROFILES), Event()
    catalogue = Catalogue.load(*([Path(folder)] if folder else []))
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    run_worker(
        worker=Worker.parse(settings.text(INTAKE_SHARE)),
        broker=read_broker_config(settings),
        dsn=settings.text(DSN),
        signer=FileSigner.read(Path(settings.text(CENTRE_KEY))),
        clock=SystemClock(),
        profiles=[profile.hash for profile in catalogue.profiles],
        stop=stop,
    )
    return 0
