"""Words of the pages about runs: both languages, none blank, one for each thing that can be told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from allocation_engine.run_state import ReasonMissing, RunState, RunUnknown, SecondPersonNeeded
from ingest.closing import Stage
from ingest.console.review_words import period_words, refusal_word, review_words, took_words
from ingest.console.words import Language
from ingest.review.outliers import Against
from ingest.review.sheet import Only, Order
from ingest.review.stages import Mark
from ingest.review.verdict import Needed
from ingest.store.ordered_jobs import JobState


def test_both_languages_have_every_word_and_none_is_blank() -> None:
    zh, en = review_words(Language.ZH), review_words(Language.EN)
    assert zh.keys() == en.keys()
    assert all(text.strip() for text in [*zh.values(), *en.values()])


def test_both_languages_say_the_same_numbers() -> None:
    zh, en = review_words(Language.ZH), review_words(Language.EN)
    fields = {
        key: [sorted(part.split("}")[0] for part in text.split("{")[1:]) for text in (zh[key], en[key])] for key in zh
    }
    assert [key for key, (one, other) in fields.items() if one != other] == []


def test_whatever_can_be_told_has_a_word() -> None:
    known = review_words(Language.EN)
    wanted = {
        "stage": Mark,
        "need": Needed,
        "why": Against,
        "order": Order,
        "only": Only,
        "log": RunState,
        "job": JobState,
        "work": Stage,
    }
    missing = [f"{kind}-{one}" for kind, all_of in wanted.items() for one in all_of if f"{kind}-{one}" not in known]
    assert missing == []
    assert {f"need-{one}-1" for one in Needed} <= known.keys()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("2026-07", "2026-07"),
        ("2026-07-01--2026-07-01", "2026-07-01"),
        ("2026-07-01--2026-07-15", "2026-07-01 – 2026-07-15"),
    ],
)
def test_a_period_is_written_as_people_write_it(label: str, words: str) -> None:
    assert period_words(label) == words


def test_a_refusal_is_called_by_what_it_is() -> None:
    assert refusal_word(SecondPersonNeeded("x")) == "refused-second"
    assert refusal_word(ReasonMissing(("case main",))) == "refused-reasons"
    assert refusal_word(RunUnknown("x")) == "refused-other"


def test_short_spans_are_told_in_seconds() -> None:
    assert took_words(timedelta(milliseconds=340), Language.EN) == "0.3 s"
    assert took_words(timedelta(seconds=12), Language.ZH) == "12 秒"
    assert took_words(timedelta(minutes=3), Language.EN) == "3 min"
    assert took_words(None, Language.EN) == "–"
