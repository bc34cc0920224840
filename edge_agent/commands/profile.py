"""`metertree-gateway profile`: check a profile file, list the models that are known, show one of them.

A fitter who writes a profile for a new meter needs no more than this command and the file: every mistake is named with
its line and its mend, and every vector in the file is decoded as if it came over the line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Channel, ChannelKind, Evidence, Profile, Source
from device_profiles.profile_file import profile_from_toml
from device_profiles.profile_vectors import check_vector
from metering.errors import DocumentError, Fault, MeteringError
from metering.toml_source import TomlSource

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

LANGUAGES = ("zh", "en")
_GOOD = {
    "zh": "{path}：正确。{id} 版本 {rev}，{evidence}；{protocols}；{groups}；测试报文 {vectors} 条",
    "en": "{path}: good. {id} rev {rev}, {evidence}; {protocols}; {groups}; {vectors} vectors",
}
_NO_VECTOR = {
    "zh": "{path}：没有测试报文，读数从未试过；请加入一条实测报文",
    "en": "{path}: no vectors, so no reading was ever tried; add one captured from a meter",
}
_NO_MODULUS = {
    "zh": "{path}：{obis} 未写 modulus；计数器归零时读数会留待人工处理",
    "en": "{path}: {obis} states no modulus; when it falls, its reading is held for a person",
}
_COUNTS_IN = {
    1: ("electricity", ("Wh", "varh", "VAh")),
    6: ("heat", ("kJ", "mL")),
    7: ("gas", ("mL",)),
    8: ("water", ("mL",)),
    9: ("water", ("mL",)),
}
"""Of the first number of an OBIS code: the medium, and the base units of its counters."""
_HEADS = {"zh": ("来源", "有出入之处"), "en": ("sources", "sources disagree on")}


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("profile", help="check, list or show profiles of meter models")
    verbs = parser.add_subparsers(required=True)
    check = verbs.add_parser("check", help="explain every mistake in profile files, with its line")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a profile file, or a folder of them")
    check.set_defaults(run=_check)
    listing = verbs.add_parser("list", help="list the models that are known")
    listing.set_defaults(run=_list)
    show = verbs.add_parser("show", help="show one model: links, channels, sources, where sources disagree")
    show.add_argument("model", help="maker/model, such as eastron/sdm630")
    show.set_defaults(run=_show)
    for verb in (check, listing, show):
        verb.add_argument("--lang", choices=LANGUAGES, default="en", help="language (default en)")
        verb.add_argument("--json", action="store_true", help="print JSON")
        verb.set_defaults(verbose=False)
    for verb in (listing, show):
        verb.add_argument(
            "--profiles", type=Path, action="append", default=[], help="directory of further meter profiles"
        )


def _check(args: argparse.Namespace) -> int:
    """Check each file; 0 when all are good, 2 otherwise."""
    outcomes: list[tuple[Path, Profile | None, tuple[Fault, ...]]] = []
    first: dict[tuple[str, int], tuple[Path, Profile]] = {}
    for path in _files(args.files):
        profile, faults = _checked(path)
        if profile is not None:
            other, known = first.setdefault((profile.id, profile.rev), (path, profile))
            if known != profile:
                problem = f"{profile.id} rev {profile.rev} stands with other content in {other}"
                faults += (Fault(path=str(path), line=1, problem=problem, mend="raise rev with each change"),)
        outcomes.append((path, profile, faults))
    if args.json:
        print(json.dumps([_outcome(path, profile, faults) for path, profile, faults in outcomes], ensure_ascii=False))
    else:
        for path, profile, faults in outcomes:
            print("\n".join(_told(path, profile, faults, args.lang)))
    return 2 if any(faults for _, _, faults in outcomes) else 0


def _files(paths: list[Path]) -> list[Path]:
    found = [each for path in paths for each in (sorted(path.rglob("*.toml")) if path.is_dir() else [path])]
    if not found:
        raise MeteringError(f"no profile file (*.toml) in {', '.join(map(str, paths))}")
    return found


def _checked(path: Path) -> tuple[Profile | None, tuple[Fault, ...]]:
    """Read a profile and try its vectors."""
    try:
        source = TomlSource.read(path)
        profile = profile_from_toml(source)
    except DocumentError as error:
        return None, error.faults
    faults: list[Fault] = []
    for at, vector in enumerate(profile.vectors):
        try:
            check_vector(profile, vector)
        except MeteringError as error:
            mend = "mend the registers, or the vector if the meter showed something else"
            faults.append(source.fault("vectors", at, problem=f"this vector fails: {error}", mend=mend))
    if profile.evidence is Evidence.CAPTURES and all(vector.derived for vector in profile.vectors):
        problem = "evidence is `captures`, and no vector was captured from a meter"
        mend = 'add one with derived = false, or write evidence = "registers" or "documents"'
        faults.append(source.fault("evidence", problem=problem, mend=mend))
    faults += _foreign_counters(source, profile)
    return profile, tuple(faults)


def _foreign_counters(source: TomlSource, profile: Profile) -> Iterator[Fault]:
    """Find billing counters of another medium than the file's, or in units that their code never has."""
    for at, channel in enumerate(profile.groups[0].channels):
        if channel.kind is not ChannelKind.COUNTER or channel.obis.a not in _COUNTS_IN:
            continue
        medium, bases = _COUNTS_IN[channel.obis.a]
        place = ("groups", 0, "channels", at)
        if medium != profile.medium:
            problem = f"{channel.obis} is a register of {medium}, this file is of {profile.medium}"
            yield source.fault(*place, "obis", problem=problem, mend="mend the code, or medium")
        elif channel.unit.base_symbol not in bases:
            problem = f"{channel.obis} is no register in {channel.unit.symbol}"
            yield source.fault(*place, "unit", problem=problem, mend="mend the unit, or the code")


