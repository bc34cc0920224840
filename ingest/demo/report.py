"""The printed result: tree with balance, pools with lines and proof, metering events, one statement and its proof.

Built from the same view as the console's first page, so that both say the same.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ingest.console.view import PoolCard, RunReader, RunView
from ingest.console.words import Language, words
from ingest.demo.play import Outcome
from ingest.demo.words import say
from provisioning.site import PartyKind, Site

REPORT_COLUMNS = 118


class Report:
    """The report of one outcome in one language."""

    def __init__(self, site: Site, outcome: Outcome, language: Language) -> None:
        self._language = language
        self._word = words(language)
        self._site = site
        self._outcome = outcome
        self.view: RunView = RunReader(site, outcome.document, language).read(
            booked_at=datetime.fromisoformat(outcome.booked_at),
            statements=[(number, party) for number, party, _ in outcome.statements],
        )

    @property
    def shown_statement(self) -> Path:
        """The statement that is verified before the reader's eyes: the tenant's with lines in the most pools."""
        tenants = {party.id for party in self._site.parties if party.kind is PartyKind.TENANT}
        pools = {(line["party"], line["pool"]) for line in self._outcome.document["lines"]}
        weighed = [
            (sum(party == owing for owing, _ in pools), number, path)
            for number, party, path in self._outcome.statements
            if party in tenants
        ]
        return max(weighed)[2]

    def result(self) -> RenderableType:
        """Give tree, pools, proof and events."""
        return Group(*self._parts())

    def statement(self, command: Sequence[str], verdict: str) -> RenderableType:
        """Give the command that verifies one statement, and what it said."""
        return Group(
            _heading(say(self._language, "verify")),
            Text("  " + shlex.join(command), no_wrap=True, overflow="ignore"),
            Text("\n".join(f"  {line}" for line in verdict.rstrip().splitlines())),
        )

    def _parts(self) -> Iterator[RenderableType]:
        view, word = self.view, self._word
        yield _heading(f"{word['run']} {view.run_id}")
        yield Text(f"  {word['period']} {view.period}   {word['booked-at']} {view.booked_at} {view.zone}")
        for tile in view.tiles:
            yield Text(f"  {tile.label}: {tile.figure}" + (f" ({tile.note})" if tile.note else ""))
        yield _heading(word["balance"])
        yield self._tree()
        for pool in view.pools:
            yield _heading(f"{pool.name} ({pool.class_name})")
            yield from (Text(f"  {text}") for text in (pool.path, pool.formula, pool.agreement) if text)
            yield self._lines(pool)
            yield self._proof(pool)
        if all(pool.conserves for pool in view.pools):
            yield _heading(say(self._language, "all-conserve", count=len(view.pools)))
        yield from self._events()
        yield _heading(word["statements"])
        yield self._statements()

    def _tree(self) -> Table:
        word = self._word
        table = _table(word["node"], word["energy"], word["children"], word["loss-kwh"], word["band"], word["quality"])
        if self.view.has_export:
            table.columns[1].header = f"{word['energy']} / {word['export']}"
        for row in self.view.tree:
            energy = f"{row.energy} / {row.export}" if row.export else row.energy
            marks = ", ".join(mark.text for mark in row.marks)
            verdict = {True: word["within"], False: word["outside"], None: ""}[row.within]
            loss = f"{row.loss} ({row.loss_share})" if row.loss else ""
            quality = ", ".join(part for part in (verdict, marks) if part)
            table.add_row(Text(f"{row.twig}{row.name}"), energy, row.children, loss, row.band, quality)
        table.columns[-1].justify = "left"
        return table

    def _lines(self, pool: PoolCard) -> Table:
        word = self._word
        weight = [word["weight"]] if pool.is_weighted else []
        table = _table(word["party"], word["unit"], word["energy"], *weight, word["amount"])
        table.columns[1].justify = "left"
        for line in pool.lines:
            table.add_row(line.party, line.unit, line.energy, *([line.weight] if weight else []), line.amount)
        return table

    def _proof(self, pool: PoolCard) -> Text:
        verdict = say(self._language, "conserves" if pool.conserves else "differs")
        sums = say(self._language, "proof", lines=pool.lines_sum, residual=pool.residual, cost=pool.cost)
        bearer = f" ({pool.residual_bearer})" if pool.residual_bearer else ""
        return Text(f"  {self._word['proof']}: {sums}{bearer}: {verdict}")

    def _events(self) -> Iterator[RenderableType]:
        if self.view.cases:
            yield _heading(self._word["cases"])
        for case in self.view.cases:
            yield Text(f"  {case.kind}  {case.node}  {case.span}  {case.reason}")
        for warning in self.view.warnings:
            yield Text(f"  {warning}")
        for gateway, count in self._outcome.refused.items():
            yield Text("  " + say(self._language, "refused", gateway=gateway, count=count))

    def _statements(self) -> Table:
        word = self._word
        table = _table(word["party"], word["number"], word["total"])
        table.columns[1].justify = "left"
        for row in self.view.statements:
            table.add_row(row.party, row.number, row.total)
        table.add_row("", "", self.view.statements_sum)
        return table


def to_text(*parts: RenderableType) -> str:
    """Write parts as plain text of a fixed width."""
    file = io.StringIO()
    console = Console(file=file, width=REPORT_COLUMNS, color_system=None, force_terminal=False)
    for part in parts:
        console.print(part, highlight=False)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 0, 0, 2), header_style="dim")
    table.add_column(Text(first))
    for header in others:
        table.add_column(Text(header), justify="right")
    return table
