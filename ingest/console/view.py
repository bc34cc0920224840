"""What the run page shows, as texts: built from a stored run and the site version it was made with. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allocation_engine.money import to_minor
from allocation_engine.run_state import RunState
from ingest.console.rendering import kwh, kwh_short, local_time, money, percent
from ingest.console.words import Language, words
from metering.identity import NodeId, PartyId, UnitId
from metering.interval import SLOT
from provisioning.site import Site

PATH_NAMES = 4
"""More metering points than this are counted, not named."""
_TONES = {"rollover": "plain", "exchange": "plain", "estimated": "warn", "missing": "bad", "held": "bad"}
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure on top of the page."""

    label: str
    figure: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A small label; `tone` is its colour class."""

    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One node of the tree. `within` is None for a node without children."""

    node: str
    name: str
    depth: int
    twig: str
    energy: str
    export: str
    children: str
    loss: str
    loss_share: str
    band: str
    within: bool | None
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line of a pool."""

    party: str
    unit: str
    energy: str
    weight: str
    amount: str
    is_provisional: bool = False


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day of a pool whose cost is passed on by a formula: what drove it, and the part it gave."""

    day: str
    inputs: tuple[str, ...]
    passed_on: str
    cost: str


@dataclass(frozen=True, slots=True)
class PoolCard:
    """One pool with its lines and the proof that they add up.

    formula, agreement, series, days   empty where the pool has none
    passed_on                          which part of the cost the lines carry; empty where all of it
    """

    name: str
    class_name: str
    path: str
    formula: str
    agreement: str
    cost: str
    energy: str
    lines: tuple[LineRow, ...]
    lines_sum: str
    residual: str
    residual_bearer: str
    passed_on: str
    conserves: bool
    is_weighted: bool
    series: tuple[str, ...]
    days: tuple[DayRow, ...]


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One statement."""

    number: str
    party: str
    total: str


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case or an exception."""

    kind: str
    tone: str
    node: str
    span: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunView:
    """The whole page."""

    run_id: str
    period: str
    zone: str
    booked_at: str
    approvable: bool
    state: RunState
    has_export: bool
    tiles: tuple[Tile, ...]
    tree: tuple[TreeRow, ...]
    pools: tuple[PoolCard, ...]
    statements: tuple[StatementRow, ...]
    statements_sum: str
    verify_command: str
    cases: tuple[CaseRow, ...]
    warnings: tuple[str, ...]


