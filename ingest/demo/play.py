"""SPINE of the demo: start the programs a user would start, play the days, close the period, keep the result.

Every step may be done again: a demo that was killed goes on with --resume, and ends with the same octets.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ingest.console.words import Language
from ingest.demo import programs
from ingest.demo.centre import Centre, CentreAway
from ingest.demo.loads_file import Play
from ingest.demo.premises import Premises
from ingest.demo.progress import Show
from ingest.demo.supervisor import Program, Supervisor
from ingest.demo.words import say
from ingest.embedded.broker import EmbeddedBroker
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import ServerNotReady
from metering.identity import GatewayId
from provisioning.site import Site

READY_S_MAX = 60.0
"""Longest start of a program; a database that was killed may have to recover first."""
STANDSTILL_S_MAX = 120.0
"""So long without one new receipted envelope, and something is wrong that restarting does not mend."""
LOOK_S = 0.4
"""Pause between two looks at what has arrived."""
CALLS_MAX = 150
"""How often a call is made to a service that is away or restarting: a minute of pauses, as long as a start may take."""
TOOL_RUNS_MAX = 10
TOOL_PAUSE_S = 1.0
"""Ten runs, each a second after the last failed and with its server back: a mistake is not worth more patience."""
BOOKED_AFTER = timedelta(hours=9)
"""The run is booked at nine in the morning after its last day: a fact of the play, not of today."""

ACCOUNTANT, APPROVER = "accountant", "approver"
"""The two roles of the play: whoever checked a run cannot approve it."""
STEPS = {
    "computed": ("check", ACCOUNTANT, timedelta(hours=10)),
    "checked": ("approve", APPROVER, timedelta(hours=11)),
    "approved": ("publish", APPROVER, timedelta(hours=12)),
}
"""What is done with a run that stands so, by whom, and how long after the last day of the play."""
EXPLAINED = "in the demo's measured world, as played; see the case"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo ends with.

    document     the run, as the API gives it
    statements   number and party of each, with the file it was written to
    refused      envelopes in quarantine, by gateway
    """

    run: Path
    document: dict[str, Any]
    booked_at: str
    statements: tuple[tuple[str, str, Path], ...]
    refused: dict[GatewayId, int]


