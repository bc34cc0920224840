"""The posting as a page to print and hang up: tables in one language, from the posting's content alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allocation_engine.media import Medium, show_amount
from allocation_engine.money import minor_digits
from allocation_engine.posting import CROWD_MIN
from allocation_engine.publication import Publication
from allocation_engine.run_state import RunState
from ingest.console.answers import templates
from ingest.console.rendering import grouped, kwh, local_time, percent
from ingest.console.tables import Cell, Table, money_cell, number_cell, table, words_cell
from ingest.console.words import Language, words
from ingest.engine_words import engine_word
from ingest.inclusion_words import grouped as grouped_digest
from ingest.posting_words import method_text, posting_words
from metering.identity import NodeId, PartyId
from provisioning.site import Site

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PostingView:
    """What the page shows."""

    language: Language
    word: Mapping[str, str]
    site: str
    period: str
    label: str
    run: str
    standing: str
    is_final: bool
    root: tuple[str, str]
    command: str
    privacy: str
    tables: tuple[Table, ...]
    warnings: tuple[str, ...]


def read_posting(
    posting: Document, site: Site, language: Language, state: RunState, published: Publication | None
) -> PostingView:
    """Build the page."""
    reader = _Reader(posting, site, language)
    word = reader.word
    first, last = (datetime.fromisoformat(one) for one in posting["period"])
    start, end = (local_time(one, site.calendar) for one in (first, last))
    is_final = state is RunState.PUBLISHED and published is not None
    standing = word["superseded" if state is RunState.SUPERSEDED else "provisional"]
    if is_final and published is not None:
        at = local_time(published.published_at, site.calendar)
        standing = word["published"].format(at=at, checked=published.checked_by, approved=published.approved_by)
    return PostingView(
        language=language,
        word=word,
        site=site.names.of(language),
        period=f"{start} {word['to']} {end} ({posting['zone']})",
        label=posting["label"],
        run=posting["id"],
        standing=standing,
        is_final=is_final,
        root=_halves(posting["root"]),
        command="metertree verify STATEMENT.json --key centre.pub --posting POSTING.json",
        privacy=word["privacy"].format(crowd=CROWD_MIN),
        tables=tuple(one for one in reader.tables() if one.rows),
        warnings=tuple(engine_word(one, language) for one in posting["warnings"]),
    )


def posting_html(view: PostingView) -> str:
    """Give the page: one file with its own style, nothing loaded from elsewhere, A4 when printed."""
    return templates().get_template("posting.html").render(view=view, word=view.word, language=view.language)


def _halves(digest: str) -> tuple[str, str]:
    half = len(digest) // 4
    return grouped_digest(bytes.fromhex(digest)[:half]), grouped_digest(bytes.fromhex(digest)[half:])


def _short(micro: int) -> str:
    """Write a price in 10^-6 with at least four decimals."""
    text = grouped(micro, 6)
    return text[:-2] if text.endswith("00") else text


class _Reader:
    def __init__(self, posting: Document, site: Site, language: Language) -> None:
        self._posting = posting
        self._site = site
        self._language = language
        self.word = posting_words(language)
        self._classes = words(language)
        self._currency = posting["currency"]
        self._digits = minor_digits(self._currency)
        self._media = {band["tariff"]: Medium(band["medium"]) for band in posting["prices"]}
        self._names = {pool["id"]: pool["names"][language] for pool in posting["pools"]}

    def tables(self) -> Iterator[Table]:
        """Give every table in the order of the page."""
        word, kept = self.word, {"wide": frozenset[int]()}
        pool = (word["pool"], word["class"], word["method"], word["ground"], word["bearer"])
        sums = (word["pool"], word["tenants"], word["energy"], word["cost"], word["tenants-pay"], word["owner-pays"])
        loss = tuple(word[one] for one in ("node", "net", "children", "loss", "share", "band-wh", "verdict"))
        caps = (word["check"], word["found"], word["limit"], word["verdict"])
        yield table("sums", word["sums"], sums, self._sums(), note=self._rest(), **kept)
        yield table("methods", word["methods"], pool, self._pools())
        yield table("prices", word["prices"], (word["tariff"], word["band"], word["price"]), self._prices())
        yield table("caps", word["caps"], caps, self._caps())
        yield table("bought", word["bought"], (word["item"], word["energy"], word["money"]), self._bought())
        yield table("losses", word["losses"], loss, self._losses())
        yield table("taxes", word["taxes"], (word["item"], "%", "", word["source"]), self._taxes())

    def _money(self, amount_minor: int | None) -> Cell:
        if amount_minor is None:
            return Cell(self.word["hidden"], "", is_number=True)
        return money_cell(amount_minor, self._currency, self._digits)

    def _energy(self, amounts: Mapping[str, int] | None) -> Cell:
        if amounts is None:
            return Cell(self.word["hidden"], "", is_number=True)
        by_medium: dict[Medium, int] = {}
        for tariff, amount in amounts.items():
            medium = self._media[tariff]
            by_medium[medium] = by_medium.get(medium, 0) + amount
        shown = [
            f"{kwh(wh)} kWh" if one is Medium.ELECTRICITY else show_amount(wh, one) for one, wh in by_medium.items()
        ]
        plain = " + ".join(show_amount(amount, one) for one, amount in by_medium.items())
        return Cell(" + ".join(shown) or "–", plain, is_number=True)

    def _sums(self) -> Iterator[list[Cell]]:
        for one in self._posting["sums"]:
            count = one["tenants"]
            yield [
                words_cell(" + ".join(self._names[pool] for pool in one["pools"])),
                Cell(self.word["hidden"], "", is_number=True) if count is None else number_cell(count, 0),
                self._energy(one["energy"]),
                *(self._money(one[name]) for name in ("cost_minor", "tenants_minor", "owner_minor")),
            ]
        totals = self._posting["totals"]
        amounts = (self._money(totals[name]) for name in ("pooled_minor", "tenants_minor", "owner_minor"))
        yield [words_cell(self.word["all"], tone="sum"), words_cell(""), words_cell(""), *amounts]

    def _rest(self) -> str:
        unshared = self._money(self._posting["totals"]["unshared_minor"]).text
        return f"{self.word['unshared']}: {unshared}"

    def _pools(self) -> Iterator[list[Cell]]:
        for pool in self._posting["pools"]:
            bearers = ", ".join(self._site.party(PartyId(one)).names.of(self._language) for one in pool["bearers"])
            ground = engine_word(pool["ground"], self._language)
            fallback = engine_word(pool["fallback"] or "", self._language)
            yield [
                words_cell(self._names[pool["id"]], pool["id"]),
                words_cell(self._classes[f"class-{pool['class']}"]),
                words_cell(method_text(pool["method"], self._language)),
                words_cell("; ".join(one for one in (ground, fallback) if one) or "–"),
                words_cell(bearers or self.word["everybody"]),
            ]

    def _prices(self) -> Iterator[list[Cell]]:
        for band in self._posting["prices"]:
            tariff = self.word["tariff-main"] if band["tariff"] == "main" else band["tariff"]
            rate = _short(band["rate_micro"])
            price = Cell(f"{rate} {self._currency}/{band['per']}", rate, is_number=True)
            name = self.word.get(f"band-{band['name']}", band["name"])
            yield [words_cell(f"{tariff} ({band['version']})"), words_cell(name, band["name"]), price]

    def _caps(self) -> Iterator[list[Cell]]:
        for cap in self._posting["caps"]:
            name = cap["names"][self._language]
            told = self.word["cap-prices"].format(name=name, count=cap["prices"])
            told += self.word["cap-failing"].format(failing=cap["failing"]) if cap["failing"] else ""
            terms = {"base": self._micro(cap["base_micro"]), "uplift": percent(*cap["uplift"])}
            how = self.word[cap["reference"]].format(**terms)
            found, limit = (self._price(cap[one]) for one in ("highest_nano_per_wh", "limit_nano_per_wh"))
            yield [words_cell(f"{told} — {how}; {cap['source']}"), found, limit, self._verdict(cap["failing"] == 0)]
            basis = engine_word(cap["sum_basis"], self._language)
            whole = words_cell(f"{self.word['cap-sum'].format(name=name)} — {basis}")
            known = None if cap["limit_minor"] is None else cap["sum_holds"]
            yield [
                whole,
                self._money(cap["charged_minor"]),
                money_cell(cap["limit_minor"], self._currency, self._digits),
                self._verdict(known),
            ]

    def _verdict(self, holds: bool | None) -> Cell:
        key = "unknown" if holds is None else "holds" if holds else "fails"
        return words_cell(self.word[key], tone="" if holds else "bad")

    def _micro(self, micro: int | None) -> str:
        return "" if micro is None else f"{_short(micro)} {self._currency}/kWh"

    def _price(self, nano_per_wh: int | None) -> Cell:
        """Write 10^-9 minor units per Wh as currency units per kWh."""
        if nano_per_wh is None:
            return Cell(self.word["hidden"], "", is_number=True)
        micro = -(-nano_per_wh // 10**self._digits)
        return Cell(self._micro(micro), grouped(micro, 6), is_number=True)

    def _bought(self) -> Iterator[list[Cell]]:
        bought = self._posting["bought"]
        energy = Cell(f"{kwh(bought['supply_wh'])} kWh", kwh(bought["supply_wh"]), is_number=True)
        name = f"{self.word['supply']}, {self.word['by-tariff']}"
        yield [words_cell(name), energy, self._money(bought["supply_minor"])]
        if bought["charges_minor"]:
            yield [words_cell(self.word["charges"]), words_cell(""), self._money(bought["charges_minor"])]
        for bill in bought["invoices"]:
            told = self.word["invoice"].format(numbers=", ".join(bill["numbers"]))
            amount = f"{grouped(bill['energy_milli'], 3)} {bill['per']}"
            yield [words_cell(told), Cell(amount, amount, is_number=True), self._money(bill["amount_minor"])]

    def _losses(self) -> Iterator[list[Cell]]:
        for row in self._posting["losses"]:
            share = percent(row["loss_wh"], row["net_wh"])
            inside = abs(row["loss_wh"]) <= row["band_wh"]
            yield [
                words_cell(self._site.node(NodeId(row["node"])).names.of(self._language), row["node"]),
                *(number_cell(row[name], 3) for name in ("net_wh", "children_wh", "loss_wh")),
                Cell(share, share, is_number=True),
                number_cell(row["band_wh"], 3),
                words_cell(self.word["inside" if inside else "outside"], tone="" if inside else "bad"),
            ]

    def _taxes(self) -> Iterator[list[Cell]]:
        for tax in self._posting["taxes"]:
            rate = percent(tax["percent"][0], tax["percent"][1] * 100)
            kind = self.word["included" if tax["included"] else "added"]
            name = tax["names"][self._language]
            yield [
                words_cell(name, tax["id"]),
                Cell(rate, rate, is_number=True),
                words_cell(kind),
                words_cell(tax["source"]),
            ]
