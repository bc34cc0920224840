"""The result of `make trust` as a section of docs/reliability.md, between two marks: a run replaces the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.trust.broker_alone import MESSAGES
from tests.trust.campaign import Tally

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- make trust: begin -->", "<!-- make trust: end -->"
KILLED = {"database": "PostgreSQL", "broker": "the broker", "workers": "an intake worker"}
BROKERS = {"nats": "NATS", "mosquitto": "Mosquitto"}
PLANTED = {
    "receipt-before-commit": "receipts sent before the commit",
    "acknowledge-on-arrival": "messages acknowledged on arrival",
}


@dataclass(frozen=True)
class Ran:
    """One run. `load` over its last five minutes; `alone`: messages that each broker kept by itself."""

    day: date
    commit: str
    seed: int
    load: float
    tallies: tuple[Tally, ...]
    planted: Mapping[str, Tally]
    alone: Mapping[str, int]

    def table(self) -> str:
        """What was done and found."""
        head = (
            "| killed | kills | broker | envelopes | readings | receipts | sent again | turned away as repeats "
            "| lost, doubled, receipted early | time |\n|---|---|---|---|---|---|---|---|---|---|\n"
        )
        return head + "".join(_row(one) for one in self.tallies)

    def section(self) -> str:
        """The words around it."""
        lost = sum(one.disks_lost for one in self.tallies)
        kills = {victim: sum(one.kills for one in self.tallies if one.victim == victim) for victim in KILLED}
        caught = "".join(
            f"* {PLANTED[error]}: found after {tally.kills} {'kill' if tally.kills == 1 else 'kills'}.\n"
            for error, tally in self.planted.items()
        )
        alone = ", ".join(f"{BROKERS[kind]} {kept:,}" for kind, kept in self.alone.items())
        return (
            f"{BEGIN}\n{self.day.day} {self.day:%B %Y}, commit {self.commit}, seed {self.seed}, 2 processors shared "
            f"with other work (load {self.load:.1f}): {kills['database']} kills of the database, {kills['broker']} "
            f"of the broker ({lost} of them with its disk lost), {kills['workers']} of a worker.\n\n{self.table()}\n"
            f"The same with an error planted into the workers, so that the net is known to hold:\n\n{caught}\n"
            f"A broker by itself (Mosquitto told to save every second), killed once after it had acknowledged "
            f"{MESSAGES:,} messages to their sender, delivered of them: {alone}.\n{END}\n"
        )


def _row(tally: Tally) -> str:
    minutes = f"{int(tally.seconds) // 60}:{int(tally.seconds) % 60:02} min"
    cells = (
        KILLED[tally.victim],
        tally.kills,
        BROKERS[tally.kind],
        *(f"{each:,}" for each in (tally.sent, tally.readings, tally.receipts, tally.sent_again, tally.turned_away)),
        f"{len(tally.faults)} faults" if tally.faults else "none",
        minutes,
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def write_section(ran: Ran, page: Path = PAGE) -> None:
    """Put the run in the place of the last one."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    page.write_text(before + ran.section() + rest.partition(f"{END}\n")[2], encoding="utf-8")
