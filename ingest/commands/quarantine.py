"""`metertree quarantine`: what could not be accepted, why, and another try once the cause is mended."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ingest.commands import Subparsers
from ingest.config import CENTRE_KEY, DSN, PROFILES, Settings, add_settings

if TYPE_CHECKING:
    from ingest.quarantine_desk import QuarantineDesk
    from ingest.store.quarantine import Kept

SETTINGS = (DSN, CENTRE_KEY, PROFILES)
LISTED_MAX = 1000
Answer = TypeVar("Answer")


def register(subparsers: Subparsers) -> None:
    """Add the command with its three verbs."""
    parser = subparsers.add_parser(
        "quarantine",
        help="list, show and try again what could not be accepted",
        description="What could not be accepted is kept with its reason. Mend the cause (register the key, add the "
        "profile, wire the meter), then `replay`: it goes through the same door again.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list the newest")
    listing.add_argument("--reason", help="only those of this reason, e.g. meter-unbound")
    listing.add_argument("--most", type=int, default=50, help="how many at most (default 50)")
    listing.set_defaults(run=_list)
    show = verbs.add_parser("show", help="show one with all its content that can be read")
    show.add_argument("number", type=int)
    show.add_argument("--out", help="write its octets into this file")
    show.set_defaults(run=_show)
    replay = verbs.add_parser("replay", help="try again; exit code 1 if any is refused still")
    replay.add_argument("numbers", type=int, nargs="*", metavar="NUMBER")
    replay.add_argument("--reason", help="all of this reason, oldest first")
    replay.set_defaults(run=_replay)
    for verb in (listing, show, replay):
        add_settings(verb, *SETTINGS)


def _list(args: argparse.Namespace) -> int:
    kept = _with_desk(args, lambda desk: desk.list(min(args.most, LISTED_MAX), args.reason))
    for one in kept:
        print(_line(one))
    if not kept:
        print("nothing is in quarantine" + (f" for {args.reason}" if args.reason else ""))
    return 0


def _show(args: argparse.Namespace) -> int:
    from pathlib import Path

    from metering.envelope import EnvelopeMalformed, parse_sealed

    one = _with_desk(args, lambda desk: desk.show(args.number))
    print(_line(one))
    print(f"  {one.detail}\n  topic {one.topic!r}, {len(one.octets)} octets, first {one.first_received_at.isoformat()}")
    if args.out:
        Path(args.out).write_bytes(one.octets)
    try:
        envelope = parse_sealed(one.octets).envelope
    except EnvelopeMalformed as error:
        print(f"  no envelope: {error}")
        return 0
    claimed = "proven" if one.proven else "unproven: so it says, and no key has signed it"
    print(f"  {envelope.gateway} epoch {envelope.epoch} seq {envelope.seq} ({claimed}), mark {envelope.mark}")
    for reading in envelope.readings:
        print(
            f"  {reading.meter}: {list(reading.mantissas)} {reading.quality.name} by {reading.profile_hash.hex()[:16]}"
        )
    return 0


def _replay(args: argparse.Namespace) -> int:
    from ingest.quarantine_desk import Outcome

    def tries(desk: QuarantineDesk) -> int:
        numbers = args.numbers or sorted(one.number for one in desk.list(LISTED_MAX, args.reason))
        refused = 0
        for number in numbers:
            done = desk.replay(number)
            refused += done.outcome is Outcome.REFUSED
            print(f"{number} {done.outcome}" + (f" {done.reason}: {done.detail}" if done.reason else ""))
        return refused

    if not args.numbers and not args.reason:
        print("name the numbers to try again, or a --reason")
        return 2
    return 1 if _with_desk(args, tries) else 0


def _with_desk(args: argparse.Namespace, act: Callable[[QuarantineDesk], Answer]) -> Answer:
    from pathlib import Path

    from device_profiles.catalogue import Catalogue
    from ingest.quarantine_desk import QuarantineDesk
    from ingest.store.database import Database
    from metering.clock import SystemClock
    from provisioning.keys import FileSigner

    settings = Settings(args)
    folder = settings.text(PROFILES)
    catalogue = Catalogue.load(*([Path(folder)] if folder else []))
    with Database(settings.text(DSN), connections=2) as database:
        signer = FileSigner.read(Path(settings.text(CENTRE_KEY)))
        return act(QuarantineDesk(database, signer, SystemClock(), [one.hash for one in catalogue.profiles]))


def _line(one: Kept) -> str:
    place = f"{one.gateway}/{one.epoch}/{one.seq}" if one.gateway else "unproven"
    return f"{one.number} {one.reason} {place} x{one.times} last {one.last_received_at.isoformat()}"
