"""What the review page shows of a run, as texts of one language: verdict, needs, stages, sums, findings, log. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allocation_engine.money import minor_digits
from allocation_engine.run_state import RunState, same_actor
from ingest.alert_words import span_words
from ingest.console.rendering import grouped, kwh, local_time, money, percent
from ingest.console.review_lines import money_signed
from ingest.console.review_words import period_words, review_words, took_words
from ingest.console.tables import Cell, Table, money_cell, table, words_cell
from ingest.console.words import Language, words
from ingest.review.outliers import Against, Outlier
from ingest.review.stages import Stage, waiting_since
from ingest.review.verdict import Needed
from ingest.review_desk import Kept, Review
from ingest.run_words import signed
from metering.errors import MeteringError
from metering.identity import NodeId

OUTLIERS_SHOWN = 8
NEED_PLACES: Mapping[Needed, str] = {
    Needed.BROKEN: "#totals",
    Needed.REASONS: "#findings",
    Needed.BINDINGS: "details#provisional",
    Needed.CHANGED: "details#changed",
    Needed.INVOICE: "#totals",
    Needed.OUTLIERS: "#outliers",
    Needed.ESTIMATED: "details#balance",
    Needed.WARNINGS: "details#warnings",
}
"""Where each need is dealt with; `details` is the page of the whole run."""
_NEXT = {RunState.COMPUTED: "check", RunState.CHECKED: "approve", RunState.APPROVED: "publish"}
_BADGES = {RunState.PUBLISHED: "good", RunState.SUPERSEDED: "plain", RunState.DRAFT: "plain"}


def state_tone(state: RunState) -> str:
    """Give the colour of a state: what still goes through hands is told apart from what is final or over."""
    return _BADGES.get(state, "info")


@dataclass(frozen=True, slots=True)
class Step:
    """The next step of a run, as this reader may take it or not. why_not: what stands in his way, in words."""

    key: str
    title: str
    note: str
    why_not: str

    @property
    def may(self) -> bool:
        """Say whether the reader may take it now."""
        return bool(self.key) and not self.why_not


def stage_steps(
    stages: Sequence[Stage], now: datetime, calendar: Any, language: Language
) -> list[tuple[str, str, str]]:
    """Give the stages as the steps of a bar: name, how long it took or when it was, and its tone."""
    word, since = review_words(language), waiting_since(stages)
    shown: list[tuple[str, str, str]] = []
    for one in stages:
        name = word[f"stage-{one.mark}"]
        is_next = since is not None and one.at is None and not any(each[2] == "now" for each in shown)
        if one.took is not None:
            shown.append((name, took_words(one.took, language), "done"))
        elif one.at is not None:
            shown.append((name, local_time(one.at, calendar), "done"))
        elif is_next and one.mark != "complete" and since is not None and since.at is not None:
            shown.append((name, word["stage-waits"].format(span=span_words(now - since.at, language)), "now"))
        else:
            later = any(each.is_reached for each in stages[stages.index(one) + 1 :])
            shown.append((name, word["stage-unknown"] if later else "", "done" if later else ""))
    return shown


class ReviewView:
    """Turns a review into texts. `details`: address of the page of the whole run."""

    def __init__(self, review: Review, language: Language, now: datetime) -> None:
        self.review = review
        self._kept: Kept = review.kept
        self._language = language
        self._now = now
        self._word = {**words(language), **review_words(language)}
        self.currency = str(self._kept.document["currency"])
        self._digits = minor_digits(self.currency)
        self._names = self._kept.sheet.names[str(language)]
        self.details = f"/runs/{review.head.run}"

    # The first thing to read

    @property
    def verdict(self) -> dict[str, Any]:
        """Say whether the run adds up, with the sums that make it."""
        sums, word = self._kept.sums, self._word
        key = "holds" if sums.adds_up else "breaks"
        count = sum(pool.lines for pool in sums.pools)
        return {
            "tone": "good" if sums.adds_up else "bad",
            "title": word[key],
            "note": word[f"{key}-note"].format(lines=f"{count:,}"),
            "bought": self.money(sums.supply_minor + sums.charges_minor),
            "parts": [
                (word["tenants-pay"], self.money(sums.tenants_minor), self._against_before()),
                (word["owner-pays"], self.money(sums.owner_minor), word["owner-note"]),
                (word["unpooled"], self.money(sums.unshared_minor), word["unpooled-note"]),
            ],
        }

    def _against_before(self) -> str:
        owner = self._kept.site.owner.id
        lines = self._kept.sheet.lines
        before = sum(line.before_minor for line in lines if line.party != owner)
        if self._kept.sheet.before is None or not before:
            return self._word["no-before"]
        delta = self._kept.sums.tenants_minor - before
        change = ("+" if delta > 0 else "") + percent(delta, before)
        return self._word["against-before"].format(period=period_words(self._kept.sheet.before_period), change=change)

    @property
    def needs(self) -> list[dict[str, Any]]:
        """List what the run needs of people."""
        return [
            {
                "count": one.count,
                "text": self._word[f"need-{one.what}" + ("-1" if one.count == 1 else "")],
                "href": NEED_PLACES[one.what].replace("details", self.details),
                "tone": "bad" if one.blocks else "warn",
                "blocks": one.blocks,
            }
            for one in self.review.needs
        ]

    @property
    def calm(self) -> tuple[str, str]:
        """Say what there is to say where nothing is needed."""
        state = self.review.head.state
        known = {RunState.PUBLISHED: "-published", RunState.SUPERSEDED: "-superseded", RunState.DRAFT: "-draft"}
        return self._word["needs-none"], self._word[f"needs-none{known.get(state, '-note')}"]

    @property
    def stages(self) -> list[tuple[str, str, str]]:
        """Give the stages as steps."""
        found = self.review.stages.stages
        return stage_steps(found, self._now, self._kept.site.calendar, self._language)

    @property
    def machine(self) -> str:
        """Say how long the machine took, where that is known."""
        took = self.review.stages.computing
        return "" if took is None else self._word["machine-took"].format(span=took_words(took, self._language))

    # What can be done

    def step(self, who: str, may: bool, roles: str) -> Step:
        """Give the next step for a reader. who: his name if he is signed in; may: his role allows it."""
        head, word = self.review.head, self._word
        key = _NEXT.get(head.state, "")
        if not key:
            over = {RunState.DRAFT: "act-draft-note", RunState.PUBLISHED: "act-published-note"}
            return Step("", word["act-none"], word[over.get(head.state, "act-superseded-note")], "")
        note = word[f"act-{key}-note"].format(count=self.statements)
        rival = self.review.published_rival
        if key == "publish" and rival is not None:
            note += " " + word["act-publish-supersedes"].format(run=rival.run[:12])
        return Step(key, word[f"act-{key}"], note, self._why_not(key, who, may, roles))

    def _why_not(self, key: str, who: str, may: bool, roles: str) -> str:
        word, hands = self._word, self.review.stages.hands
        if not who:
            return word["sign-in-to-act"]
        if not may:
            return f"{word['may-not']}. {word['may-not-note'].format(roles=roles)}"
        first = {same_actor(one) for one in (hands.computed_by, hands.checked_by) if one}
        if key == "approve" and same_actor(who) in first:
            return word["second-person"].format(name=who)
        if key == "publish" and self.review.provisional:
            count = len(self.review.provisional)
            return f"{word['wait-first']}{count} {word['need-bindings']}"
        return ""

    @property
    def statements(self) -> int:
        """Count the parties that get a statement; a draft has none."""
        return len({line.party for line in self._kept.sheet.lines if line.number is not None})

    @property
    def can_be_withdrawn(self) -> bool:
        """Say whether the run was never published and is not over."""
        return self.review.head.state not in (RunState.PUBLISHED, RunState.SUPERSEDED)

    # Findings, each with its reason

    def findings(self, typed: Mapping[str, str]) -> list[dict[str, Any]]:
        """List the findings with the reasons given; `typed`: what was written and not taken."""
        said = {one.subject: one for one in self.review.reasons}
        rows = []
        for place, subject in enumerate(self._kept.findings):
            reason = said.get(subject)
            rows.append(
                {
                    "subject": subject,
                    "field": f"reason-{place}",
                    "text": self._finding(subject),
                    "href": self._finding_href(subject),
                    "reason": reason.reason if reason else "",
                    "by": reason.actor if reason else "",
                    "typed": typed.get(subject, ""),
                }
            )
        return rows

    def _finding(self, subject: str) -> str:
        document, word = self._kept.document, self._word
        kind, _, rest = subject.partition(" ")
        if kind == "case":
            case = next(one for one in document["cases"] if one["node"] == rest)
            node = self._node(rest)
            return word["finding-loss"].format(node=node, loss=kwh(case["loss_wh"]), band=kwh(case["band_wh"]))
        cap, check, party = rest.split("/", 2)
        found = next(
            one for one in document["checks"] if (one["cap"], one["kind"], one["party"] or "all") == (cap, check, party)
        )
        limit = word["finding-unknown"] if found["limit_minor"] is None else self.money(found["limit_minor"])
        whom = "" if party == "all" else self._names.get(party, party)
        key = "finding-sum" if party == "all" else "finding-price"
        return word[key].format(party=whom, charged=self.money(found["charged_minor"]), limit=limit, cap=cap)

    def _finding_href(self, subject: str) -> str:
        kind, _, node = subject.partition(" ")
        return f"/series/{self.review.head.site}/{node}" if kind == "case" else ""

    # Sums

    def totals(self) -> Table:
        """Compare what was computed with what the supplier asked."""
        word, sums = self._word, self._kept.sums
        rows: list[list[Cell]] = [
            [words_cell(word["supply"]), self._money(sums.supply_minor), words_cell("")],
            [words_cell(word["supplier-charges"]), self._money(sums.charges_minor), words_cell("")],
            [words_cell(word["computed"]), self._money(sums.supply_minor + sums.charges_minor), words_cell("")],
        ]
        for one in sums.invoices:
            if one.invoiced_minor is None:
                rows.append([words_cell(word["invoiced"]), words_cell("–", ""), words_cell(word["invoice-none"])])
                continue
            far = one.difference_minor or 0
            share = percent(far, one.computed_minor)
            numbers = f"{word['invoice-numbers']} {', '.join(one.numbers)}"
            energy = f"{grouped(one.invoiced_milli or 0, 3)} {one.per}"
            rows.append(
                [words_cell(word["invoiced"]), self._money(one.invoiced_minor), words_cell(f"{numbers} · {energy}")]
            )
            mark = words_cell(("+" if far > 0 else "") + share, tone="warn" if one.is_far else "good")
            rows.append([words_cell(word["difference"]), self._money(far), mark])
        columns = ("", word["amount"], "")
        is_missing = any(one.invoiced_minor is None for one in sums.invoices)
        return table("totals", word["totals"], columns, rows, note=word["invoice-none-how"] if is_missing else "")

    def pools(self) -> Table:
        """Show what each pool cost, what its lines come to, and what it cost before."""
        word, sums = self._word, self._kept.sums
        names = {pool["id"]: dict(pool["names"]).get(self._language, pool["id"]) for pool in self._document["pools"]}
        rows = []
        for pool in sums.pools:
            before = pool.before_minor
            delta = None if before is None else pool.cost_minor - before
            rows.append(
                [
                    words_cell(names[pool.pool], pool.pool),
                    self._money(pool.cost_minor),
                    self._money(pool.lines_minor),
                    words_cell("✓ " + word["adds-up"], "1", "good")
                    if pool.adds_up
                    else words_cell("✗ " + word["adds-not"], "0", "bad"),
                    self._money(before),
                    self._change(delta, before),
                ]
            )
        heads = ("pool", "cost", "lines-sum", "verdict", "before", "change")
        columns = [word[one] for one in heads]
        if self._kept.sheet.before_period:
            columns[4] = word["before-of"].format(period=period_words(self._kept.sheet.before_period))
        return table("pools", word["pool-sums"], columns, rows, wide=frozenset({2, 3, 4}))

    def residuals(self) -> Table:
        """Show what nobody else is charged, by pool: vacancy and what rounding leaves are in it."""
        word = self._word
        owner = self._kept.site.owner.id
        names = {pool["id"]: dict(pool["names"]).get(self._language, pool["id"]) for pool in self._document["pools"]}
        sums: dict[str, tuple[int, int]] = {}
        for line in self._kept.sheet.lines:
            if line.party == owner or line.kind == "residual":
                now, before = sums.get(line.pool, (0, 0))
                sums[line.pool] = (now + line.amount_minor, before + line.before_minor)
        has_before = self._kept.sheet.before is not None
        rows = [
            [
                words_cell(names.get(pool, pool), pool),
                self._money(now),
                self._money(before if has_before else None),
                self._change(now - before if has_before else None, before),
            ]
            for pool, (now, before) in sums.items()
        ]
        columns = (word["pool"], word["owner-pays"], word["before"], word["change"])
        return table("residuals", word["residuals"], columns, rows, wide=frozenset({2}))

    # Outliers and lines

    def outliers(self, most: int | None = OUTLIERS_SHOWN) -> Table:
        """Show the lines that stand out, each with why."""
        word = self._word
        rows = [
            [
                self._party(one.line.party),
                words_cell(self._unit(one.line.unit), one.line.unit or ""),
                words_cell(self._pool(one.line.pool), one.line.pool),
                self._money(one.line.amount_minor),
                money_cell(one.beyond_minor, self.currency, self._digits),
                words_cell(self.why(one)),
            ]
            for one in self.review.outliers[:most]
        ]
        columns = (word[one] for one in ("party", "unit", "pool", "amount", "beyond", "why-short"))
        return table("outliers", word["outliers"], columns, rows, note=word["outliers-note"])

    def why(self, one: Outlier) -> str:
        """Say why a line stands out."""
        form = self._word[f"why-{one.against}"]
        if one.against is Against.PEERS_CHANGE:
            median, found = (_per_mille(number - 1000) for number in (one.median, one.found))
            spread = _per_mille(one.spread).lstrip("+")
        else:
            median, found, spread = (self.money(number) for number in (one.median, one.found, one.spread))
        return form.format(count=one.count, median=median, spread=spread, found=found)

    @property
    def log(self) -> Iterator[dict[str, str]]:
        """Tell what happened, newest first."""
        for step in reversed(self.review.steps):
            yield {
                "what": self._word[f"log-{step.to_state}"],
                "who": step.actor,
                "at": local_time(step.acted_at, self._kept.site.calendar),
                "reason": step.reason,
                "tone": state_tone(step.to_state),
            }

    def money(self, amount_minor: int) -> str:
        """Write an amount."""
        return money(amount_minor, self.currency)

    def signed(self, amount_minor: int) -> str:
        """Write a difference with its sign."""
        return signed(amount_minor, self.currency)

    @property
    def _document(self) -> Mapping[str, Any]:
        return self._kept.document

    def _money(self, amount_minor: int | None) -> Cell:
        return money_cell(amount_minor, self.currency, self._digits)

    def _change(self, delta: int | None, before: int | None) -> Cell:
        if delta is None:
            return Cell("–", "", True)
        share = percent(delta, before) if before else ""
        text = (
            f"{money_signed(delta, self.currency)} ({share})" if share and delta else money_signed(delta, self.currency)
        )
        return Cell(text, money_cell(delta, self.currency, self._digits).plain, True)

    def _node(self, node: str) -> str:
        try:
            return self._kept.site.node(NodeId(node)).names.of(self._language)
        except (KeyError, MeteringError):
            return node

    def _party(self, party: str) -> Cell:
        return words_cell(self._names.get(party, party), party)

    def _unit(self, unit: str | None) -> str:
        return "–" if unit is None else self._names.get(f"/{unit}", unit)

    def _pool(self, pool: str) -> str:
        found = next((one for one in self._document["pools"] if one["id"] == pool), None)
        return pool if found is None else str(dict(found["names"]).get(self._language, pool))


def _per_mille(number: int) -> str:
    return ("+" if number > 0 else "") + grouped(number, 1) + " %"