def _told(path: Path, profile: Profile | None, faults: tuple[Fault, ...], language: str) -> list[str]:
    if profile is None or faults:
        return [str(fault) for fault in faults]
    told = [_GOOD[language].format(path=path, **_summary(profile, language))]
    if not profile.vectors:
        told.append(_NO_VECTOR[language].format(path=path))
    for channel in profile.groups[0].channels:
        if channel.kind == "counter" and channel.modulus is None:
            told.append(_NO_MODULUS[language].format(path=path, obis=channel.obis))
    return told


def _summary(profile: Profile, language: str) -> dict[str, Any]:
    return {
        "id": profile.id,
        "rev": profile.rev,
        "evidence": profile.evidence.told(language),
        "protocols": ", ".join(profile.links),
        "groups": ", ".join(f"{group.name} {len(group.channels)}" for group in profile.groups),
        "vectors": len(profile.vectors),
    }


def _outcome(path: Path, profile: Profile | None, faults: tuple[Fault, ...]) -> dict[str, Any]:
    return {
        "path": str(path),
        "profile": None if profile is None else _document(profile),
        "faults": [{"line": fault.line, "problem": fault.problem, "mend": fault.mend} for fault in faults],
    }


def _list(args: argparse.Namespace) -> int:
    profiles = Catalogue.load(*args.profiles).profiles
    if args.json:
        print(json.dumps([_document(profile) for profile in profiles], ensure_ascii=False))
        return 0
    width = max(len(profile.id) for profile in profiles)
    for profile in profiles:
        protocols = ", ".join(profile.links)
        print(f"{profile.id:<{width}}  {profile.evidence.told(args.lang)}  {protocols}  {profile.names[args.lang]}")
    return 0


def _show(args: argparse.Namespace) -> int:
    profile = Catalogue.load(*args.profiles).by_id(args.model)
    if args.json:
        print(json.dumps(_document(profile), ensure_ascii=False))
        return 0
    print(f"{profile.id} rev {profile.rev}  {profile.names[args.lang]}  {profile.evidence.told(args.lang)}")
    print(f"  {profile.medium}, {profile.side}, {profile.hash.hex()}")
    for protocol, link in profile.links.items():
        print(f"  {protocol}  {_fields(link.serial)} reply_ms_max={link.reply_ms_max} {_fields(link.options)}".rstrip())
    for group in profile.groups:
        print(f"  {group.name}")
        for channel in group.channels:
            print(f"    {_channel_line(channel)}")
    sources, disputes = _HEADS[args.lang]
    print(f"  {sources}")
    for document in profile.sources:
        parts = (document.title, document.version, document.page and f"p. {document.page}", document.note)
        print(f"    {'; '.join(part for part in parts if part)}")
    if profile.disputes:
        print(f"  {disputes}")
    for dispute in profile.disputes:
        print(f"    {dispute.point}: {dispute.told[args.lang]}")
    return 0


def _channel_line(channel: Channel) -> str:
    bounds = "" if channel.modulus is None else f" modulus {channel.modulus}"
    scale = f" x 10^{channel.exponent}" if channel.exponent else ""
    return f"{channel.obis!s:<14} {channel.kind} {channel.unit.symbol}{scale}{bounds}  {_fields(channel.source)}"


def _fields(part: object) -> str:
    """Write what a source or a link says beyond its defaults."""
    return " ".join(f"{name}={text}" for name, text in _said(part).items())


def _said(part: object) -> dict[str, str]:
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return {}
    said = {each.name: (getattr(part, each.name), each.default) for each in dataclasses.fields(part)}
    return {name: _text(content) for name, (content, default) in said.items() if content != default}


def _text(content: object) -> str:
    if isinstance(content, tuple):
        return "[" + ", ".join(map(_text, content)) + "]"
    if dataclasses.is_dataclass(content):
        return "{" + _fields(content) + "}"
    return content.hex() if isinstance(content, bytes) else str(content)


def _document(profile: Profile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "rev": profile.rev,
        "hash": profile.hash.hex(),
        "names": profile.names,
        "medium": profile.medium,
        "side": profile.side,
        "evidence": profile.evidence,
        "protocols": list(profile.links),
        "groups": {
            group.name: [
                {
                    "obis": str(channel.obis),
                    "unit": channel.unit.symbol,
                    "exponent": channel.exponent,
                    "kind": channel.kind,
                    "modulus": channel.modulus,
                    "source": _source_document(channel.source),
                }
                for channel in group.channels
            ]
            for group in profile.groups
        },
        "sources": [dataclasses.asdict(document) for document in profile.sources],
        "disputes": [{"point": dispute.point, **dispute.told} for dispute in profile.disputes],
        "vectors": len(profile.vectors),
    }


def _source_document(source: Source) -> dict[str, str]:
    return _said(source)
