"""What people read: exact digits, one word list in two languages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.intervals import Reason, SlotQuality
from allocation_engine.pools import PoolClass
from allocation_engine.run_state import RunState
from ingest.console.rendering import kwh, kwh_short, local_time, money, percent
from ingest.console.words import Language, choose_language, words
from metering.interval import SiteCalendar

INGEST = Path(__file__).parents[3] / "ingest"
WORDS = INGEST / "console" / "words.py"


@pytest.mark.parametrize(
    ("energy_wh", "text"), [(0, "0.000"), (7, "0.007"), (1_234_567, "1,234.567"), (-12_300, "−12.300")]
)
def test_energy_keeps_all_its_digits(energy_wh: int, text: str) -> None:
    assert kwh(energy_wh) == text


@given(st.integers(-(10**18), 10**18))
def test_no_digit_of_an_amount_is_lost(amount_minor: int) -> None:
    text = money(amount_minor, "CNY").replace("¥", "").replace(",", "").replace("−", "-")
    assert Fraction(text) * 100 == amount_minor


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(-105, "CNY", "−¥1.05"), (123456, "USD", "$1,234.56"), (-1, "HKD", "−HKD 0.01"), (1500, "JPY", "¥1,500")],
)
def test_amounts_carry_the_sign_of_their_currency(amount: int, currency: str, text: str) -> None:
    assert money(amount, currency) == text


def test_percent_rounds_half_up_and_has_no_answer_for_nothing() -> None:
    assert percent(1, 8) == "12.50 %"
    assert percent(-1, 2_000) == "−0.05 %"
    assert percent(-1, 200_000) == "0.00 %"
    assert percent(1, 0) == "–"


def test_short_energy_rounds_half_up() -> None:
    assert (kwh_short(1_250), kwh_short(-1_250), kwh_short(1_249)) == ("1.3", "−1.3", "1.2")


def test_times_are_shown_in_the_zone_of_the_site() -> None:
    assert local_time(datetime(2026, 7, 17, 6, 0, tzinfo=UTC), SiteCalendar("Asia/Shanghai")) == "2026-07-17 14:00"


def test_both_languages_have_every_word_and_none_is_blank() -> None:
    zh, en = words(Language.ZH), words(Language.EN)
    assert zh.keys() == en.keys()
    assert all(text.strip() for text in [*zh.values(), *en.values()])


@pytest.mark.parametrize(
    ("asked", "accepted", "chosen"),
    [
        ("en", "zh-CN", "en"),
        (None, "en-GB,en;q=0.9,zh;q=0.8", "en"),
        (None, "fr, zh-CN;q=0.9", "zh"),
        ("klingon", None, "zh"),
        (None, None, "zh"),
    ],
)
def test_the_language_follows_the_query_then_the_browser(asked: str | None, accepted: str | None, chosen: str) -> None:
    assert choose_language(asked, accepted) == chosen


def test_every_word_is_shown_somewhere() -> None:
    shown = "".join(
        path.read_text(encoding="utf-8")
        for path in INGEST.rglob("*")
        if path.suffix in {".py", ".html"} and path != WORDS
    )
    built = ("class-", "quality-", "reason-", "state-", "line-", "service-")
    built += ("nav-", "role-", "told-", "not-", "too-", "our-")
    quoted = set(re.findall(r"""['"][a-z0-9-]+['"]""", shown))
    known = words(Language.EN)
    unused = [key for key in known if not {f'"{key}"', f"'{key}'"} & quoted and not key.startswith(built)]
    unused = [key for key in unused if not (key.endswith("-note") and key.removesuffix("-note") in known)]
    assert unused == []


def test_every_class_quality_reason_and_state_has_a_word() -> None:
    known = words(Language.EN)
    assert {f"class-{one}" for one in PoolClass} <= known.keys()
    assert {f"reason-{one}" for one in Reason} <= known.keys()
    assert {f"state-{one}" for one in RunState} <= known.keys()
    weak = {one.name.lower() for one in SlotQuality if one is not SlotQuality.MEASURED}
    assert {f"quality-{one}" for one in weak} <= known.keys()
