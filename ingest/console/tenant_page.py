"""The page of a statement as its payer reads it, from the books to texts. Reads; changes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allocation_engine.money import minor_digits
from ingest.console.history_chart import HistoryChart, history_chart
from ingest.console.rendering import kwh_short, local_time, money, percent
from ingest.console.words import Language
from ingest.engine_words import engine_word
from ingest.inclusion_words import grouped as grouped_digest
from ingest.statement_desk import StatementView, charge_lines
from ingest.statement_states import WHOLE, DisputeState, StatementState, is_frozen
from ingest.statement_story import LineStory, MeterEnds, Story, StoryNames
from ingest.statement_words import statement_words
from ingest.store.database import Connection
from ingest.store.disputes import Dispute
from ingest.store.sites import site_version
from ingest.store.statement_page import PaidPeriod, Sharers, paid_periods, photos_of, sharers_of
from provisioning.site import Site

PERIODS_WANTED = 12
"""So many periods make a history; with fewer the page says how many there are."""
ALL_LINES = "all"
"""What the form says for a dispute of everything: no line has such an id."""
_MONTH = re.compile(r"(\d{4})-(\d{2})\Z")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_TONES = {
    StatementState.CONFIRMED: "good",
    StatementState.DISPUTED: "warn",
    StatementState.UPHELD: "info",
    StatementState.SUPERSEDED: "bad",
    None: "warn",
}


@dataclass(frozen=True, slots=True)
class DisputeShown:
    """A dispute with its answer, as the payer reads it."""

    about: str
    said: str
    when: str
    state: str
    tone: str
    standing: str
    answer: str
    answered: str
    photo: str


@dataclass(frozen=True, slots=True)
class LineCard:
    """One line on the page: its story, who shares it, whether it is disputed, and every single sum."""

    story: LineStory
    sharing: str
    is_frozen: bool
    every_sum: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeterCard:
    """A meter with the photos behind its readings, as paths below the page; empty without."""

    ends: MeterEnds
    photos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """One period of the history."""

    label: str
    energy: str
    amount: str
    is_this: bool


@dataclass(frozen=True, slots=True)
class History:
    """What was paid in the periods before: picture, numbers, and in words how this one compares."""

    chart: HistoryChart
    rows: tuple[PeriodRow, ...]
    compared: str
    note: str


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Everything that the page shows."""

    number: str
    total_label: str
    total: str
    period: str
    site: str
    party: str
    rooms: str
    issued: str
    state: str
    tone: str
    notices: tuple[tuple[str, str], ...]
    lines: tuple[LineCard, ...]
    meters: tuple[MeterCard, ...]
    history: History
    disputes: tuple[DisputeShown, ...]
    confirmed: tuple[str, ...]
    may_confirm: bool
    may_dispute: bool
    confirm_amount: str
    confirm_note: str
    choices: tuple[tuple[str, str], ...]
    log: tuple[tuple[str, str], ...]
    root: str
    link_until: str


def read_page(
    connection: Connection, view: StatementView, language: Language, *, site: Site | None = None, sums: bool = True
) -> TenantPage:
    """Build the page; `site` if it is known already, `sums` whether every single sum is written out."""
    site = site or site_version(connection, view.run.site, view.run.site_version).site
    return _Reader(connection, view, site, language, sums).page()


def period_text(label: str, language: Language) -> str:
    """Write the label of a period for people: a month by its name, else from day to day."""
    month = _MONTH.match(label)
    if month is None:
        return label.replace("--", " – ")
    year, number = int(month[1]), int(month[2])
    return f"{year} 年 {number} 月" if language is Language.ZH else f"{_MONTHS[number - 1]} {year}"


