"""Every table of a run, as the run page shows it and as CSV gives it: built from the stored document. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from allocation_engine.money import minor_digits, to_minor
from allocation_engine.posting import method_of
from allocation_engine.rules import Rules
from ingest.console.rendering import grouped, local_time, percent
from ingest.console.tables import Cell, Table, money_cell, number_cell, table, words_cell
from ingest.console.words import Language, words
from ingest.engine_words import engine_word
from ingest.posting_words import method_text, posting_words
from metering.identity import NodeId, PartyId, UnitId
from provisioning.site import Site

Document = Mapping[str, Any]
SHOWN = ("checks", "taxes", "methods", "steps", "services", "warnings")
"""The tables that the run page shows as they are; the others it draws in its own way and gives as CSV."""


class RunTables:
    """Turns the document of a run into tables of one language.

    rules        those it was made by; None where this version of the program no longer reads them
    statements   pairs of number and party
    """

    def __init__(
        self,
        site: Site,
        rules: Rules | None,
        document: Document,
        language: Language,
        statements: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._site = site
        self._rules = rules
        self._run = document
        self._language = language
        self._statements = statements
        self._word = {**posting_words(language), **words(language)}
        self._currency = document["currency"]
        self._digits = minor_digits(self._currency)
        self._pools = {pool["id"]: dict(pool["names"]).get(language, pool["id"]) for pool in document["pools"]}

    def all(self) -> dict[str, Table]:
        """Give every table that has rows, by key."""
        made = (
            *(self.balance(), self.lines(), self.days(), self.checks(), self.taxes(), self.methods(), self.steps()),
            *(self.services(), self.warnings(), self.statements(), self.cases()),
        )
        return {one.key: one for one in made if one.rows}

    def balance(self) -> Table:
        """Energy and loss of every node."""
        names = ("node", "energy", "export", "children", "loss-kwh", "loss-share", "band", "quality")
        return self._table("balance", names, self._balance_rows())

    def lines(self) -> Table:
        """Every line with its energy and weight."""
        names = ("pool", "party", "unit", "kind", "energy", "weight", "amount")
        return self._table("lines", names, self._line_rows(), title="all-lines")

    def days(self) -> Table:
        """What each day of a pool cost and which part of it was passed on."""
        return self._table("days", ("pool", "day", "inputs", "passed-on", "day-cost"), self._day_rows())

    def checks(self) -> Table:
        """Every price and sum that a cap limits, with the numbers."""
        names = ("cap", "party", "energy", "charged-for", "price-found", "limit", "verdict", "basis")
        return self._table("checks", names, self._check_rows(), wide=frozenset({2, 4, 7}))

    def taxes(self) -> Table:
        """What each party's charges contain of each tax."""
        names = ("tax", "party", "rate", "net-of-tax", "tax-part", "gross")
        return self._table("taxes", names, self._tax_rows(), wide=frozenset({2, 3}))

    def methods(self) -> Table:
        """The rule of each pool, demand methods among them."""
        names = ("pool", "class", "method", "ground", "cost")
        return self._table("methods", names, self._method_rows(), wide=frozenset({1, 3}))

    def steps(self) -> Table:
        """The steps of charges: demand, capacity, power factor, tiers."""
        names = ("pool", "step", "quantity", "unit-price", "part", "cost", "note")
        return self._table("steps", names, self._step_rows(), wide=frozenset({3, 4, 6}))

    def services(self) -> Table:
        """What each method of settling services would charge, side by side; the one in force is marked."""
        methods = self._run.get("service_methods", [])
        used = {pool["service"]["method"] for pool in self._run["pools"] if pool.get("service")}
        names = [self._word[f"service-{one['method']}"] + (" ✓" if one["method"] in used else "") for one in methods]
        rows = [
            *self._service_rows(methods, "pools", lambda one: self._pools.get(one, one)),
            *self._service_rows(methods, "parties", self._party),
        ]
        refused = "; ".join(
            f"{self._word['service-' + one['method']]}: {one['refused']}" for one in methods if one["refused"]
        )
        columns = (self._word["for"], *names)
        return table("services", self._word["services"], columns, rows, note=refused)

    def warnings(self) -> Table:
        """What the engine remarks."""
        rows = ([words_cell(engine_word(one, self._language))] for one in self._run["warnings"])
        return self._table("warnings", ("remark",), rows)

    def statements(self) -> Table:
        """The statements with what each comes to."""
        totals: dict[str, int] = {}
        for line in self._run["lines"]:
            totals[line["party"]] = totals.get(line["party"], 0) + line["amount_minor"]
        rows = (
            [self._party_cell(party), words_cell(number), self._money(totals.get(party, 0))]
            for number, party in self._statements
        )
        return self._table("statements", ("party", "number", "total"), rows)

    def cases(self) -> Table:
        """Cases of the balance, and metering events."""
        return self._table("cases", ("kind", "node", "from", "until", "reason"), self._case_rows())

    def _table(
        self, key: str, columns: Sequence[str], rows: Any, title: str = "", wide: frozenset[int] = frozenset()
    ) -> Table:
        heads = tuple(self._word[one] for one in columns)
        return table(key, self._word[title or key], heads, rows, note=self._word.get(f"{key}-note", ""), wide=wide)

    def _money(self, amount_minor: int | None) -> Cell:
        return money_cell(amount_minor, self._currency, self._digits)

    def _party(self, party: str) -> str:
        return self._site.party(PartyId(party)).names.of(self._language)

    def _party_cell(self, party: str | None) -> Cell:
        return words_cell(self._word["everybody"]) if party is None else words_cell(self._party(party), party)

    def _node(self, node: str) -> Cell:
        return words_cell(self._site.node(NodeId(node)).names.of(self._language), node)

    def _pool(self, pool: str) -> Cell:
        return words_cell(self._pools.get(pool, pool), pool)

    def _balance_rows(self) -> Iterator[list[Cell]]:
        for row in self._run["balance"]:
            share = percent(row["loss_wh"], row["net_wh"]) if row["loss_wh"] is not None else "–"
            amounts = (number_cell(row[name], 3) for name in ("import_wh", "export_wh", "children_wh", "loss_wh"))
            quality = ", ".join(f"{name.lower()} {count}" for name, count in row["slots_by_quality"])
            yield [
                self._node(row["node"]),
                *amounts,
                Cell(share, share.removesuffix(" %"), True),
                number_cell(row["band_wh"], 3),
                words_cell(quality),
            ]

    def _line_rows(self) -> Iterator[list[Cell]]:
        for line in self._run["lines"]:
            trace, unit = line["trace"], line["unit"]
            weighted = trace.get("total_weight")
            yield [
                self._pool(line["pool"]),
                self._party_cell(line["party"]),
                words_cell("–", "")
                if unit is None
                else words_cell(self._site.unit(UnitId(unit)).names.of(self._language), unit),
                words_cell(self._word.get(f"line-{line['kind']}", line["kind"]), line["kind"]),
                number_cell(sum(line["band_energy_wh"]), 3),
                Cell(percent(trace["weight"], weighted), f"{trace['weight']}/{weighted}", True)
                if weighted
                else words_cell(""),
                self._money(line["amount_minor"]),
            ]

    def _day_rows(self) -> Iterator[list[Cell]]:
        for pool in self._run["pools"]:
            for day in pool["days"]:
                inputs = ", ".join(f"{name} {number}" for name, number, _ in day["inputs"])
                passed = percent(*day["passed_on"])
                cost = self._money(to_minor(day["cost_nano"], self._currency))
                yield [
                    self._pool(pool["id"]),
                    words_cell(day["day"]),
                    words_cell(inputs),
                    Cell(passed, passed.removesuffix(" %"), True),
                    cost,
                ]

    def _check_rows(self) -> Iterator[list[Cell]]:
        for one in self._run.get("checks", ()):
            limit, energy = one["limit_minor"], one["energy_wh"]
            known = None if limit is None else one["charged_minor"] <= limit
            key = "unknown" if known is None else "holds" if known else "fails"
            is_price = one["kind"] == "price"
            yield [
                words_cell(one["cap"]),
                self._party_cell(one["party"]),
                number_cell(energy, 3),
                self._money(one["charged_minor"]),
                self._price(one["charged_minor"], energy) if is_price else words_cell(""),
                self._money(limit),
                words_cell(self._word[key], tone="" if known else "bad"),
                words_cell(engine_word(one["basis"], self._language)),
            ]

    def _price(self, amount_minor: int, energy_wh: int) -> Cell:
        """Write a price per kWh to four decimals, rounded up: a price above its limit never looks like it."""
        if energy_wh <= 0:
            return Cell("–", "", True)
        rate = -(-amount_minor * 10 ** (7 - self._digits) // energy_wh)
        return Cell(grouped(rate, 4), grouped(rate, 4).replace(",", ""), True)

    def _tax_rows(self) -> Iterator[list[Cell]]:
        for one in self._run.get("taxes", ()):
            rate = percent(one["percent"][0], one["percent"][1] * 100)
            gross, tax = one["gross_minor"], one["tax_minor"]
            name = words_cell(dict(one["names"]).get(self._language, one["tax"]), one["tax"])
            yield [
                name,
                self._party_cell(one["party"]),
                Cell(rate, rate.removesuffix(" %"), True),
                *map(self._money, (gross - tax, tax, gross)),
            ]

    def _method_rows(self) -> Iterator[list[Cell]]:
        for pool in self._run["pools"] if self._rules is not None else ():
            assert self._rules is not None
            ground = engine_word(pool.get("ground", ""), self._language)
            fallback = engine_word(pool["fallback"] or "", self._language)
            yield [
                self._pool(pool["id"]),
                words_cell(self._word[f"class-{pool['pool_class']}"], pool["pool_class"]),
                words_cell(method_text(method_of(pool, self._run, self._rules), self._language)),
                words_cell("; ".join(one for one in (ground, fallback) if one) or "–"),
                self._money(pool["cost_minor"]),
            ]

    def _step_rows(self) -> Iterator[list[Cell]]:
        for pool in self._run["pools"]:
            for step in pool.get("steps", ()):
                part = Fraction(*step["part"])
                nano = Fraction(step["quantity_milli"] * step["rate_micro"]) * part
                yield [
                    self._pool(pool["id"]),
                    words_cell(engine_word(step["what"], self._language)),
                    Cell(
                        f"{grouped(step['quantity_milli'], 3)} {step['unit']}",
                        f"{grouped(step['quantity_milli'], 3)} {step['unit']}".replace(",", ""),
                        True,
                    ),
                    number_cell(step["rate_micro"], 6),
                    words_cell(str(part)),
                    self._money(to_minor(round(nano), self._currency)),
                    words_cell(engine_word(step["note"], self._language)),
                ]

    def _service_rows(self, methods: Sequence[Document], kind: str, name: Any) -> Iterator[list[Cell]]:
        found = list(dict.fromkeys(subject for one in methods for subject, _ in one[kind]))
        for subject in found:
            amounts = (dict(one[kind]).get(subject) for one in methods)
            yield [words_cell(name(subject), subject), *map(self._money, amounts)]

    def _case_rows(self) -> Iterator[list[Cell]]:
        for case in self._run["cases"]:
            text = engine_word(case["text"], self._language)
            label = words_cell(self._run["label"])
            yield [
                words_cell(self._word["outside"], tone="bad"),
                self._node(case["node"]),
                label,
                words_cell(""),
                words_cell(text, case["text"]),
            ]
        for one in self._run.get("exceptions", ()):
            ends = (local_time(datetime.fromisoformat(one[side]), self._site.calendar) for side in ("start", "end"))
            basis = words_cell(engine_word(one["basis"], self._language))
            yield [
                words_cell(self._word[f"reason-{one['reason']}"], one["reason"]),
                self._node(one["node"]),
                *map(words_cell, ends),
                basis,
            ]
