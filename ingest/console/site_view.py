"""What the pages of a site show, from the document of a run and the version of the site it was made with. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ingest.console.flows import Branch
from ingest.console.rendering import kwh, kwh_short, percent
from ingest.console.site_map import Hung
from ingest.console.tables import Cell, Table, number_cell, table, words_cell
from ingest.console.words import Language
from ingest.site_words import site_words
from metering.identity import NodeId
from metering.interval import SLOT
from provisioning.place import degrees_text
from provisioning.site import Node, Site

KWH = 3
PLAIN_QUALITY = "MEASURED"
Document = Mapping[str, Any]


class SiteBalance:
    """The balance of a period: every node with its energy, its children's, and what is between."""

    def __init__(self, site: Site, document: Document, language: Language) -> None:
        self._site = site
        self._language = language
        self._word = site_words(language)
        self._rows: dict[str, Document] = {row["node"]: row for row in document["balance"]}
        # As the tree was when the period ended.
        self._instant = datetime.fromisoformat(document["period"]["end"]) - SLOT
        self._below: dict[NodeId | None, list[Node]] = {}
        for node in site.nodes:
            if node.id in self._rows:
                self._below.setdefault(node.parent_at(self._instant), []).append(node)

    def branches(self, below: NodeId | None = None) -> tuple[Branch, ...]:
        """Give the whole tree, or the branch of one node."""
        tops = self._below.get(None, []) if below is None else [self._site.node(below)]
        return tuple(self._branch(node) for node in tops if node.id in self._rows)

    def _branch(self, node: Node) -> Branch:
        row, name = self._rows[node.id], node.names.of(self._language)
        net, loss = row["net_wh"], row["loss_wh"]
        return Branch(
            node=node.id,
            name=name,
            energy=net,
            shown=f"{kwh_short(net)} kWh",
            loss=loss,
            loss_shown="" if loss is None else self._loss_words(name, loss, net),
            is_within=self.is_within(row),
            children=tuple(self._branch(child) for child in self._below.get(node.id, ())),
        )

    def _loss_words(self, name: str, loss: int, net: int) -> str:
        told = self._word["loses" if loss >= 0 else "gains"]
        return told.format(name=name, loss=kwh_short(abs(loss)), share=percent(loss, net))

    def above(self, node: NodeId) -> tuple[tuple[NodeId, str], ...]:
        """Give the nodes over one, from the top, with their names."""
        found: list[tuple[NodeId, str]] = []
        over = self._site.node(node).parent_at(self._instant)
        while over is not None:
            found.append((over, self._site.node(over).names.of(self._language)))
            over = self._site.node(over).parent_at(self._instant)
        return tuple(reversed(found))

    @staticmethod
    def is_within(row: Document) -> bool:
        """Say whether a node's loss can be the inaccuracy of its meters."""
        return row["loss_wh"] is None or abs(row["loss_wh"]) <= row["band_wh"]

    @property
    def net(self) -> int:
        """What came in at the top of the tree [Wh]."""
        return sum(self._rows[node.id]["net_wh"] for node in self._below.get(None, ()))

    @property
    def lost(self) -> int:
        """What was lost right below the top [Wh]."""
        return sum(self._rows[node.id]["loss_wh"] or 0 for node in self._below.get(None, ()))

    @property
    def outside(self) -> int:
        """How many nodes lose more, or less, than their meters' inaccuracy explains."""
        return sum(1 for row in self._rows.values() if not self.is_within(row))

    def tiles(self) -> Iterator[dict[str, str]]:
        """Give the figures on top of the page."""
        net, lost, outside = self.net, self.lost, self.outside
        slots = [(name, count) for row in self._rows.values() for name, count in row["slots_by_quality"]]
        inexact = sum(count for name, count in slots if name.upper() != PLAIN_QUALITY)
        word = self._word
        yield {"label": word["main-energy"], "figure": f"{kwh_short(net)} kWh", "note": ""}
        yield {"label": word["loss"], "figure": percent(lost, net), "note": f"{kwh_short(lost)} kWh"}
        yield {
            "label": word["outside"],
            "figure": str(outside),
            "note": word["outside-note"],
            "tone": "bad" if outside else "",
        }
        yield {"label": word["inexact"], "figure": f"{inexact:,}", "note": word["inexact-note"]}

    def table(self) -> Table:
        """Give the balance as a table, parents before children."""
        word = self._word
        names = ("id", "node", "kind", "net", "children", "loss-kwh", "loss-share", "band", "verdict")
        return table(
            "balance", word["balance"], (word[name] for name in names), self._table_rows(), wide=frozenset({2, 4, 6, 7})
        )

    def _table_rows(self) -> Iterator[list[Cell]]:
        for node, depth in self._walk(None, 0):
            row = self._rows[node.id]
            net, loss = row["net_wh"], row["loss_wh"]
            name = node.names.of(self._language)
            is_end = loss is None
            verdict = words_cell("")
            if not is_end:
                within = self.is_within(row)
                verdict = words_cell(
                    self._word["within" if within else "out-of-band"], tone="good" if within else "bad"
                )
            yield [
                words_cell(node.id),
                words_cell("\u2003" * depth + name, name),
                words_cell(self._word[f"kind-{node.kind}"]),
                number_cell(net, KWH),
                number_cell(row["children_wh"], KWH),
                number_cell(loss, KWH),
                words_cell("" if is_end else percent(loss, net)),
                words_cell("" if is_end else kwh(row["band_wh"])),
                verdict,
            ]

    def nodes(self) -> tuple[NodeId, ...]:
        """Give the nodes in the order of the table."""
        return tuple(node.id for node, _ in self._walk(None, 0))

    def tone(self, node: NodeId) -> str:
        """Give the tone of a node: bad where its loss is outside the band."""
        row = self._rows.get(node)
        return "" if row is None or self.is_within(row) else "bad"

    def _walk(self, over: NodeId | None, depth: int) -> Iterator[tuple[Node, int]]:
        for node in self._below.get(over, ()):
            yield node, depth
            yield from self._walk(node.id, depth + 1)


def curve_href(site: str, node: str) -> str:
    """Give the page of a node's curve."""
    return f"/series/{quote(site, safe='')}/{quote(node, safe='')}"


def hung_meters(site: Site, balance: SiteBalance | None, language: Language) -> tuple[Hung, ...]:
    """Give the meters with coordinates that hang now."""
    return tuple(
        Hung(
            f"{site.node(meter.node).names.of(language)} · {meter.serial}",
            (meter.place.lat_e7, meter.place.lon_e7),
            curve_href(site.id, meter.node),
            "" if balance is None else balance.tone(meter.node),
        )
        for meter in site.meters
        if meter.place is not None and meter.span.end is None
    )


def places_table(site: Site, language: Language) -> Table:
    """Give every meter that hangs now with its place, for a spreadsheet or another map."""
    word = site_words(language)
    names = ("meter", "serial", "model", "node", "place-lat", "place-lon", "place-note")
    rows = (
        [
            words_cell(meter.id),
            words_cell(meter.serial),
            words_cell(meter.profile),
            words_cell(site.node(meter.node).names.of(language)),
            words_cell("" if meter.place is None else degrees_text(meter.place.lat_e7)),
            words_cell("" if meter.place is None else degrees_text(meter.place.lon_e7)),
            words_cell("" if meter.place is None else meter.place.note or ""),
        ]
        for meter in site.meters
        if meter.span.end is None
    )
    return table("places", word["map"], (word[name] for name in names), rows)