class _Reader:
    def __init__(self, connection: Connection, view: StatementView, site: Site, language: Language, sums: bool) -> None:
        self._connection = connection
        self._sums = sums
        self._view = view
        self._content = view.content
        self._site = site
        self._language = language
        self._word = statement_words(language)
        names = StoryNames(
            {one.id: one.names.of(language) for one in site.units},
            {one.id: one.names.of(language) for one in site.nodes},
        )
        self._names = names
        self._story = Story(view.content, language, names)
        self._lines = self._story.lines()

    def page(self) -> TenantPage:
        """Give the whole page."""
        view, content = self._view, self._content
        total = content.total_minor
        rooms = dict.fromkeys(one.room for one in self._lines if one.room)
        state = view.state
        return TenantPage(
            number=view.stored.number,
            total_label=self._word["to-pay" if total >= 0 else "to-get"],
            total=self._money(abs(total)),
            period=period_text(content.label, self._language),
            site=self._site.names.of(self._language),
            party=self._site.party(content.party).names.of(self._language),
            rooms="、".join(rooms) if self._language is Language.ZH else ", ".join(rooms),
            issued=self._when(view.steps[0].acted_at) if view.steps else "",
            state=self._word[f"state-{state or 'provisional'}"],
            tone=_TONES.get(state, "info"),
            notices=tuple(self._notices()),
            lines=tuple(self._cards()),
            meters=tuple(self._meters()),
            history=self._history(),
            disputes=tuple(self._dispute(one) for one in view.disputes),
            confirmed=tuple(self._charged()),
            **self._acts(),
            log=tuple((self._when(one.acted_at), self._word[f"log-{one.state}"]) for one in view.steps),
            root=grouped_digest(content.commitment),
            link_until="" if view.link_expires_at is None else self._day(view.link_expires_at),
        )

    def _notices(self) -> list[tuple[str, str]]:
        view = self._view
        told = []
        if view.state is None:
            told.append(("warn", self._word["provisional-note"]))
        if view.state is StatementState.SUPERSEDED:
            key = "superseded-plain" if view.newer is None else "superseded-note"
            told.append(("bad", self._word[key].format(newer=view.newer)))
        own = {one.pool for one in self._lines}
        for warning in self._content.warnings:
            pool = re.match(r"pool (\S+?):? ", warning)
            if pool is None or pool[1] in own:
                told.append(("warn", engine_word(warning, self._language)))
        return told

    def _cards(self) -> list[LineCard]:
        shared = [one.pool for one in self._content.lines if any(s.is_shared and s.id == one.id for s in self._lines)]
        sharers = sharers_of(self._connection, self._view.run.run, self._content.party, shared)
        disputes = [one.as_line for one in self._view.disputes]
        cards = []
        for line, story in zip(self._content.lines, self._lines, strict=True):
            sharing = self._sharing(sharers.get(line.pool)) if story.is_shared else ""
            frozen = is_frozen(line.id, disputes)
            cards.append(LineCard(story, sharing, frozen, self._story.every_sum(line.id) if self._sums else ()))
        return cards

    def _sharing(self, found: Sharers | None) -> str:
        """Name the places that share, never the parties: rooms stand on a door, who rents them is his own affair."""
        if found is None:
            return self._word["share-alone"]
        names = [self._names.units.get(unit, unit) for unit in found.units]
        key = "share-with" if found.count <= len(names) else "share-with-many"
        joined = ("、" if self._language is Language.ZH else ", ").join(names)
        return self._word[key].format(names=joined, count=found.count)

    def _meters(self) -> list[MeterCard]:
        ends = [one for line in self._lines for one in line.meters]
        sealed = [end.sealed for one in ends for end in (one.first, one.last) if end.by_hand and end.sealed]
        photos = photos_of(self._connection, sealed)
        found = []
        for one in ends:
            places = [
                (end.sealed.gateway, end.sealed.epoch, end.sealed.seq) for end in (one.first, one.last) if end.sealed
            ]
            found.append(MeterCard(one, tuple(photos[place].hex() for place in places if place in photos)))
        return found

    def _history(self) -> History:
        run = self._view.run
        start = self._content.period.start.isoformat()
        paid = paid_periods(
            self._connection, site=run.site, party=self._content.party, run=run.run, period=run.period, starts=start
        )
        amounts = [one.amount_minor for one in paid]
        labels = [self._short(one.period) for one in paid]
        titles = [f"{period_text(one.period, self._language)}: {self._money(one.amount_minor)}" for one in paid]
        chart = history_chart(amounts, labels, titles, minor_digits(self._content.currency))
        rows = [
            PeriodRow(
                period_text(one.period, self._language),
                "–" if one.energy_wh is None else f"{kwh_short(one.energy_wh)} kWh",
                self._money(one.amount_minor),
                place == len(paid) - 1,
            )
            for place, one in enumerate(paid)
        ]
        note = self._word["history-note"]
        if len(paid) < PERIODS_WANTED:
            note += " " * (self._language is Language.EN) + self._word["history-few"].format(count=len(paid))
        return History(chart, tuple(reversed(rows)), self._compared(paid), note)

    def _compared(self, paid: Sequence[PaidPeriod]) -> str:
        if len(paid) < 2:
            return self._word["history-first"]
        before, now = paid[-2].amount_minor, paid[-1].amount_minor
        if now == before:
            return self._word["history-same"]
        key = "history-more" if now > before else "history-less"
        return self._word[key].format(
            amount=self._money(abs(now - before)), percent=percent(abs(now - before), abs(before))
        )

    def _short(self, label: str) -> str:
        month = _MONTH.match(label)
        if month is None:
            return label[5:10]
        return f"{int(month[2])} 月" if self._language is Language.ZH else _MONTHS[int(month[2]) - 1][:3]

    def _dispute(self, one: Dispute) -> DisputeShown:
        titles = {line.id: f"{line.title} {line.room}".strip() for line in self._lines}
        tones = {DisputeState.OPEN: "warn", DisputeState.UPHELD: "info", DisputeState.RECOMPUTED: "good"}
        return DisputeShown(
            about=self._word["dispute-whole"] if one.is_whole else titles.get(one.line, one.line),
            said=one.reason,
            when=self._when(one.raised_at),
            state=one.state,
            tone=tones[one.state],
            standing=self._word[f"dispute-{one.state}"],
            answer=one.answer or "",
            answered=""
            if one.answered_at is None
            else self._word["answered-on"].format(when=self._when(one.answered_at)),
            photo="" if one.photo is None else one.photo.hex(),
        )

    def _charged(self) -> list[str]:
        return [
            self._word["confirmed-note"].format(
                when=self._when(one.created_at), charge=one.charge, amount=self._money(one.amount_minor)
            )
            for one in self._view.charges
        ]

    def _acts(self) -> dict[str, Any]:
        view = self._view
        is_open = view.state not in (None, StatementState.SUPERSEDED)
        lines = view.billable
        due = charge_lines(self._connection, view, lines) if is_open and lines else ()
        amount = self._money(sum(one.amount_minor for one in due))
        before = sum(one.before_minor for one in due)
        key = "confirm-difference" if before else "confirm-rest" if len(lines) < len(self._lines) else "confirm-note"
        known = {one.line for one in view.disputes}
        choices = [
            (one.id, f"{one.title} {one.room} · {one.amount}".replace("  ", " "))
            for one in self._lines
            if one.id not in view.charged and one.id not in known
        ]
        if not known and not view.charged and len(choices) > 1:
            choices.append((ALL_LINES, self._word["dispute-whole"]))
        return {
            "may_confirm": is_open and bool(lines),
            "may_dispute": is_open and not view.charges and bool(choices) and WHOLE not in known,
            "confirm_amount": amount,
            "confirm_note": self._word[key].format(amount=amount, before=self._money(before)),
            "choices": tuple(choices),
        }

    def _money(self, amount_minor: int) -> str:
        return money(amount_minor, self._content.currency)

    def _when(self, instant: datetime) -> str:
        return local_time(instant, self._site.calendar)

    def _day(self, instant: datetime) -> str:
        return self._when(instant)[:10]
