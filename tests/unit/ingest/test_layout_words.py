"""The queries of the layouts as texts, and what is said of the size of chunks."""

from __future__ import annotations

import re

import pytest

from ingest.store.layout import layout_queries, sized

WITH_ARGUMENTS = {
    "hypertables": {"steps", "drops", "from_partitions"},
    "partitions": {"months", "drops", "conversions"},
}
"""Queries that are executed with arguments: in them a single % is a mistake, even in a comment."""
LONE = re.compile(rb"(?<!%)%(?:%%)*(?![%(])")
MB = 10**6


@pytest.mark.parametrize("layout", WITH_ARGUMENTS)
def test_no_sign_of_a_placeholder_stands_alone(layout: str) -> None:
    """psycopg looks for them in comments too; the test server in WebAssembly does not, a native one has to."""
    for name, query in layout_queries(layout).items():
        if name in WITH_ARGUMENTS[layout]:
            assert LONE.search(query) is None, f"{layout}.{name}"
        else:
            assert b"%%" not in query, f"{layout}.{name} is executed as it stands"


@pytest.mark.parametrize(
    ("text", "is_lone"), [(b"6 % of", True), (b"%%L", False), (b"%(now)s", False), (b"%%%L", True)]
)
def test_a_lone_sign_is_found(text: bytes, is_lone: bool) -> None:
    assert (LONE.search(text) is not None) is is_lone


def test_a_chunk_whose_index_fits_a_quarter_of_the_memory_is_not_spoken_of() -> None:
    assert sized(7, 128 * MB, 512 * MB) is None
    assert sized(7, 0, 0) is None


def test_a_chunk_that_is_too_large_is_told_with_both_remedies() -> None:
    told = sized(7, 700 * MB, 800 * MB)
    assert told is not None
    assert "takes 700 MB, more than a quarter of shared_buffers (800 MB)" in told
    assert "set METERTREE_CHUNK_DAYS=2, or shared_buffers to 2,800 MB" in told


def test_where_a_day_is_too_large_already_only_memory_helps() -> None:
    told = sized(1, 700 * MB, 800 * MB)
    assert told is not None
    assert told.endswith("set shared_buffers to 2,800 MB")
    several = sized(7, 7000 * MB, 800 * MB)
    assert several is not None
    assert "METERTREE_CHUNK_DAYS=1, or" in several
