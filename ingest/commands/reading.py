"""`metertree reading`: what people read off displays, typed or by photo, and what a second person decides about it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ingest.commands import Subparsers

if TYPE_CHECKING:
    from provisioning.centre_client import CentreClient

CENTRE_URL = "http://127.0.0.1:8080"
DECISIONS = {
    "accept": "let a waiting reading count; takes another person than who read or entered it",
    "refuse": "refuse a waiting reading",
    "withdraw": "take a counted reading out of the books",
}


def register(subparsers: Subparsers) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser(
        "reading",
        help="enter what people read off displays, typed or by photo, and decide about what does not fit",
        description="What fits what is known of a meter counts at once, sealed and settled as any other reading. What "
        "does not fit waits for a second person. Beside a bus that was heard it is kept as a check and never counted.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    add = verbs.add_parser("add", help="enter what a display shows")
    _add_meter(add)
    add.add_argument("text", help="all digits of the display, with a point before the decimals: 012345.6")
    add.add_argument("--photo", metavar="FILE", help="photo of the display; it is stripped of all metadata, and kept")
    add.set_defaults(run=_add)
    photo = verbs.add_parser("photo", help="read a photo of a display; enters nothing without --enter")
    _add_meter(photo)
    photo.add_argument("photo", metavar="FILE", help="JPEG or PNG")
    photo.add_argument("--enter", action="store_true", help="enter what it shows; exit code 1 if that is not sure")
    photo.set_defaults(run=_photo)
    listing = verbs.add_parser("list", help="list the newest")
    for name in ("site", "meter", "state"):
        listing.add_argument(f"--{name}", help=f"only those of this {name}")
    listing.set_defaults(run=_list)
    for decision, meaning in DECISIONS.items():
        verb = verbs.add_parser(decision, help=meaning)
        verb.add_argument("number", type=int)
        verb.add_argument("--reason", required=True, help="why; it is recorded")
        verb.set_defaults(run=_decide, decision=decision)
    for verb in verbs.choices.values():
        verb.add_argument("--centre", metavar="URL", default=CENTRE_URL, help=f"the centre (default {CENTRE_URL})")
        verb.add_argument("--token-file", metavar="FILE", required=True, help="file with your operator's token")
        verb.add_argument("--lang", choices=("zh", "en"), default="en", help="language (default en)")
        verb.add_argument("--json", action="store_true", help="print one JSON object")


def _add_meter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site")
    parser.add_argument("meter")
    parser.add_argument("--at", metavar="INSTANT", help="when it was read, e.g. 2026-07-31T16:20+08:00; without it now")
    parser.add_argument("--obis", help="which register, where the meter has several, e.g. 1-0:1.8.0")
    parser.add_argument("--reader", metavar="NAME", help="who looked at the display, if not you")


def _add(args: argparse.Namespace) -> int:
    client = _client(args)
    look = _look(args) | {"text": args.text}
    if args.photo:
        look |= {"photo": _put_photo(client, args.photo)}
    return _tell(client.add_reading(look), args)


def _photo(args: argparse.Namespace) -> int:
    client = _client(args)
    look = _look(args) | {"photo": _put_photo(client, args.photo)}
    candidate = client.photo_candidate(look)
    if args.enter and candidate["text"] is not None:
        return _tell(client.add_reading(look), args)
    from ingest.reading_words import candidate_lines

    _print(candidate, candidate_lines(candidate, _language(args)), args)
    return 0 if candidate["sure"] else 1


def _list(args: argparse.Namespace) -> int:
    from ingest.reading_words import reading_lines

    found = _client(args).readings(site=args.site, meter=args.meter, state=args.state)
    _print(found, reading_lines(found["readings"], _language(args)), args)
    return 0


def _decide(args: argparse.Namespace) -> int:
    return _tell(_client(args).decide_reading(args.number, args.decision, args.reason), args)


def _tell(reading: Mapping[str, Any], args: argparse.Namespace) -> int:
    """Print one reading; exit code 1 where it waits."""
    from ingest.reading_words import reading_lines

    _print(reading, reading_lines([reading], _language(args)), args)
    return 1 if reading["state"] == "waiting" else 0


def _print(document: Mapping[str, Any], lines: Iterable[str], args: argparse.Namespace) -> None:
    import json

    print(json.dumps(document, ensure_ascii=False) if args.json else "\n".join(lines))


def _look(args: argparse.Namespace) -> dict[str, Any]:
    from datetime import datetime

    from ingest.reading_desk import ReadingRefused
    from metering.clock import SystemClock

    try:
        read_at = SystemClock().now() if args.at is None else datetime.fromisoformat(args.at)
    except ValueError as error:
        raise ReadingRefused(f"--at {args.at!r} is no instant: write 2026-07-31T16:20+08:00") from error
    if read_at.tzinfo is None:
        raise ReadingRefused(f"--at {args.at} has no zone: write it as 2026-07-31T16:20+08:00")
    look = {"site": args.site, "meter": args.meter, "read_at": read_at.isoformat()}
    return look | {name: part for name in ("obis", "reader") if (part := getattr(args, name)) is not None}


def _put_photo(client: CentreClient, path: str) -> str:
    """Strip a photo, bring it to the centre, and give its name."""
    from pathlib import Path

    from provisioning.photo_file import PhotoRefused, plain_photo

    try:
        photo = plain_photo(Path(path).read_bytes())
    except OSError as error:
        raise PhotoRefused(f"{path} cannot be read: {error.strerror}") from error
    client.put_photo(photo)
    return photo.sha256.hex()


def _client(args: argparse.Namespace) -> CentreClient:
    from pathlib import Path

    from provisioning.centre_client import CentreClient, read_token

    return CentreClient(args.centre, read_token(Path(args.token_file)))


def _language(args: argparse.Namespace) -> Any:
    from ingest.console.words import Language

    return Language(args.lang)
