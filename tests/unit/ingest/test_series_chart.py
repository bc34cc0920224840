"""The picture of a series: nothing drawn over a gap, everything inside the box, every word in both languages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from device_profiles.profile import ChannelKind
from ingest.console.chart import LEFT, Chart, draw
from ingest.console.series_view import Navigation, fitting, page_view, span_of, with_chart
from ingest.console.words import Language
from ingest.series.forms import to_csv, to_document, to_table
from ingest.series.points import Method, Slots, thin
from ingest.series.quality import QUALITIES
from ingest.series.reader import Series, Source, settled_slots
from ingest.series.registers import Quantity
from ingest.series.sums import Per, add_up, bounds
from ingest.series_words import _WORDS, obis_word, series_words
from ingest.store.settled import SettledDay
from metering.identity import NodeId
from metering.interval import SLOT, Interval
from metering.obis import ENERGY_IMPORT, Obis
from tests.doubles.series_books import midnight, site_in

ZONE = "Europe/Berlin"
ENERGY = Quantity(ENERGY_IMPORT, "Wh", ChannelKind.COUNTER)
VOLTS = Quantity(Obis.parse("1-0:32.7.0"), "mV", ChannelKind.GAUGE)


def series_of(
    day: date, days: int, quality: list[int] | None = None, per: Per = Per.SLOT, quantity: Quantity = ENERGY
) -> Series:
    """Slots of 1,000 Wh more each, of a quality that repeats."""
    site = site_in(ZONE)
    span = Interval(midnight(ZONE, day), midnight(ZONE, day + timedelta(days=days)))
    size = span.slot_count
    slots = Slots(
        int(span.start.timestamp()),
        np.arange(size) * 1000,
        np.resize(np.array(quality or [0], np.uint8), size),
    )
    if per is Per.SLOT:
        points, method = thin(slots, 900, Method.EXTREMES)
    else:
        points, method = add_up(slots, bounds(span, per, site.calendar)), Method.SUMS
    return Series(site, NodeId("main"), quantity, per, method, Source.SETTLED, span, points, size, slots.tally())


def picture(series: Series, ticks: int = 14) -> Chart:
    return draw(series, Language.EN, key="k", width=1080, height=320, ticks=ticks)


def test_a_bar_for_each_slot_that_is_known_and_a_gap_for_what_is_not() -> None:
    found = picture(series_of(date(2026, 7, 1), 1, [0] * 90 + [4] * 6))
    assert (len(found.bars), len(found.gaps), found.line) == (90, 1, "")
    assert found.gaps[0].x + found.gaps[0].width == pytest.approx(found.right)
    assert found.bars[1].title == "2026-07-01 00:15 · 1.000 kWh · measured"
    assert found.gaps[0].title.endswith("missing · 6 slots missing")


def test_a_line_begins_anew_after_each_gap() -> None:
    series = series_of(date(2026, 7, 1), 4, [0] * 100 + [5] * 20)
    found = picture(series)
    assert not found.bars
    assert found.line.count("M") == len(found.gaps) + 1 - (found.gaps[-1].x + found.gaps[-1].width == found.right)
    gaps = [(gap.x, gap.x + gap.width) for gap in found.gaps]
    for stretch in found.line.split("M")[1:]:
        xs = [float(one.split()[0]) for one in re.split("[L]", stretch.replace("h0", "L")) if one]
        assert not any(x0 < end - 0.6 and start + 0.6 < x1 for start, end in gaps for x0, x1 in pairwise(xs))


def test_a_point_that_stands_alone_is_a_dot() -> None:
    found = picture(series_of(date(2026, 7, 1), 4, [0, 4]))
    assert set(re.findall("[MLh]", found.line)) == {"M", "h"}


@pytest.mark.parametrize("quantity", [ENERGY, VOLTS])
@pytest.mark.parametrize("days", [1, 3, 8, 31, 120, 366, 1500])
def test_everything_lies_in_the_box_and_labels_have_room(days: int, quantity: Quantity) -> None:
    for ticks in (5, 14):
        found = picture(series_of(date(2026, 3, 20), days, [0] * 50 + [3, 4, 6], quantity=quantity), ticks)
        assert 1 <= len(found.x_ticks) <= ticks
        assert 2 <= len(found.y_ticks) <= 7
        for mark in (*found.gaps, *found.strip, *found.bars):
            assert mark.x >= LEFT
            assert mark.x + mark.width <= found.right + 2.1
        for bar in found.bars:
            assert found.top - 0.1 <= bar.y
            assert bar.y + bar.height <= found.bottom + 0.7
        assert all(found.top <= tick.at <= found.bottom for tick in found.y_ticks)
        assert [tick.at for tick in found.x_ticks] == sorted(tick.at for tick in found.x_ticks)


def test_the_hour_that_comes_twice_is_labelled_twice() -> None:
    found = picture(series_of(date(2026, 10, 25), 1), ticks=30)
    labels = [tick.label for tick in found.x_ticks]
    assert labels.count("02:00") == 2
    assert len(labels) == 25


def test_what_is_estimated_is_marked_and_what_is_in_part_is_hatched() -> None:
    slots = picture(series_of(date(2026, 7, 1), 1, [0] * 10 + [3] * 4 + [0] * 82))
    assert [mark.tone for mark in slots.strip] == ["estimated"]
    assert {bar.tone for bar in slots.bars} == {"measured", "estimated"}
    days = picture(series_of(date(2026, 7, 1), 3, [0] * 96 + [0] * 90 + [4] * 6 + [6] * 96, Per.DAY))
    assert [bar.tone for bar in days.bars] == ["measured", "part"]
    assert [gap.tone for gap in days.gaps] == ["unsettled"]


def test_amounts_of_nothing_but_zero_are_drawn() -> None:
    series = series_of(date(2026, 7, 1), 1)
    points = replace(series.points, amounts=np.zeros_like(series.points.amounts))
    found = picture(replace(series, points=points))
    assert found.y_ticks[0].label == "0"
    assert all(bar.height == 0 for bar in found.bars)


def test_a_gauge_has_no_zero_line() -> None:
    series = series_of(date(2026, 7, 1), 1, quantity=VOLTS)
    points = replace(series.points, amounts=series.points.amounts // 10 + 229_000)
    found = picture(replace(series, points=points))
    assert float(found.y_ticks[0].label) > 200


def ways(first: date, end: date, per: Per = Per.DAY, language: Language = Language.EN) -> Navigation:
    return Navigation(site_in(ZONE), NodeId("main"), language, str(ENERGY_IMPORT), first, end, per)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("quality", [[0], [0, 1, 2, 3, 4, 5, 6]])
@pytest.mark.parametrize("per", list(Per))
def test_the_page_tells_what_the_document_holds(language: Language, per: Per, quality: list[int]) -> None:
    series = series_of(date(2026, 7, 1), 31, quality, per)
    chosen = ways(date(2026, 7, 1), date(2026, 8, 1), per, language)
    view = with_chart(page_view(chosen, (ENERGY,)), series, chosen)
    assert not view.problem
    assert [mark.tone for mark in view.legend] == list(to_document(series)["tally"])
    assert sum(to_document(series)["tally"].values()) == series.slots
    assert view.wide is not None
    assert view.narrow is not None
    assert to_table(series, language).columns[2].endswith("[kWh]")
    assert [link.is_chosen for link in view.spans] == [False, False, True, False]
    assert [link.is_chosen for link in view.grains] == [one is per for one in Per]


def test_a_span_of_which_nothing_is_known_has_no_chart_but_a_reason() -> None:
    chosen = ways(date(2026, 7, 1), date(2026, 8, 1))
    view = with_chart(page_view(chosen, (ENERGY,)), series_of(date(2026, 7, 1), 31, [6]), chosen)
    assert view.problem == "Nothing is known of this span."
    assert view.wide is None


def test_earlier_and_later_are_spans_of_the_same_kind() -> None:
    def addresses(first: date, end: date) -> list[str]:
        chosen = ways(first, end)
        return [re.findall("from=([0-9-]+)&to=([0-9-]+)", one)[0] for one in (chosen.shifted(-1), chosen.shifted(1))]

    assert addresses(date(2026, 3, 1), date(2026, 4, 1)) == [("2026-02-01", "2026-03-01"), ("2026-04-01", "2026-05-01")]
    assert addresses(date(2024, 1, 1), date(2025, 1, 1)) == [("2023-01-01", "2024-01-01"), ("2025-01-01", "2026-01-01")]
    assert addresses(date(2026, 3, 2), date(2026, 3, 9)) == [("2026-02-23", "2026-03-02"), ("2026-03-09", "2026-03-16")]


@pytest.mark.parametrize("day", [date(2026, 12, 31), date(2024, 2, 29), date(2026, 1, 1)])
def test_every_kind_of_span_holds_its_day_and_has_a_grain(day: date) -> None:
    grains = []
    for kind in ("day", "week", "month", "year"):
        first, end = span_of(kind, day)
        assert first <= day < end
        grains.append(fitting(first, end))
    assert grains == [Per.SLOT, Per.HOUR, Per.DAY, Per.MONTH]


def test_every_word_stands_in_both_languages_and_every_quality_and_model_has_its_own() -> None:
    assert all(zh and en for zh, en in _WORDS.values())
    for language in Language:
        word: Any = series_words(language)
        assert len({word[f"quality-{name}"] for name in QUALITIES}) == len(QUALITIES)
    from device_profiles.catalogue import Catalogue

    for profile in Catalogue.shipped().profiles:
        for group in profile.groups:
            for channel in group.channels:
                if channel.kind in (ChannelKind.COUNTER, ChannelKind.GAUGE):
                    assert obis_word(str(channel.obis), Language.ZH) != str(channel.obis)


@pytest.mark.parametrize(
    ("obis", "chinese", "english"),
    [
        ("1-0:2.8.3*101", "上网电量 费率 3 日存储 1", "Energy given, tariff 3, stored day 1"),
        ("1-0:1.6.0*1", "最大需量（受电） 存储值 1", "Largest demand taken, stored value 1"),
        ("1-0:69.7.0", "C 相视在功率", "Apparent power L3"),
        ("9-0:1.0.0*12", "热水用量 存储值 12", "Warm water, stored value 12"),
        ("1-0:99.7.0", "1-0:99.7.0", "1-0:99.7.0"),
        ("1-0:1.9.0", "1-0:1.9.0", "1-0:1.9.0"),
        ("9-9:9.9.9", "9-9:9.9.9", "9-9:9.9.9"),
        ("import", "import", "import"),
    ],
)
def test_a_register_without_a_word_of_its_own_is_named_by_the_groups_of_its_code(
    obis: str, chinese: str, english: str
) -> None:
    assert obis_word(obis, Language.ZH) == chinese
    assert obis_word(obis, Language.EN) == english


def test_a_document_has_null_at_each_break_and_adds_up() -> None:
    document = to_document(series_of(date(2026, 7, 1), 1, [0] * 48 + [4] * 48))
    assert document["amounts"][48] is None
    assert document["missing"][48] == 48
    assert document["quality"][48] == QUALITIES.index("missing")
    assert document["total"] == sum(document["amounts"][:48]) == 1000 * sum(range(48))
    assert document["starts_s"][0] == int(datetime(2026, 6, 30, 22, tzinfo=UTC).timestamp())
    assert (document["starts_s"][48] - document["starts_s"][0]) == 48 * SLOT.total_seconds()


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("per", list(Per))
def test_the_file_for_spreadsheets_says_what_the_table_on_the_page_says(language: Language, per: Per) -> None:
    series = series_of(date(2026, 10, 20), 14, [0, 3, 4, 6], per)
    assert to_csv(series, language) == to_table(series, language).to_csv()
    amounts = replace(series.points, amounts=series.points.amounts - 70_007)
    volts = replace(series, quantity=VOLTS, points=amounts)
    assert to_csv(volts, language) == to_table(volts, language).to_csv()


def test_a_choice_of_slots_has_no_total() -> None:
    assert to_document(series_of(date(2026, 7, 1), 31))["total"] is None
    assert to_document(series_of(date(2026, 7, 1), 1, quantity=VOLTS))["total"] is None


def test_a_settled_day_of_another_length_than_the_calendar_gives_is_not_taken() -> None:
    """Such a day was settled by an earlier version of the site, in another zone."""
    day = date(2026, 10, 25)
    span = Interval(midnight(ZONE, day), midnight(ZONE, day + timedelta(days=2)))
    calendar = site_in(ZONE).calendar
    for length, known in ((96, 0), (100, 100)):
        stored = SettledDay(NodeId("main"), ENERGY_IMPORT, day, (5,) * length, (0,) * length, ())
        slots = settled_slots(calendar, span, stored)
        assert slots.amounts.size == 196
        assert int(slots.known.sum()) == known
