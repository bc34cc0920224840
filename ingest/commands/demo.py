"""`metertree demo`: a whole month from register to bill line, on this machine, with the real programs."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from metering.errors import MeteringError

if TYPE_CHECKING:
    from ingest.commands import Subparsers
    from ingest.console.words import Language
    from ingest.demo.premises import Premises

HELP = "play a month of a park: simulated meters, two gateways, the central service, the bill lines"
EXAMPLES = Path(__file__).parents[2] / "examples"
LOADS_FILE = "loads.toml"


class DemoCallInvalid(MeteringError):
    """The arguments of the demo do not fit together."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("demo", help=HELP, description=HELP)
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("demo-files"),
        metavar="D",
        help="folder of the demo; an earlier one is removed",
    )
    parser.add_argument("--exit", action="store_true", help="end when the result is printed, do not go on serving")
    parser.add_argument("--days", type=_days, metavar="N", help="play only the first N days of the month")
    parser.add_argument(
        "--loads",
        type=Path,
        metavar="FILE",
        help="measured loads of the campus (CSV), or another loads file of the site (TOML)",
    )
    parser.add_argument("--site", type=Path, metavar="DIR", help="folder of the site's files; default examples/park")
    parser.add_argument("--resume", action="store_true", help="go on with the demo in --dir instead of a new one")
    parser.add_argument("--lang", choices=("zh", "en"), default="en", help="language of the report")
    parser.add_argument("--port", type=int, metavar="P", help="port of the API and the console; default a free one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play, report, and serve until told to end."""
    from ingest.console.words import Language
    from ingest.demo.premises import sole_use_of

    directory = args.dir.resolve()
    with sole_use_of(directory):
        premises = _resumed(directory) if args.resume else _fresh(directory, args)
        _perform(premises, Language(args.lang), is_exiting=args.exit)
    return 0


def _perform(premises: Premises, language: Language, *, is_exiting: bool) -> None:
    import time

    from rich.console import Console

    from ingest.demo import programs
    from ingest.demo.loads_file import read_play
    from ingest.demo.play import Demo
    from ingest.demo.progress import Show
    from ingest.demo.report import REPORT_COLUMNS, Report, to_text
    from ingest.demo.supervisor import Supervisor
    from ingest.demo.words import say
    from provisioning.site_file import read_site

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started_s = time.monotonic()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = REPORT_COLUMNS
    playbill = premises.playbill
    site = read_site(Path(playbill.site))
    csv = None if playbill.csv is None else Path(playbill.csv)
    play = read_play(Path(playbill.loads), site, csv=csv, days=playbill.days)
    supervisor = Supervisor(premises.directory)
    try:
        demo = Demo(premises, site, play, supervisor=supervisor, show=Show(console), language=language)
        outcome = demo.perform()
        report = Report(site, outcome, language)
        statement = report.shown_statement
        result = report.result()
        verdict = programs.verify(premises, statement, language)
        proof = report.statement(programs.verify_command(premises, statement), verdict)
        console.print(result, proof)
        (premises.directory / "report.txt").write_text(to_text(result, proof), encoding="utf-8")
        console.print(say(language, "took", seconds=round(time.monotonic() - started_s)))
        if not is_exiting:
            console.print(say(language, "serving", url=premises.url))
            while True:
                supervisor.watch(1.0)
    finally:
        supervisor.stop()


def _fresh(directory: Path, args: argparse.Namespace) -> Premises:
    """Clear the folder and write down what is played; mistakes in the site's files show before anything starts."""
    from device_profiles.catalogue import Catalogue
    from ingest.demo.loads_file import read_play
    from ingest.demo.premises import Playbill, choose_ports, clear, open_premises
    from ingest.demo.programs import port_names
    from ingest.site_folder import read_site_folder

    csv = args.loads if args.loads is not None and args.loads.suffix.lower() == ".csv" else None
    folder = args.site or EXAMPLES / ("campus" if csv is not None else "park")
    if not folder.is_dir():
        raise DemoCallInvalid(f"there is no site folder {folder}; give one with --site DIR")
    loads = args.loads if args.loads is not None and csv is None else folder / LOADS_FILE
    site, _ = read_site_folder(folder, Catalogue.shipped())
    play = read_play(loads, site, csv=csv, days=args.days)
    ports = choose_ports(port_names(site, play), {} if args.port is None else {"api": args.port})
    clear(directory)
    playbill = Playbill(
        site=str(folder.resolve()),
        loads=str(loads.resolve()),
        csv=None if csv is None else str(csv.resolve()),
        days=args.days,
        ports=ports,
    )
    return open_premises(directory, playbill)


def _resumed(directory: Path) -> Premises:
    from ingest.demo.premises import reopen_premises

    return reopen_premises(directory)


def _days(text: str) -> int:
    days = int(text)
    if days < 1:
        raise argparse.ArgumentTypeError("at least 1 day")
    return days
