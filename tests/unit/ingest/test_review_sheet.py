"""Lines beside those of the period before: sorted, filtered, turned; outliers with their reasons; stages with times."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from allocation_engine.run_state import RunState
from ingest.review.outliers import Against, median_of, outliers_of, spread_of
from ingest.review.sheet import GONE, Asked, LineChange, Only, Order, Sheet
from ingest.review.stages import Mark, stages_of, waiting_since

NAMES = {"zh": {"t-1": "云杉", "/a1": "一号"}, "en": {"t-1": "Spruce", "t-2": "Alder", "/a1": "Room one"}}
LINES = (
    LineChange(0, 3, "own", "t-1", "a1", "metered", 150, 100),
    LineChange(1, None, "own", "t-2", "a2", "metered", 70, 0),
    LineChange(2, 1, "lift", "t-1", "a1", "share", 90, 100),
    LineChange(3, 2, "lift", "owner", None, "residual", 5, 5),
    LineChange(None, 9, "own", "t-9", "a9", GONE, 0, 400),
)
NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)


def sheet(lines: tuple[LineChange, ...] = LINES) -> Sheet:
    """A sheet of some lines."""
    return Sheet("r" * 64, "b" * 64, "2026-06", lines, NAMES)


def ids(asked: Asked, language: str = "en", **parts: frozenset[int] | frozenset[str]) -> list[str]:
    """The ids of what is selected."""
    return [line.id for line in sheet().select(asked, language, **parts)]  # type: ignore[arg-type]


def test_what_changed_most_comes_first_up_or_down() -> None:
    assert ids(Asked()) == ["own/a9/t-9", "own/a2/t-2", "own/a1/t-1", "lift/a1/t-1", "lift/residual/owner"]


@pytest.mark.parametrize(
    ("order", "first"),
    [
        (Order.UP, "own/a2/t-2"),
        (Order.DOWN, "own/a9/t-9"),
        (Order.PERCENT, "own/a2/t-2"),
        (Order.AMOUNT, "own/a1/t-1"),
        (Order.PARTY, "own/a2/t-2"),
        (Order.RUN, "own/a1/t-1"),
    ],
)
def test_each_order_has_its_first_line(order: Order, first: str) -> None:
    assert ids(Asked(order=order))[0] == first


def test_filters_keep_what_they_say() -> None:
    assert ids(Asked(only=Only.NEW)) == ["own/a2/t-2"]
    assert ids(Asked(only=Only.GONE)) == ["own/a9/t-9"]
    assert "lift/residual/owner" not in ids(Asked(only=Only.CHANGED))
    assert ids(Asked(pool="lift", order=Order.RUN)) == ["lift/a1/t-1", "lift/residual/owner"]
    assert ids(Asked(only=Only.OUTLIER), outliers=frozenset({2})) == ["lift/a1/t-1"]
    assert ids(Asked(only=Only.PROVISIONAL), provisional=frozenset({"own/a1/t-1"})) == ["own/a1/t-1"]


def test_a_percentage_keeps_what_moved_so_far_and_what_is_new_or_gone() -> None:
    assert set(ids(Asked(percent_min=50))) == {"own/a1/t-1", "own/a2/t-2", "own/a9/t-9"}


def test_text_finds_names_of_the_readers_language_and_ids_of_both() -> None:
    assert set(ids(Asked(text="spruce room"))) == {"own/a1/t-1", "lift/a1/t-1"}
    assert ids(Asked(text="spruce"), "zh") == []
    assert set(ids(Asked(text="云杉"), "zh")) == {"own/a1/t-1", "lift/a1/t-1"}
    assert ids(Asked(text="A9/t-9")) == ["own/a9/t-9"]


def test_pages_hold_every_line_once_and_sums_are_of_all_pages() -> None:
    lines = tuple(LineChange(n, n, "own", f"t-{n}", None, "metered", n, n // 2) for n in range(123))
    whole = sheet(lines)
    found = whole.select(Asked(), "en")
    pages = [whole.page(Asked(page=number), found) for number in (1, 2, 3)]
    assert sorted(line.number or 0 for page in pages for line in page.lines) == list(range(123))
    assert {(page.pages, page.count, page.amount_minor) for page in pages} == {(3, 123, sum(range(123)))}
    assert whole.page(Asked(page=99), found).page == 3
    assert whole.page(Asked(), []).pages == 1


# Outliers ---------------------------------------------------------------------------------------------------------


def own(number: int, amount: int, before: int = 0, kind: str = "metered") -> LineChange:
    """A line of the pool `own`."""
    return LineChange(number, number if before else None, "own", f"t-{number}", f"u-{number}", kind, amount, before)


def test_a_line_stands_out_against_its_own_past_with_median_and_spread() -> None:
    lines = (own(0, 100_00, 30_00), own(1, 31_00, 30_00))
    past = [30_00, 31_00, 29_00, 30_50, 30_00, 29_50]
    (found,) = outliers_of(lines, {0: past, 1: past}, {})
    assert (found.line.number, found.against, found.count) == (0, Against.HISTORY, 6)
    assert (found.median, found.beyond_minor) == (30_00, 70_00)
    assert found.score > 35


def test_five_periods_are_no_history() -> None:
    assert outliers_of((own(0, 100_00),), {0: [30_00] * 5}, {}) == ()


def test_whoever_rises_while_all_others_fall_stands_out_though_nobody_has_a_history() -> None:
    fallen = [own(n, 90_00 + n, 100_00) for n in range(20)]
    found = outliers_of((*fallen, own(20, 140_00, 100_00)), {}, {})
    assert [(one.line.number, one.against) for one in found] == [(20, Against.PEERS_CHANGE)]
    assert found[0].beyond_minor == pytest.approx(49_00, abs=200)


def test_all_rising_together_is_no_outlier() -> None:
    assert outliers_of([own(n, 200_00 + n, 100_00) for n in range(20)], {}, {}) == ()


def test_in_a_first_period_who_pays_far_more_for_a_square_metre_stands_out() -> None:
    areas = {f"u-{n}": 50_0000 for n in range(10)}
    lines = [own(n, 100_00 + n * 10) for n in range(9)]
    (found,) = outliers_of([*lines, own(9, 900_00)], {}, areas)
    assert (found.line.number, found.against) == (9, Against.PEERS_AREA)
    assert (found.found, found.median) == (1800, 200)


def test_many_wild_lines_do_not_hide_each_other() -> None:
    """A mean would: a fifth of the lines ten times as high moves it and its deviation towards them."""
    calm = [own(n, 100_00 + n % 3, 100_00) for n in range(40)]
    wild = [own(40 + n, 1000_00, 100_00) for n in range(10)]
    assert {one.line.number for one in outliers_of((*calm, *wild), {}, {})} == set(range(40, 50))


def test_residuals_and_what_is_worth_nobodys_time_are_left_out() -> None:
    calm = [own(n, 1000_00_00, 1000_00_00) for n in range(10)]
    assert outliers_of((*calm, own(10, 90, 10), own(11, 500_00_00, 100_00, "residual")), {}, {}) == ()


def test_the_order_of_lines_changes_nothing() -> None:
    chance = random.Random(7)
    lines = [own(n, chance.randint(1, 10**6), chance.randint(1, 10**6)) for n in range(60)]
    mixed = chance.sample(lines, len(lines))
    assert outliers_of(lines, {}, {}) == outliers_of(mixed, {}, {})


def test_median_and_spread_of_few() -> None:
    assert (median_of([3, 1, 2]), median_of([1, 2, 4, 9])) == (2, 3)
    assert spread_of([100, 100, 100], 100) == 5
    assert spread_of([0, 0], 0) == 1


# Stages -----------------------------------------------------------------------------------------------------------


def at(hours: int) -> datetime:
    """Noon and some hours."""
    return NOON + timedelta(hours=hours)


def test_stages_tell_how_long_each_took() -> None:
    steps = [(RunState.COMPUTED, at(5)), (RunState.CHECKED, at(6)), (RunState.APPROVED, at(7))]
    found = stages_of(NOON, at(2), [*steps, (RunState.PUBLISHED, at(8))])
    assert [one.mark for one in found] == [*Mark]
    assert [one.took and one.took.total_seconds() // 3600 for one in found] == [None, 2, 3, 2, 1]
    assert waiting_since(found) is None


def test_a_run_that_was_computed_anew_is_not_approved_any_more() -> None:
    steps = [(RunState.COMPUTED, at(1)), (RunState.APPROVED, at(2)), (RunState.SUPERSEDED, at(3))]
    found = stages_of(NOON, None, [*steps, (RunState.COMPUTED, at(9))])
    assert [one.mark for one in found if one.is_reached] == [Mark.ENDED, Mark.COMPUTED]
    since = waiting_since(found)
    assert since is not None
    assert (since.mark, since.at) == (Mark.COMPUTED, at(9))


def test_a_period_played_ahead_of_the_clock_has_no_negative_stage() -> None:
    found = stages_of(at(100), at(2), [(RunState.COMPUTED, at(3))])
    assert [one.took for one in found][1] is None
    assert found[2].took == timedelta(hours=1)
