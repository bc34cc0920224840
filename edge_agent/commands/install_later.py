"""Steps of `metertree-gateway install` for what comes after an installation."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime

from edge_agent.commands.install_arguments import add_binding_arguments, request_of, typed_of, who_of
from edge_agent.installation import telling
from edge_agent.installation.desk import Desk
from metering.errors import MeteringError
from metering.identity import MeterId, NodeId

Step = Callable[[Desk, argparse.Namespace], object]


def register(step: Callable[[str, Step, str], argparse.ArgumentParser]) -> None:
    """Add the steps."""
    closing = {"action": "append", "metavar": "OBIS=TEXT", "help": "what the old display showed, if it is silent"}
    one = step("close", _close, "read and keep the closing registers of a meter that is about to go")
    one.add_argument("old", help="id of the meter")
    one = step("exchange", _exchange, "put a new meter in the place of an old one; then compare, photograph, seal")
    one.add_argument("old", help="id of the old meter")
    add_binding_arguments(one)
    one.add_argument("--closing", **closing)  # type: ignore[arg-type]
    one = step("decommission", _decommission, "take a meter away")
    one.add_argument("old", help="id of the meter")
    one.add_argument("--closing", **closing)  # type: ignore[arg-type]
    one = step("reparent", _reparent, "hang a node below another")
    one.add_argument("node")
    one.add_argument("parent")
    one.add_argument("--at", help="a quarter hour with its zone, 2026-07-01T08:00+08:00; the next one if left out")
    one = step("ratio", _ratio, "other transformers were fitted")
    one.add_argument("old", help="id of the meter")
    one.add_argument("ct", type=int)
    one.add_argument("pt", type=int, nargs="?", default=1)
    one = step("replace", _replace, "this machine takes the place of one that was lost or broken")
    one.add_argument("old_epoch", type=int, help="the newest epoch of the old one, as the centre knows it")
    one.add_argument("--reason", required=True)
    one = step("drop", _drop, "take back something that waits for the seal, by its name in `status --json`")
    one.add_argument("key")


def _close(desk: Desk, args: argparse.Namespace) -> object:
    live = desk.close_register(MeterId(args.old), who_of(desk, args))
    if not args.json:
        for line in telling.live_lines(live, args.lang):
            print(line)
    return telling.live_document(live)


def _exchange(desk: Desk, args: argparse.Namespace) -> None:
    wanted = request_of(args, NodeId("old"))
    closing = None if not args.closing else typed_of(args.closing)
    desk.exchange(MeterId(args.old), wanted, who_of(desk, args), closing=closing)


def _decommission(desk: Desk, args: argparse.Namespace) -> None:
    closing = None if not args.closing else typed_of(args.closing)
    desk.decommission(MeterId(args.old), who_of(desk, args), closing=closing)


def _reparent(desk: Desk, args: argparse.Namespace) -> None:
    desk.reparent(NodeId(args.node), NodeId(args.parent), who_of(desk, args), at=_instant(args.at))


def _ratio(desk: Desk, args: argparse.Namespace) -> None:
    desk.change_ratio(MeterId(args.old), args.ct, args.pt, who_of(desk, args))


def _replace(desk: Desk, args: argparse.Namespace) -> None:
    desk.replace_gateway(args.old_epoch, args.reason, who_of(desk, args))


def _drop(desk: Desk, args: argparse.Namespace) -> None:
    desk.drop(args.key, who_of(desk, args))


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise MeteringError(f"--at {text!r}: write it as 2026-07-01T08:00+08:00") from error
    if found.tzinfo is None:
        raise MeteringError(f"--at {text!r} has no zone: write it as {text}+08:00")
    return found
