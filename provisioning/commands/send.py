"""`metertree-provision send`: bring a package from a telephone or a stick to the centre, take the grant back."""

from __future__ import annotations

import argparse
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metering.clock import Clock
from metering.errors import MeteringError
from metering.identity import check_identifier
from provisioning.binding_words import binding_word
from provisioning.centre_client import CentreClient, CentreUnreachable
from provisioning.commands import Subparsers, add_language
from provisioning.package import PACKAGE_OCTETS_MAX

GRANT_FILE = "{gateway}-grant.cose"
_WORDS = {
    "en": {
        "acts": "{gateway}: the centre has {count} acts",
        "nothing": "nothing in this package was new to the centre",
        "act": "  {event}  {kind}  {state}",
        "photos": "{kept} of {count} photos are kept",
        "photo": "  photo {photo} is not: {reason}",
        "grant": "grant: {path}; bring it to the gateway: metertree-gateway install grant {name}",
    },
    "zh": {
        "acts": "{gateway}：中心已收到 {count} 项安装操作",
        "nothing": "资料包中没有中心未见过的内容",
        "act": "  {event}  {kind}  {state}",
        "photos": "照片 {count} 张，已保存 {kept} 张",
        "photo": "  照片 {photo} 未保存：{reason}",
        "grant": "准入书：{path}；带回网关：metertree-gateway install grant {name}",
    },
}


class PackageUnreadable(MeteringError):
    """A package cannot be read, or its grant not be written; the text says which, and the mend."""


def register(commands: Subparsers) -> None:
    """Add the command."""
    text = "Send a package that came by telephone or stick to the centre, and write its grant; twice does no harm."
    parser = commands.add_parser("send", help=text, description=text)
    parser.add_argument("file", type=Path, metavar="PACKAGE", help="what `install package` or the page gave")
    parser.add_argument("--centre", required=True, metavar="URL", help="address of the centre, http(s)://...")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the grant; beside the package if left out")
    add_language(parser)
    parser.set_defaults(run=run, lines=lines)


def run(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Send it; what is in it proves itself, so nobody has to say who he is."""
    answer = dict(CentreClient(args.centre).send_package(_read(args.file)))
    enrolment = answer.get("enrolment") or {}
    if "grant" in enrolment:
        folder = args.file.parent if args.out is None else args.out
        answer["written"] = str(_write(folder, enrolment["gateway"], _grant(args.centre, enrolment["grant"])))
    return answer


def lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Tell where each act stands, which photos were kept, and what to do with the grant."""
    words, enrolment = _WORDS[args.lang], answer.get("enrolment") or {}
    acts = {one["event"]: one for one in (*enrolment.get("events", ()), *answer["events"])}
    gateway = enrolment.get("gateway") or args.file.name
    yield words["acts"].format(gateway=gateway, count=len(acts)) if acts else words["nothing"]
    for one in acts.values():
        kind, state = binding_word(one["kind"], args.lang), binding_word(one["state"], args.lang)
        told = words["act"].format(event=one["event"], kind=kind, state=state)
        yield f"{told}: {one['reason']}" if one["reason"] else told
    if answer["photos"]:
        kept = sum(one["kept"] for one in answer["photos"])
        yield words["photos"].format(kept=kept, count=len(answer["photos"]))
    for one in answer["photos"]:
        if not one["kept"]:
            yield words["photo"].format(photo=one["photo"][:16], reason=one["reason"])
    if "written" in answer:
        yield words["grant"].format(path=answer["written"], name=Path(answer["written"]).name)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > PACKAGE_OCTETS_MAX:
            raise PackageUnreadable(f"{path}: larger than any package ({PACKAGE_OCTETS_MAX} octets); send it in parts")
        return path.read_bytes()
    except OSError as error:
        raise PackageUnreadable(f"{path} cannot be read: {error.strerror}; name the package") from error


def _grant(centre: str, text: Any) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise CentreUnreachable(f"what answers at {centre} gives no grant: it is no centre") from error


def _write(folder: Path, gateway: str, grant: bytes) -> Path:
    path = folder / GRANT_FILE.format(gateway=check_identifier(gateway))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(grant)
    except OSError as error:
        raise PackageUnreadable(
            f"{path} cannot be written: {error.strerror}; give --out DIR, and send again"
        ) from error
    return path
