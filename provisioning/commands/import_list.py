"""`metertree-provision import`: read a meter list of a spreadsheet into a site, or say what stands against it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metering.clock import Clock
from metering.errors import DocumentError, Fault
from provisioning.commands import LANGUAGES, Subparsers, add_language
from provisioning.commands.installation_file import write
from provisioning.document import to_document
from provisioning.meter_list import (
    Choices,
    ListFinding,
    MeterList,
    Severity,
    read_meter_list,
    read_unfinished,
    site_findings,
    write_meters,
)
from provisioning.meter_list.columns import FIELDS, LEAVE_OUT
from provisioning.site_draft import GATEWAYS_FILE

_MARKS = {
    "zh": {"wrong": "错误", "doubtful": "存疑", "note": "说明"},
    "en": {"wrong": "wrong", "doubtful": "doubtful", "note": "note"},
}
_SUMS = {
    "zh": "{file} [{sheet}]：{rows} 行，新表 {new} 块，园区已有 {known} 块；错误 {wrong}，存疑 {doubtful}",
    "en": "{file} [{sheet}]: {rows} rows, {new} new meters, {known} known already; {wrong} wrong, {doubtful} doubtful",
}
_ENDS = {
    "zh": {
        "written": "已写入 {path}。",
        "ready": "可以写入：加 --write。",
        "refused": "未写入任何内容；改正后重试。",
        "nothing": "没有要写入的新表。",
    },
    "en": {
        "written": "written to {path}",
        "ready": "nothing stands against it: add --write",
        "refused": "nothing was written; mend the above and try again",
        "nothing": "no new meters to write",
    },
}


def register(commands: Subparsers) -> None:
    """Add the command."""
    text = "Read a meter list (CSV or XLSX) into a site; nothing is guessed, every doubt is told with row and column."
    parser = commands.add_parser("import", help=text, description=text)
    parser.add_argument("file", type=Path, metavar="FILE", help="the list")
    parser.add_argument("--site-dir", required=True, type=Path, metavar="DIR", help="folder of the site's TOML files")
    parser.add_argument(
        "--write", action="store_true", help="put the meters into gateways.toml if nothing is against it"
    )
    plan = "write what is to be found, for an install order, instead: JSON; ports and addresses are not needed"
    parser.add_argument("--expected", type=Path, metavar="FILE", help=plan)
    parser.add_argument("--sheet", metavar="NAME", help="which sheet, where several hold lists")
    column = f"what a column gives, one of {', '.join(FIELDS)}, or {LEAVE_OUT} to leave it out; repeatable"
    parser.add_argument("--column", action="append", default=[], metavar="HEADING=FIELD", help=column)
    model = "which profile a model of the list is; repeatable"
    parser.add_argument("--model", action="append", default=[], metavar="MODEL=PROFILE", help=model)
    whole = "serials and addresses in number cells were compared with the plates"
    parser.add_argument("--numbers-are-whole", action="store_true", help=whole)
    parser.add_argument("--coordinates", choices=("wgs84",), help="longitude and latitude are those of a GPS receiver")
    add_language(parser)
    parser.set_defaults(run=run, lines=lines)


def run(args: argparse.Namespace, clock: Clock) -> dict[str, Any]:  # noqa: ARG001 every command has this shape
    """Read the list; raises DocumentError where there is none."""
    choices = Choices(
        columns=_pairs(args.column, "--column", FIELDS),
        models=_pairs(args.model, "--model", None),
        sheet=args.sheet,
        numbers_are_whole=args.numbers_are_whole,
        coordinates=args.coordinates,
        is_plan=args.expected is not None,
    )
    found = read_meter_list(args.file, read_unfinished(args.site_dir), choices)
    findings = [*found.findings, *site_findings(args.site_dir, found.meters, None)]
    is_ready = all(one.severity is Severity.NOTE for one in findings)
    written = None
    if is_ready and args.expected is not None and found.expected:
        plan = json.dumps([to_document(one) for one in found.expected], ensure_ascii=False, indent=1)
        written = write(args.expected, (plan + "\n").encode())
    elif is_ready and args.write and found.meters:
        write_meters(args.site_dir, found.meters)
        written = str(args.site_dir / GATEWAYS_FILE)
    end = "written" if written else "refused" if not is_ready else "ready" if found.meters else "nothing"
    return _answer(args, found, findings, end, written)


def _answer(
    args: argparse.Namespace, found: MeterList, findings: list[ListFinding], end: str, written: str | None
) -> dict[str, Any]:
    return {
        "file": args.file.name,
        "sheet": found.sheet,
        "columns": dict(found.columns),
        "rows": found.rows,
        "known": found.known,
        "new": len(found.meters) + len(found.expected),
        "meters": [
            {"row": one.row, "id": one.meter.id, "serial": one.meter.serial, "node": one.meter.node, "unit": one.unit}
            for one in found.meters
        ],
        "expected": [to_document(one) for one in found.expected],
        "findings": [
            {
                "code": one.code,
                "severity": str(one.severity),
                "row": one.row,
                "column": one.column,
                **{language: one.line(language) for language in LANGUAGES},
            }
            for one in findings
        ],
        "end": end,
        "written": written,
        "exit_code": 1 if end == "refused" else 0,
    }


def lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Say what was found, the worst last, where the eye is."""
    order = ("note", "doubtful", "wrong")
    marks = _MARKS[args.lang]
    for one in sorted(answer["findings"], key=lambda one: order.index(one["severity"])):
        yield f"{marks[one['severity']]:<9}{one[args.lang]}"
    counts = {name: sum(one["severity"] == name for one in answer["findings"]) for name in order}
    yield _SUMS[args.lang].format(**{**answer, **counts})
    yield _ENDS[args.lang][answer["end"]].format(path=answer["written"])


def _pairs(texts: list[str], option: str, known: tuple[str, ...] | None) -> dict[str, str]:
    """Read repeated NAME=MEANING; raises DocumentError."""
    found = {}
    for text in texts:
        name, _, meaning = text.rpartition("=")
        if not name or not meaning or (known is not None and meaning not in (*known, LEAVE_OUT)):
            mend = f"write {option} 'NAME=MEANING'" + (f", MEANING one of {', '.join(known)}" if known else "")
            raise DocumentError((Fault(path=option, line=1, problem=f"{text!r} is not clear", mend=mend),))
        found[name] = meaning
    return found