class RunReader:
    """Turns the document of a run into texts of one language."""

    def __init__(self, site: Site, document: Document, language: Language, provisional: Collection[str] = ()) -> None:
        """`provisional`: ids of the lines that rest on something nobody has approved."""
        self._site = site
        self._provisional = provisional
        self._document = document
        self._language = language
        self._word = words(language)
        self._currency = document["currency"]
        self._balance = {row["node"]: row for row in document["balance"]}

    def read(
        self, *, booked_at: datetime, statements: Sequence[tuple[str, str]], state: RunState = RunState.COMPUTED
    ) -> RunView:
        """Build the page; `statements` are pairs of number and party."""
        document = self._document
        total = sum(line["amount_minor"] for line in document["lines"])
        return RunView(
            run_id=document["id"],
            period=document["label"],
            zone=document["zone"],
            booked_at=local_time(booked_at, self._site.calendar),
            approvable=document["approvable"],
            state=state,
            has_export=any(row["export_wh"] for row in document["balance"]),
            tiles=tuple(self._tiles()),
            tree=tuple(self._tree()),
            pools=tuple(self._pool(pool) for pool in document["pools"]),
            statements=tuple(self._statement(number, party) for number, party in statements),
            statements_sum=self._money(total),
            verify_command=f"metertree verify {statements[-1][0]}.json --key centre.pub" if statements else "",
            cases=tuple(self._cases()),
            warnings=tuple(document["warnings"]),
        )

    def _money(self, amount_minor: int) -> str:
        return money(amount_minor, self._currency)

    def _node(self, node: str) -> str:
        return self._site.node(NodeId(node)).names.of(self._language)

    def _party(self, party: str) -> str:
        return self._site.party(PartyId(party)).names.of(self._language)

    def _unit(self, unit: str | None) -> str:
        return "–" if unit is None else self._site.unit(UnitId(unit)).names.of(self._language)

    def _tiles(self) -> Iterator[Tile]:
        word, sums = self._word, self._document["reconciliation"]
        owner = self._site.owner.id
        by_owner = sum(line["amount_minor"] for line in self._document["lines"] if line["party"] == owner)
        tops = [self._balance[node] for node, depth, _ in self._walk() if depth == 0]
        loss_wh = sum(row["loss_wh"] or 0 for row in tops)
        yield Tile(word["main-energy"], f"{kwh_short(sums['supply_wh'])} kWh", self._money(sums["supply_minor"]))
        yield Tile(word["loss"], f"{kwh_short(loss_wh)} kWh", percent(loss_wh, sum(row["net_wh"] for row in tops)))
        yield Tile(word["pools-cost"], self._money(sums["pooled_minor"]))
        yield Tile(word["charged"], self._money(sums["pooled_minor"] - by_owner))
        yield Tile(word["owner-bears"], self._money(by_owner), word["owner-note"])
        yield Tile(word["unshared"], self._money(sums["unshared_minor"]), word["unshared-note"])

    def _walk(self) -> Iterator[tuple[str, int, str]]:
        """Give node, depth and drawn twig of each node, parents first, as the tree was when the period ended."""
        instant = datetime.fromisoformat(self._document["period"]["end"]) - SLOT
        nodes = self._site.nodes
        children: dict[str | None, list[str]] = {}
        for node in nodes:
            children.setdefault(node.parent_at(instant), []).append(node.id)

        def below(parent: str | None, trunk: str, depth: int) -> Iterator[tuple[str, int, str]]:
            siblings = children.get(parent, [])
            for node in siblings:
                last = node == siblings[-1]
                yield node, depth, "" if depth == 0 else trunk + ("└ " if last else "├ ")
                yield from below(node, "" if depth == 0 else trunk + ("  " if last else "│ "), depth + 1)

        return below(None, "", 0)

    def _tree(self) -> Iterator[TreeRow]:
        for node, depth, twig in self._walk():
            row = self._balance[node]
            parent = row["children_wh"] is not None
            yield TreeRow(
                node=node,
                name=self._node(node),
                depth=depth,
                twig=twig,
                energy=kwh(row["import_wh"]),
                export=kwh(row["export_wh"]) if row["export_wh"] else "",
                children=kwh(row["children_wh"]) if parent else "",
                loss=kwh(row["loss_wh"]) if parent else "",
                loss_share=percent(row["loss_wh"], row["net_wh"]) if parent else "",
                band=kwh(row["band_wh"]) if parent else "",
                within=abs(row["loss_wh"]) <= row["band_wh"] if parent else None,
                marks=tuple(self._marks(row)),
            )

    def _marks(self, row: Document) -> Iterator[Mark]:
        for quality, count in row["slots_by_quality"]:
            name = quality.lower()
            if name in _TONES:
                yield Mark(f"{self._word['quality-' + name]} {count}", _TONES[name])

    def _pool(self, pool: Document) -> PoolCard:
        lines = [line for line in self._document["lines"] if line["pool"] == pool["id"]]
        shares = [line for line in lines if line["kind"] != "residual"]
        residuals = [line for line in lines if line["kind"] == "residual"]
        terms = self._document["terms"].get(pool["id"], {})
        charged = sum(line["amount_minor"] for line in shares)
        residual = sum(line["amount_minor"] for line in residuals)
        return PoolCard(
            name=str(dict(pool["names"]).get(self._language, pool["id"])),
            class_name=self._word[f"class-{pool['pool_class']}"],
            path=self._path(pool),
            formula=terms.get("formula") or "",
            agreement=terms.get("agreement") or "",
            cost=self._money(pool["cost_minor"]),
            energy=kwh(sum(sum(line["band_energy_wh"]) for line in shares)),
            lines=tuple(self._line(line) for line in shares),
            lines_sum=self._money(charged),
            residual=self._money(residual),
            residual_bearer=", ".join(sorted({self._party(line["party"]) for line in residuals})),
            passed_on=percent(charged, charged + residual) if residuals else "",
            conserves=charged + residual == pool["cost_minor"],
            is_weighted=any("weight" in line["trace"] for line in shares),
            series=tuple(name for name, _, _ in pool["days"][0]["inputs"]) if pool["days"] else (),
            days=tuple(self._day(day) for day in pool["days"]),
        )

    def _path(self, pool: Document) -> str:
        nodes = pool["path"]
        if len(nodes) > PATH_NAMES:
            return self._word["nodes-count"].format(count=len(nodes))
        return " + ".join(self._node(node) for node in nodes)

    def _day(self, day: Document) -> DayRow:
        return DayRow(
            day=day["day"],
            inputs=tuple(
                number if observed == day["day"] else f"{number} ({observed})" for _, number, observed in day["inputs"]
            ),
            passed_on=percent(*day["passed_on"]),
            cost=self._money(to_minor(day["cost_nano"], self._currency)),
        )

    def _line(self, line: Document) -> LineRow:
        trace = line["trace"]
        weighted = "weight" in trace
        return LineRow(
            party=self._party(line["party"]),
            unit=self._unit(line["unit"]),
            energy=kwh(sum(line["band_energy_wh"])),
            weight=percent(trace["weight"], trace["total_weight"]) if weighted else "",
            amount=self._money(line["amount_minor"]),
            is_provisional=line.get("id") in self._provisional,
        )

    def _statement(self, number: str, party: str) -> StatementRow:
        total = sum(line["amount_minor"] for line in self._document["lines"] if line["party"] == party)
        return StatementRow(number, self._party(party), self._money(total))

    def _cases(self) -> Iterator[CaseRow]:
        for case in self._document["cases"]:
            reason = f"{kwh(case['loss_wh'])} kWh, ± {kwh(case['band_wh'])} kWh"
            yield CaseRow(self._word["outside"], "bad", self._node(case["node"]), self._document["label"], reason)
        for item in self._document["exceptions"]:
            start, end = (
                local_time(datetime.fromisoformat(item[side]), self._site.calendar) for side in ("start", "end")
            )
            yield CaseRow(
                kind=self._word[f"reason-{item['reason']}"],
                tone=_TONES.get(item["quality"], "plain"),
                node=self._node(item["node"]),
                span=start if start == end else f"{start} – {end[11:] if end[:10] == start[:10] else end}",
                reason=item["basis"],
            )
