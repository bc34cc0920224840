"""`metertree-provision order` and `orders`: leave for one gateway to enrol once, with the papers that go along."""

from __future__ import annotations

import argparse
import csv
import json
import shlex
from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from metering.clock import Clock
from metering.errors import MeteringError
from metering.identity import GatewayId, SiteId, check_identifier
from provisioning.binding_words import binding_word, shown_instant
from provisioning.centre_client import CentreClient, read_token
from provisioning.commands import Subparsers, add_language
from provisioning.order_file import ORDER_FILE_SUFFIX
from provisioning.paper.qr import QUIET, qr_squares

ORDER_DAYS = 14
_NUMBERS = ("ct", "pt")


class ExpectedInvalid(MeteringError):
    """A list of expected meters cannot be read; the text says where, and the mend."""


def register(commands: Subparsers) -> None:
    """Add both commands."""
    meaning = "open an install order: a claim, shown this once, and the file that the engineer takes along"
    one = commands.add_parser("order", help=meaning, description=__doc__)
    one.set_defaults(run=run, lines=lines)
    one.add_argument("--gateway", required=True, help="id of the gateway")
    one.add_argument("--site", required=True, help="id of the site")
    one.add_argument("--engineer", required=True, help="who is sent")
    one.add_argument("--days", type=int, default=ORDER_DAYS, help=f"days until the claim lapses ({ORDER_DAYS})")
    told = "meters to be found, where the site does not say: CSV with meter,node,unit,serial,profile,ct,pt, or JSON"
    one.add_argument("--expected", type=Path, metavar="FILE", help=told)
    one.add_argument("--centre-url", metavar="URL", help="where gateways reach the centre, if not where you do")
    one.add_argument("--broker", metavar="HOST:PORT", help="where gateways reach the broker")
    one.add_argument("--out", type=Path, metavar="DIR", help="folder for the order file (none is written without)")
    one.add_argument("--qr", action="store_true", help="show the claim as a QR code too")
    _add_centre(one)
    add_language(one)
    many = commands.add_parser("orders", help="list install orders and which of them were used", description=__doc__)
    many.set_defaults(run=run_list, lines=list_lines)
    many.add_argument("--site", help="of this site")
    many.add_argument("--gateway", help="of this gateway")
    _add_centre(many)
    add_language(many)


def run(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:
    """Open an install order; its claim is shown this once."""
    client = CentreClient(args.centre, read_token(args.token_file))
    answer = dict(
        client.order(
            site=SiteId(check_identifier(args.site)),
            gateway=GatewayId(check_identifier(args.gateway)),
            engineer=args.engineer,
            expires_at=clock.now() + timedelta(days=args.days),
            expected=() if args.expected is None else read_expected(args.expected),
            centre_url=args.centre_url,
            broker=args.broker,
        )
    )
    if args.out is not None and "order_file" in answer:
        answer["written"] = str(_write(args.out, args.gateway, b64decode(answer["order_file"])))
    return answer


def lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Tell the claim and what to do next."""
    told = {
        "order": answer["order"],
        "claim": answer["claim"],
        "lapses": shown_instant(answer["expires_at"]),
        "fingerprint": answer.get("fingerprint"),
        "file": answer.get("written"),
        "at-the-gateway": _next(answer, args),
    }
    for key, content in told.items():
        if content:
            yield f"{binding_word(key, args.lang)}: {content}"
    if args.qr:
        yield from qr_lines(answer["claim"])


def run_list(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """List install orders; their claims are known to nobody any more."""
    return CentreClient(args.centre, read_token(args.token_file)).orders(args.site, args.gateway)


def list_lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """One line an order."""
    for one in answer["orders"]:
        state = binding_word(one["state"], args.lang)
        until = shown_instant(one["expires_at"])
        yield f"{one['order']}  {one['site']}/{one['gateway']}  {one['engineer']}  {until}  {state}"
    if not answer["orders"]:
        yield binding_word("nothing", args.lang)


def read_expected(path: Path) -> tuple[dict[str, Any], ...]:
    """Read a list of expected meters, CSV or JSON; raises ExpectedInvalid. Empty cells are not known beforehand."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            listed = json.loads(text)
            if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
                raise ExpectedInvalid(f"{path}: write a list of objects with meter, node, serial ...")
            return tuple(listed)
        rows = list(csv.DictReader(text.splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise ExpectedInvalid(f"{path}: cannot be read: {error}; give CSV with a header, or JSON, in UTF-8") from error
    return tuple(_expected(path, place, row) for place, row in enumerate(rows, 2))


def qr_lines(text: str) -> Iterator[str]:
    """Draw a QR code with half blocks, dark on light, for a terminal."""
    squares = qr_squares(text)
    width = len(squares) + 2 * QUIET
    light = (False,) * width
    framed = [light] * QUIET + [(*light[:QUIET], *row, *light[:QUIET]) for row in squares] + [light] * (QUIET + 1)
    for upper, lower in zip(framed[0::2], framed[1::2], strict=False):
        yield "".join(" ▄▀█"[2 * (not top) + (not bottom)] for top, bottom in zip(upper, lower, strict=True))


def _expected(path: Path, line: int, row: Mapping[str, str]) -> dict[str, Any]:
    cells = {key.strip(): text.strip() for key, text in row.items() if key and text and text.strip()}
    for key in _NUMBERS:
        if key in cells and not cells[key].isdecimal():
            raise ExpectedInvalid(f"{path}:{line}: {key} is {cells[key]!r}; write a whole number")
    return {key: int(text) if key in _NUMBERS else text for key, text in cells.items()}


def _next(answer: Mapping[str, Any], args: argparse.Namespace) -> str:
    if "written" in answer:
        return f"metertree-gateway install begin {shlex.quote(Path(answer['written']).name)}"
    return f"metertree-provision enrol --centre {args.centre} --gateway {args.gateway} --keys keys"


def _write(folder: Path, gateway: str, octets: bytes) -> Path:
    path = folder / f"{gateway}{ORDER_FILE_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
    except OSError as error:
        raise ExpectedInvalid(f"{path}: cannot be written: {error}; the claim serves all the same") from error
    return path


def _add_centre(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--centre", required=True, metavar="URL", help="address of the centre, http(s)://...")
    parser.add_argument(
        "--token-file", required=True, type=Path, help="file with an operator's token, or the centre's admin token"
    )
