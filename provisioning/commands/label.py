"""`metertree-provision label`: the label of a gateway's cabinet from its package, as SVG and PDF."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metering.clock import Clock
from provisioning.commands import Subparsers, add_language
from provisioning.commands.installation_file import FileUnusable, add_options, font_of, read_evidence, write
from provisioning.label import label_of, label_pdf, label_svg
from provisioning.report import prove

_MADE = {"zh": "已生成 {path}（100 × 70 mm）", "en": "made {path} (100 x 70 mm)"}


def register(commands: Subparsers) -> None:
    """Add the command."""
    text = "Make the cabinet's label of a package: gateway, fingerprint, meters, QR code; 100 x 70 mm."
    parser = commands.add_parser("label", help=text, description=text)
    parser.add_argument("file", type=Path, metavar="PACKAGE", help="package of the installation")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the SVG there")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="write the PDF there (extra `pdf`)")
    add_options(parser)
    add_language(parser)
    parser.set_defaults(run=run, lines=lines)


def run(args: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    """Make the label."""
    if args.svg is None and args.pdf is None:
        raise FileUnusable("say where to write: --svg FILE, --pdf FILE, or both")
    label = label_of(prove(read_evidence(args)))
    made = [] if args.svg is None else [write(args.svg, label_svg(label).encode())]
    if args.pdf is not None:
        made.append(write(args.pdf, label_pdf(label, dated=clock.now().replace(microsecond=0), font=font_of(args))))
    return {"made": made, "gateway": label.gateway, "link": label.link}


def lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Say what was made."""
    yield from (_MADE[args.lang].format(path=path) for path in answer["made"])
