"""`metertree gateway-config`: set from afar what a gateway reads, and see what became of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.commands import Subparsers, read_pairs
from ingest.config import CENTRE_KEY, DSN, Settings, add_settings

if TYPE_CHECKING:
    from ingest.settings_desk import SettingsDesk
    from ingest.store.gateway_reports import Ordered
    from metering.identity import GatewayId
    from provisioning.remote_settings import RemoteSettings

EVERY_S = 900
TRIAL_S = 1200


def register(subparsers: Subparsers) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser(
        "gateway-config",
        help="order settings for a gateway, signed, and show what became of them",
        description="Ports and meters of a gateway, how often they are read, where its broker is. They are taken on "
        "trial: the gateway goes back to what it had, unless the centre was heard and meters answered in time.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    draft = verbs.add_parser("draft", help="print the settings that follow from the site as it is now")
    draft.set_defaults(run=_draft)
    order = verbs.add_parser("order", help="order settings: those of a file, or those that follow from the site")
    order.add_argument("--file", type=Path, help="a file made by `draft`; without it, what follows from the site")
    order.add_argument("--by", required=True, metavar="NAME", help="who orders it")
    order.set_defaults(run=_order)
    show = verbs.add_parser("show", help="show what was ordered, the newest first; exit code 1 if it was not applied")
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(run=_show)
    for verb in (draft, order, show):
        verb.add_argument("gateway", help="id of the gateway")
        add_settings(verb, DSN, CENTRE_KEY)
    for verb in (draft, order):
        verb.add_argument("--every-s", type=int, default=EVERY_S, help="time between marks [s] (900)")
        verb.add_argument("--group", default="billing", help="channel group read at each mark (billing)")
        verb.add_argument("--trial-s", type=int, default=TRIAL_S, help="time to prove themselves [s] (1200)")
        verb.add_argument(
            "--place",
            action="append",
            default=[],
            metavar="PORT=PLACE",
            help="where a port is, if not as the site says",
        )


def _draft(args: argparse.Namespace) -> int:
    with _desk(args) as (desk, gateway):
        print(_derived(desk, gateway, args).to_toml(), end="")
    return 0


def _order(args: argparse.Namespace) -> int:
    from provisioning.remote_settings import RemoteSettings

    with _desk(args) as (desk, gateway):
        if args.file is None:
            settings = _derived(desk, gateway, args)
        else:
            settings = RemoteSettings.from_text(args.file.read_text(encoding="utf-8"), str(args.file))
        order = desk.order(gateway, settings, args.by)
    meters, ports = len(settings.meters), len(settings.ports)
    print(f"{gateway}: settings {order.version} are ordered, {meters} meters on {ports} ports, epoch {order.epoch}")
    print(f"  intake sends them until {gateway} reports; see: metertree gateway-config show {gateway}")
    return 0


def _show(args: argparse.Namespace) -> int:
    with _desk(args) as (desk, gateway):
        found = desk.orders(gateway)
    if args.json:
        print(json.dumps([_document(one) for one in found], indent=1))
    else:
        for one in found:
            print(_line(one))
        if not found:
            print(f"nothing was ordered for {gateway}")
    return 0 if not found or found[0].outcome == "applied" else 1


@contextmanager
def _desk(args: argparse.Namespace) -> Iterator[tuple[SettingsDesk, GatewayId]]:
    from ingest.settings_desk import SettingsDesk
    from ingest.store.database import Database
    from metering.clock import SystemClock
    from metering.identity import GatewayId, check_identifier
    from provisioning.keys import FileSigner

    settings = Settings(args)
    signer = FileSigner.read(Path(settings.text(CENTRE_KEY)))
    with Database(settings.text(DSN), connections=1) as database:
        yield SettingsDesk(database, signer, SystemClock()), GatewayId(check_identifier(args.gateway))


def _derived(desk: SettingsDesk, gateway: GatewayId, args: argparse.Namespace) -> RemoteSettings:
    from metering.identity import PortId
    from provisioning.remote_settings import remote_settings

    places = {PortId(port): place for port, place in read_pairs(args.place, "--place").items()}
    return remote_settings(
        desk.site_of(gateway),
        gateway,
        every_s=args.every_s,
        group=args.group,
        trial_s=args.trial_s,
        places=places,
    )


def _document(one: Ordered) -> dict[str, Any]:
    return {
        "version": one.version,
        "epoch": one.epoch,
        "ordered_by": one.ordered_by,
        "ordered_at": one.ordered_at.isoformat(),
        "times_sent": one.times,
        "outcome": one.outcome,
        "reason": one.reason,
        "reported_at": None if one.reported_at is None else one.reported_at.isoformat(),
    }


def _line(one: Ordered) -> str:
    ordered = f"{one.version:>4}  {one.ordered_at:%Y-%m-%d %H:%M}Z by {one.ordered_by}, sent {one.times} times"
    if one.outcome is None:
        return f"{ordered}: no word from the gateway yet"
    reason = f" ({one.reason})" if one.reason else ""
    return f"{ordered}: {one.outcome}{reason}"