class Demo:
    """One demo on its premises."""

    def __init__(
        self, premises: Premises, site: Site, play: Play, *, supervisor: Supervisor, show: Show, language: Language
    ) -> None:
        self._premises = premises
        self._site = site
        self._play = play
        self._supervisor = supervisor
        self._show = show
        self._language = language
        self._centre = Centre("", "")
        self._gateways = [gateway.id for gateway in site.gateways]

    def perform(self) -> Outcome:
        """Play from wherever things stand to the result. The programs keep running; their supervisor stops them."""
        self._premises.furnish(self._site, programs.users_of(self._site))
        self._start_servers()
        self._import_site()
        self._start_centre()
        self._enrol_gateways()
        self._play_days()
        return self._close_period()

    def _start_servers(self) -> None:
        """The world goes first: it needs nobody, and its start hides behind that of the database."""
        self._step("servers")
        self._supervisor.start(programs.world_program(self._premises, self._site, self._play))
        postgres, broker = programs.postgres_of(self._premises), programs.broker_of(self._premises, self._site)
        servers: tuple[tuple[str, EmbeddedBroker | EmbeddedPostgres], ...] = (
            ("broker", broker),
            ("postgres", postgres),
        )
        for name, server in servers:
            self._run_tool(server.prepare, name, lambda: True)
            self._supervisor.start(Program.of_server(name, server.command()))
        self._await("broker", broker.answers)
        self._await("postgres", postgres.answers)

    def _import_site(self) -> None:
        self._step("import", site=self._site.id)
        for tool in (programs.migrate, programs.import_site):
            self._run_tool(partial(tool, self._premises), "postgres", programs.postgres_of(self._premises).answers)

    def _start_centre(self) -> None:
        self._step("centre", url=self._premises.url)
        self._supervisor.start(programs.serve_program(self._premises))
        self._centre = Centre(self._premises.url, self._premises.token_file.read_text(encoding="ascii").strip())
        self._await("serve", self._centre.is_ready)

    def _enrol_gateways(self) -> None:
        self._step("enrol", gateways=", ".join(self._gateways))
        tools = [partial(programs.enrol, self._premises, self._site, gateway) for gateway in self._gateways]
        with ThreadPoolExecutor(len(tools)) as pool:
            list(pool.map(lambda tool: self._run_tool(tool, "serve", self._centre.is_ready), tools))
        for gateway in self._gateways:
            programs.configure(self._premises, self._site, self._play, gateway)
            self._supervisor.start(programs.gateway_program(self._premises, gateway))

    def _play_days(self) -> None:
        """Watch until every envelope of the play is committed at the centre and receipted."""
        marks = self._play.played.slot_count + 1
        first, last = self._days()
        self._step("play", meters=len(self._site.meters), marks=marks, first=first, last=last)
        totals = {gateway: marks * len(self._site.ports_of(gateway)) for gateway in self._gateways}
        with self._show.bars(totals, say(self._language, "arrived")) as bars:
            counts: dict[GatewayId, int] = {}
            moved_s = time.monotonic()
            while any(counts.get(gateway, 0) < total for gateway, total in totals.items()):
                before, counts = counts, self._arrived(counts)
                bars.show(counts)
                if counts != before:
                    moved_s = time.monotonic()
                elif time.monotonic() - moved_s > STANDSTILL_S_MAX:
                    name = min(totals, key=lambda gateway: counts.get(gateway, 0))
                    raise self._supervisor.failure(name, f"has sent nothing new for {STANDSTILL_S_MAX:.0f} s")
                self._supervisor.watch(LOOK_S)

    def _arrived(self, known: dict[GatewayId, int]) -> dict[GatewayId, int]:
        """Count the envelopes that stand at the centre without a gap; what was known, while it is away."""
        try:
            return {gateway: arrival.contiguous_seq for gateway, arrival in self._centre.arrivals().items()}
        except CentreAway:
            return known

    def _close_period(self) -> Outcome:
        """Ask for the run and keep it with its statements as files."""
        label = self._period_label()
        self._step("close", period=label)
        booked_at = self._site.calendar.local(self._play.played.end + BOOKED_AFTER).isoformat()
        run = self._insist(lambda: self._centre.close(self._site.id, label, booked_at, ACCOUNTANT))
        self._publish(run)
        answer: Any = json.loads(self._insist(lambda: self._centre.get(f"/v1/allocation-runs/{run}")))
        directory = self._premises.directory
        path = directory / "run.json"
        text = json.dumps(answer["document"], ensure_ascii=False, indent=1, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
        statements = tuple(self._fetch_statement(entry) for entry in answer["statements"])
        arrivals = self._insist(self._centre.arrivals)
        refused = {gateway: arrival.refused for gateway, arrival in arrivals.items() if arrival.refused}
        return Outcome(path, answer["document"], booked_at, statements, refused)

    def _publish(self, run: str) -> None:
        """Let two roles check, approve and publish the run, each at a time that is a fact of the play."""
        self._step("publish", first=ACCOUNTANT, second=APPROVER)
        state, findings = self._insist(lambda: self._centre.log(run))
        while state in STEPS:
            verb, actor, after = STEPS[state]
            request = {
                "by": actor,
                "at": self._site.calendar.local(self._play.played.end + after).isoformat(),
                "reasons": dict.fromkeys(findings, EXPLAINED) if verb == "check" else {},
            }
            try:
                self._centre.move(run, verb, request)
            except CentreAway:
                self._supervisor.watch(LOOK_S)  # it may have been done all the same: the log says
            state, findings = self._insist(lambda: self._centre.log(run))

    def _fetch_statement(self, entry: dict[str, Any]) -> tuple[str, str, Path]:
        path = self._premises.directory / "statements" / f"{entry['number']}.json"
        path.write_bytes(self._insist(lambda: self._centre.get(entry["href"])))
        return entry["number"], entry["party"], path

    def _await(self, name: str, is_ready: Callable[[], bool]) -> None:
        self._supervisor.wait_until(is_ready, name=name, timeout_s=READY_S_MAX)

    def _run_tool(self, tool: Callable[[], None], server: str, is_ready: Callable[[], bool]) -> None:
        """Run a command again if it failed: its server may have been killed under it, or it itself."""
        for _ in range(TOOL_RUNS_MAX - 1):
            try:
                return tool()
            except (programs.ToolFailed, ServerNotReady):
                self._supervisor.watch(TOOL_PAUSE_S)
                self._await(server, is_ready)
        return tool()

    def _insist(self, call: Callable[[], T]) -> T:
        """Make a call again while the service is away or restarting; raises CentreAway in the end."""
        for _ in range(CALLS_MAX - 1):
            try:
                return call()
            except CentreAway:
                self._supervisor.watch(LOOK_S)
        return call()

    def _period_label(self) -> str:
        """Name what is closed: the month, or the days that were played."""
        if self._play.played == self._play.month:
            return self._play.period
        first, last = self._days()
        return f"{first}--{last}"

    def _days(self) -> tuple[date, date]:
        days = self._site.calendar.days(self._play.played)
        return days[0], days[-1]

    def _step(self, key: str, **parts: object) -> None:
        self._show.step(say(self._language, key, **parts))
